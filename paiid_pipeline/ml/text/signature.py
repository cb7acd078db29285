"""The registry signature of sentiment models."""

from __future__ import annotations

from typing import Final

from paiid_pipeline.ml.registry import ModelSignature
from paiid_pipeline.sentiment.labels import LABELS

TEXTS: Final = ModelSignature(
    inputs={"text": "string", "entity": "string"},
    outputs=[f"p_{label}" for label in LABELS],
    example={"text": "Northfield beats Hartwell to the order", "entity": "Northfield"},
    optional=frozenset({"entity"}),
)
