"""Where models are made and kept: the register, the key that signs, and the folders under the home."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paiid_pipeline.ml.registry import Registry
from paiid_pipeline.ml.signing import SigningKey, key_of
from paiid_pipeline.settings import Settings


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


def open_registry(settings: Settings) -> Registry:
    """The register of the settings; to look into it takes no key."""
    return Registry(settings.mlflow_url, settings.mlflow_artifacts)


def open_model_store(settings: Settings) -> ModelStore:
    """The workshop of the settings. Raises LookupError with the remedy where the key must be given and is not."""
    return ModelStore(
        open_registry(settings),
        key_of(settings),
        settings.models_dir,
        settings.home,
    )
