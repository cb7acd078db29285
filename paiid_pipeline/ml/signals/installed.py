"""The signal models that are installed, and which of them decides what: none decides what lies before its training."""

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
"""In a model's folder: what its features looked like in training (`signals.drift`)."""


class InstalledModels:
    """The versions under ``home``, verified before they are loaded, up to the champion.

    A later champion does not change how an earlier decision is made again: a decision belongs to the newest
    version of its horizon that was trained by then. ``why_none`` says in words why there is none at all, or why
    one cannot be trusted; None where all is well.
    """

    def __init__(self, home: Path, key: Callable[[], bytes]) -> None:
        """``key``: gives the public key that models must be signed with; asked for only where there is a model."""
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
        """The version in use for a horizon; None where there is none, or its files are not as they were signed."""
        return self._newest(lambda card: card.horizon == horizon)

    def at(self, known_by: datetime, horizon: Horizon) -> SignalModel | None:
        """The model that decides what is known by a moment; None where none had been trained by then."""
        return self._newest(lambda card: card.horizon == horizon and card.known_from <= known_by)

    def reference(self, horizon: Horizon) -> dict[str, Any]:
        """What the champion learnt from looked like. Raises LookupError where there is no champion."""
        model = self.champion(horizon)
        if model is None:
            raise LookupError(self.why_none or f"no signal model of the horizon {horizon} is installed")
        folder = self._folder(int(model.version.split("-")[1]))
        found: dict[str, Any] = json.loads((folder / REFERENCE).read_text())
        return found

    def _newest(self, fits: Callable[[ModelCard], bool]) -> SignalModel | None:
        # The card is read before the model is, so that a run which needs none does not import what it is made of.
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

    @cache  # noqa: B019 (a shelf lives as long as its run)
    def _card(self, version: int) -> tuple[ModelCard, str]:
        """What a version is, and its digest, once its files are as they were signed."""
        digest = verify_folder(self._folder(version), self._public)
        return load_card(self._folder(version)), digest

    @cache  # noqa: B019
    def _load(self, version: int) -> SignalModel:
        _, digest = self._card(version)
        return load_model(self._folder(version), f"{SIGNAL_MODEL}-{version}-{digest[:12]}")
