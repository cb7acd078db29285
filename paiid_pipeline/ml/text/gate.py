"""The promotion gate of text models: a version that beats the champion and the baselines becomes champion."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl

from paiid_pipeline.arrays import Floats
from paiid_pipeline.ml.classification_metrics import majority_baseline
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.registry import Version
from paiid_pipeline.ml.text.comparison import compare, compare_blend
from paiid_pipeline.ml.text.datasets import label_indices
from paiid_pipeline.ml.text.ensemble import installed_members
from paiid_pipeline.ml.text.evaluation import NoPredictionError, mixed, predictions, probabilities_of, text_inputs
from paiid_pipeline.ml.text.scoring import TRANSFORMERS, open_member, read_blend
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, MODEL, EnsembleWeights
from paiid_pipeline.sentiment.vader import Vader


def promote(name: str, version: int, store: ModelStore, rows: pl.DataFrame) -> GateResult:
    """Evaluate a version on held-out ``rows`` (text, entity, label, group); one that passes is installed at once.

    A member must predict every row and be significantly more accurate than the champion, VADER and the majority class;
    an ensemble than the latter two, and must beat the champion's and the default weights and be no worse than any of
    its members (`compare_blend`). Raises LookupError where there is no such version, ValueError where the model has no
    gate.
    """
    champion = store.registry.champion(name)
    if champion is not None and champion.version == version:
        store.registry.install(name, store.models, store.key.public)
        return GateResult(True, ("it is the champion already", *champion.gate))
    if name in TRANSFORMERS:
        verdict = _compare_member(name, version, champion, store, rows)
    elif name == MODEL:
        verdict = _compare_ensemble(version, champion, store, rows)
    else:
        raise ValueError(f"there is no gate for {name!r}: promote it by its own asset, or with --force")
    return _promote(name, version, verdict, store)


def force(name: str, version: int, store: ModelStore, reason: str) -> GateResult:
    """Install a version without evaluation, such as an earlier one. Raises LookupError where it does not exist."""
    return _promote(name, version, GateResult(True, (reason,)), store)


def _promote(name: str, version: int, verdict: GateResult, store: ModelStore) -> GateResult:
    if store.registry.promote(name, version, verdict):
        store.registry.install(name, store.models, store.key.public)
    return verdict


def _compare_member(
    name: str, version: int, champion: Version | None, store: ModelStore, rows: pl.DataFrame
) -> GateResult:
    try:
        challenger = _predict(name, version, store, rows)
    except NoPredictionError as error:
        return GateResult(False, (str(error),))
    rivals = _naive(rows)
    reasons: tuple[str, ...] = ()
    if champion is not None:
        try:
            rivals = {_champion_name(champion): _predict(name, champion.version, store, rows), **rivals}
        except NoPredictionError as error:
            reasons = (f"{_champion_name(champion)}, is no rival: {error}",)
    verdict = compare(label_indices(rows), challenger, rivals)
    return GateResult(verdict.promote, (*reasons, *verdict.reasons))


def _compare_ensemble(version: int, champion: Version | None, store: ModelStore, rows: pl.DataFrame) -> GateResult:
    members = predictions(installed_members(store)[0], rows)
    blends = {"the seed's weights": DEFAULT_WEIGHTS}
    if champion is not None:
        blends = {_champion_name(champion): _blend(champion.version, store), **blends}
    return compare_blend(
        label_indices(rows),
        mixed(_blend(version, store), members),
        blends={name: mixed(blend, members) for name, blend in blends.items()},
        members={name: probabilities_of(each) for name, each in members.items() if name != Vader.name},
        baselines=_naive(rows),
        groups=rows["group"].to_numpy(),
    )


def _naive(rows: pl.DataFrame) -> dict[str, Floats]:
    return {
        "VADER": probabilities_of(Vader().score(text_inputs(rows))),
        "the commonest label": majority_baseline(label_indices(rows), rows.height),
    }


def _predict(name: str, version: int, store: ModelStore, rows: pl.DataFrame) -> Floats:
    with tempfile.TemporaryDirectory() as scratch:
        folder = store.registry.fetch(name, version, Path(scratch) / name, store.key.public)
        return probabilities_of(predictions([open_member(name, folder, store.key.public)], rows)[name])


def _blend(version: int, store: ModelStore) -> EnsembleWeights:
    with tempfile.TemporaryDirectory() as scratch:
        return read_blend(store.registry.fetch(MODEL, version, Path(scratch) / MODEL, store.key.public))


def _champion_name(champion: Version) -> str:
    known = "" if champion.data_sha256 else ", trained elsewhere and perhaps on these texts"
    return f"the champion, version {champion.version}{known}"
