"""The model store: the registry, the signing key, and the folders under the home."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paiid_pipeline.ml.registry import Registry
from paiid_pipeline.ml.signing import SigningKey


@dataclass(frozen=True)
class ModelStore:
    """What training, import and promotion share."""

    registry: Registry
    key: SigningKey
    models: Path
    """The folder of installed champions."""
    home: Path

    @property
    def texts(self) -> Path:
        """The folder of the newest data set of text models."""
        return self.home / "datasets" / "sentiment"

    @property
    def signals(self) -> Path:
        """The folder of the data sets of signal models."""
        return self.home / "datasets" / "signals"

    @property
    def training(self) -> Path:
        """The folder of running trainings, and of the newest finished one's weights."""
        return self.home / "training"
