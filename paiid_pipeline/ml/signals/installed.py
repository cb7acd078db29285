"""The installed signal models, and which one makes a decision: none makes one from before its training."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from paiid_pipeline.ml.registry import InstalledModel, installed
from paiid_pipeline.ml.signals.estimators import ModelCard, SignalModel, load_card, load_model
from paiid_pipeline.ml.signing import UntrustedModelError, verify_folder
from paiid_pipeline.trading_calendar import Horizon

SIGNAL_MODEL: Final = "signal_model"
REFERENCE: Final = "reference.json"
"""In a model's folder: the distribution of its features in training (`drift`)."""


class InstalledModels:
    """The versions under ``home``, verified before they are loaded, up to the champion.

    A decision is made by the newest version of its horizon that was trained by then, so that a later champion does not
    change a replay. ``why_none``: the reason why there is no model, or why one is not trusted; else None.
    """

    def __init__(self, home: Path, key: Callable[[], bytes]) -> None:
        """``key``: returns the public key to verify with; called only where a model is installed."""
        self._home = home
        self._champion: InstalledModel | None = None
        self.why_none: str | None = None
        if not (home / SIGNAL_MODEL).is_dir():
            self.why_none = "no signal model is installed: none has passed the gate"
            return
        try:
            self._public = key()
            self._champion = installed(SIGNAL_MODEL, home, self._public)
        except (LookupError, ValueError, UntrustedModelError) as error:
            self.why_none = str(error)

    def champion(self, horizon: Horizon) -> SignalModel | None:
        """The version in use for a horizon; None where there is none, or its signature does not hold."""
        return self._newest(lambda card: card.horizon == horizon)

    def at(self, known_by: datetime, horizon: Horizon) -> SignalModel | None:
        """The model of a decision known by a time (UTC); None where none had been trained by then."""
        return self._newest(lambda card: card.horizon == horizon and card.known_from <= known_by)

    def reference(self, horizon: Horizon) -> dict[str, Any]:
        """The champion's reference distribution. Raises LookupError where there is no champion."""
        model = self.champion(horizon)
        if model is None:
            raise LookupError(self.why_none or f"no signal model of the horizon {horizon} is installed")
        folder = self._folder(int(model.version.split("-")[1]))
        found: dict[str, Any] = json.loads((folder / REFERENCE).read_text())
        return found

    def _newest(self, fits: Callable[[ModelCard], bool]) -> SignalModel | None:
        # Cards are read first, so that a run which needs no model does not import its library.
        try:
            return next((self._load(each) for each in self._versions() if fits(self._card(each)[0])), None)
        except UntrustedModelError as error:
            self.why_none = str(error)
            return None

    def _versions(self) -> list[int]:
        if self._champion is None:
            return []
        found = (int(path.name) for path in (self._home / SIGNAL_MODEL).iterdir() if path.name.isdecimal())
        return sorted((each for each in found if each <= self._champion.version), reverse=True)

    def _folder(self, version: int) -> Path:
        return self._home / SIGNAL_MODEL / str(version)

    @cache  # noqa: B019 (an instance lives as long as its run)
    def _card(self, version: int) -> tuple[ModelCard, str]:
        """The card and digest of a version, verified."""
        digest = verify_folder(self._folder(version), self._public)
        return load_card(self._folder(version)), digest

    @cache  # noqa: B019
    def _load(self, version: int) -> SignalModel:
        _, digest = self._card(version)
        return load_model(self._folder(version), f"{SIGNAL_MODEL}-{version}-{digest[:12]}")
