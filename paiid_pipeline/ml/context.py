"""Where models are made and kept: the register, the key that signs, and the folders under the home."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paiid_pipeline.ml.registry import Registry
from paiid_pipeline.ml.signing import SigningKey


@dataclass(frozen=True)
class ModelStore:
    """All that training, importing and promoting need besides the texts."""

    registry: Registry
    key: SigningKey
    models: Path
    """Where champions are installed for scoring."""
    home: Path

    @property
    def texts(self) -> Path:
        """The folder of the newest texts to learn from."""
        return self.home / "datasets" / "sentiment"

    @property
    def signals(self) -> Path:
        """The folder of the datasets that signal models learn from."""
        return self.home / "datasets" / "signals"

    @property
    def training(self) -> Path:
        """Where trainings lie until they are registered, and the newest one's weights after that."""
        return self.home / "training"
