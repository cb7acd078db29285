"""The signal models that are installed, and which of them decides what: none decides what lies before its training."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from paiid_pipeline.models.registry import Installed, installed
from paiid_pipeline.models.signal_models import SignalModel, load_model
from paiid_pipeline.models.signing import UntrustedModelError, verify_folder

SIGNAL_MODEL: Final = "signal_model"
REFERENCE: Final = "reference.json"
"""In a model's folder: what its features looked like in training (`signals.drift`)."""


class Shelf:
    """The versions under ``home``, verified before they are loaded, up to the champion.

    A later champion does not change how an earlier decision is made again: a decision belongs to the newest
    version that was trained by then. ``why_none`` says why there is none at all, in words; None where there is.
    """

    def __init__(self, home: Path, key: Callable[[], bytes]) -> None:
        """``key``: gives the public key that models must be signed with; asked for only where there is a model."""
        self._home = home
        self._champion: Installed | None = None
        self.why_none: str | None = None
        if not (home / SIGNAL_MODEL).is_dir():
            self.why_none = "no signal model is installed: none has passed the gate"
            return
        try:
            self._public = key()
            self._champion = installed(SIGNAL_MODEL, home, self._public)
        except (LookupError, ValueError, UntrustedModelError) as error:
            self.why_none = str(error)

    @property
    def champion(self) -> SignalModel | None:
        """The version in use."""
        return self._load(self._champion.version) if self._champion else None

    def reference(self) -> dict[str, Any]:
        """What the champion learnt from looked like. Raises LookupError where there is no champion."""
        if self._champion is None:
            raise LookupError(self.why_none)
        found: dict[str, Any] = json.loads((self._champion.folder / REFERENCE).read_text())
        return found

    def at(self, known_by: datetime) -> SignalModel | None:
        """The model that decides what is known by a moment; None where none had been trained by then.

        Nor where its files, or those of a later version, are not as they were signed: ``why_none`` then says so.
        """
        try:
            for version in self._versions():
                model = self._load(version)
                if model.card.known_from <= known_by:
                    return model
        except UntrustedModelError as error:
            self.why_none = str(error)
        return None

    def _versions(self) -> list[int]:
        if self._champion is None:
            return []
        found = (int(path.name) for path in (self._home / SIGNAL_MODEL).iterdir() if path.name.isdecimal())
        return sorted((each for each in found if each <= self._champion.version), reverse=True)

    @cache  # noqa: B019 (a shelf lives as long as its run)
    def _load(self, version: int) -> SignalModel:
        folder = self._home / SIGNAL_MODEL / str(version)
        digest = verify_folder(folder, self._public)
        return load_model(folder, f"{SIGNAL_MODEL}-{version}-{digest[:12]}")
