"""What becomes the champion, and is installed for scoring: what beats the champion and the naive baselines."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl

from paiid_pipeline.ml.classification_metrics import majority_baseline
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.registry import Version
from paiid_pipeline.ml.text.comparison import compare, judge_blend
from paiid_pipeline.ml.text.ensemble import installed_members
from paiid_pipeline.ml.text.evaluation import NoPredictionError, Shares, labels, mixed, predictions, shares, text_inputs
from paiid_pipeline.ml.text.scoring import TRANSFORMERS, open_member, read_blend
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, MODEL, EnsembleWeights
from paiid_pipeline.sentiment.vader import Vader


def promote(name: str, version: int, store: ModelStore, rows: pl.DataFrame) -> GateResult:
    """Put a version to the gate on ``rows`` (text, entity, label, group); one that passes is in use at once.

    A model of sentiment must make a prediction for every row, and must have more of them right, beyond noise, than the
    champion, VADER and the commonest label; an ensemble than the latter two, and must beat the champion's and the
    seed's weights and be no worse than any of its members (`judge_blend`).
    Raises LookupError where there is no such version, ValueError where there is no gate for the model.
    """
    champion = store.registry.champion(name)
    if champion is not None and champion.version == version:
        store.registry.install(name, store.models, store.key.public)
        return GateResult(True, ("it is the champion already", *champion.gate))
    if name in TRANSFORMERS:
        verdict = _judge_member(name, version, champion, store, rows)
    elif name == MODEL:
        verdict = _judge_ensemble(version, champion, store, rows)
    else:
        raise ValueError(f"there is no gate for {name!r}: promote it by its own asset, or with --force")
    return _decision_lag(name, version, verdict, store)


def force(name: str, version: int, store: ModelStore, reason: str) -> GateResult:
    """Put a version to use without the gate, such as an earlier one. Raises LookupError where it is not there."""
    return _decision_lag(name, version, GateResult(True, (reason,)), store)


def _decision_lag(name: str, version: int, verdict: GateResult, store: ModelStore) -> GateResult:
    if store.registry.promote(name, version, verdict):
        store.registry.install(name, store.models, store.key.public)
    return verdict


def _judge_member(
    name: str, version: int, champion: Version | None, store: ModelStore, rows: pl.DataFrame
) -> GateResult:
    try:
        challenger = _heard(name, version, store, rows)
    except NoPredictionError as error:
        return GateResult(False, (str(error),))
    rivals = _naive(rows)
    reasons: tuple[str, ...] = ()
    if champion is not None:
        try:
            rivals = {_called(champion): _heard(name, champion.version, store, rows), **rivals}
        except NoPredictionError as error:
            reasons = (f"{_called(champion)}, is no rival: {error}",)
    verdict = compare(labels(rows), challenger, rivals)
    return GateResult(verdict.promote, (*reasons, *verdict.reasons))


def _judge_ensemble(version: int, champion: Version | None, store: ModelStore, rows: pl.DataFrame) -> GateResult:
    said = predictions(installed_members(store)[0], rows)
    blends = {"the seed's weights": DEFAULT_WEIGHTS}
    if champion is not None:
        blends = {_called(champion): _blend(champion.version, store), **blends}
    return judge_blend(
        labels(rows),
        mixed(_blend(version, store), said),
        blends={name: mixed(blend, said) for name, blend in blends.items()},
        members={name: shares(each) for name, each in said.items() if name != Vader.name},
        baselines=_naive(rows),
        groups=rows["group"].to_numpy(),
    )


def _naive(rows: pl.DataFrame) -> dict[str, Shares]:
    return {
        "VADER": shares(Vader().score(text_inputs(rows))),
        "the commonest label": majority_baseline(labels(rows), rows.height),
    }


def _heard(name: str, version: int, store: ModelStore, rows: pl.DataFrame) -> Shares:
    with tempfile.TemporaryDirectory() as scratch:
        folder = store.registry.fetch(name, version, Path(scratch) / name, store.key.public)
        return shares(predictions([open_member(name, folder, store.key.public)], rows)[name])


def _blend(version: int, store: ModelStore) -> EnsembleWeights:
    with tempfile.TemporaryDirectory() as scratch:
        return read_blend(store.registry.fetch(MODEL, version, Path(scratch) / MODEL, store.key.public))


def _called(champion: Version) -> str:
    known = "" if champion.data_sha256 else ", trained elsewhere and perhaps on these texts"
    return f"the champion, version {champion.version}{known}"
