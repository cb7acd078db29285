"""Imports a pretrained classifier: checked, exported to ONNX, signed, registered and put to the gate."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from paiid_pipeline.ml.classification_metrics import evaluate
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.registry import Version
from paiid_pipeline.ml.signing import UntrustedModelError, sign_folder
from paiid_pipeline.ml.text.classifier import Text, most_tokens
from paiid_pipeline.ml.text.datasets import label_indices
from paiid_pipeline.ml.text.evaluation import all_predictions, predictions, probabilities_of
from paiid_pipeline.ml.text.export import Precision, export_model
from paiid_pipeline.ml.text.gate import promote
from paiid_pipeline.ml.text.hub import check_source, fetch_classifier
from paiid_pipeline.ml.text.scoring import TRANSFORMERS, open_member
from paiid_pipeline.ml.text.signature import TEXTS
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.sentiment.base import TextInput
from paiid_pipeline.sentiment.transformer import Transformer

_TRIALS = (
    TextInput("Up"),
    TextInput("Northfield beats Hartwell to the $1.2 billion order, and raises its outlook by 5%", "Northfield"),
    TextInput("Shares of the company fell on Monday after it reported a loss for the third quarter. " * 60),
)
"""Texts that every model must score: a word, a headline with an entity, more tokens than any model takes."""


def import_model(
    name: str, source: str, store: ModelStore, *, calibration: Sequence[Text] = (), rows: pl.DataFrame | None = None
) -> tuple[Version, GateResult]:
    """Register the model ``source``, a folder or a hub name, as the next version of ``name``.

    Exported in int8 where there are ``calibration`` texts, else in float32. With labelled ``rows`` it goes through the
    gate; without, it is registered and not installed, even as the first of its name. Raises ValueError where it cannot
    be used (unknown name, unnamed labels, another model's vocabulary, no prediction for some text),
    UntrustedModelError where the folder holds what could run code, LookupError where the source is not found; each
    with the remedy.
    """
    if name not in TRANSFORMERS:
        raise ValueError(f"{name!r} is no member of the ensemble: import a model as one of {', '.join(TRANSFORMERS)}")
    check_source(source)
    version = _register(name, source, store, calibration, rows)
    if rows is not None:
        return version, promote(name, version.version, store, rows)
    reason = (
        "measured on nothing: give labelled texts (PAIID_DATA_DIR, or --labelled CSV), or put it to use unmeasured "
        f"(paiid models promote {name} {version.version} --force)"
    )
    return version, GateResult(False, (reason,))


def _register(
    name: str, source: str, store: ModelStore, calibration: Sequence[Text], rows: pl.DataFrame | None
) -> Version:
    public = store.key.public
    with tempfile.TemporaryDirectory() as scratch:
        folder, whole = _opened(name, source, Path(scratch) / "fetched", store)
        entities = whole.reads_entities
        precision: Precision = "int8" if calibration else "fp32"
        served = export_model(
            folder,
            Path(scratch) / "served",
            calibration,
            precision=precision,
            reads_entities=entities,
            max_tokens=most_tokens(folder),
        )
        sign_folder(served, store.key)
        member = open_member(name, served, public)
        all_predictions(member, [*_TRIALS, *(TextInput(text, entity) for text, entity in calibration)])
        measured = {}
        if rows is not None:
            found = probabilities_of(predictions([member], rows)[name])
            measured = dict(evaluate(label_indices(rows), found, groups=rows["group"].to_numpy()).flat())
        return store.registry.register(
            name,
            served,
            store.key,
            interface=TEXTS,
            data_sha256="",
            metrics=measured,
            parameters={"source": source, "precision": precision},
        )


def _opened(name: str, source: str, to: Path, store: ModelStore) -> tuple[Path, Transformer]:
    """The model of ``source`` fetched to the folder ``to``, and loaded as a member; raises where it cannot score."""
    try:
        folder = fetch_classifier(source, to)
        sign_folder(folder, store.key)
        return folder, open_member(name, folder, store.key.public)
    except UntrustedModelError:
        raise
    except Exception as error:  # noqa: BLE001 - what transformers raises has no common base, and many lines
        message = " ".join(str(error).replace(str(to), source).split())
        if type(error) in (ValueError, LookupError):
            raise type(error)(message) from None
        raise ValueError(f"{source} cannot be read ({type(error).__name__}: {message[:300]}): fetch it again") from None
