"""Fits the ensemble's weights and calibration to the installed members, evaluates and registers them."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from paiid_pipeline.arrays import Floats, Indices
from paiid_pipeline.ml.classification_metrics import mcnemar
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.plots import plots
from paiid_pipeline.ml.signing import UntrustedModelError
from paiid_pipeline.ml.text.custom_bert import Registered
from paiid_pipeline.ml.text.dataset_store import HELD_OUT, split_held_out
from paiid_pipeline.ml.text.datasets import Dataset, label_indices
from paiid_pipeline.ml.text.evaluation import (
    ALL,
    Predictions,
    evaluate_sets,
    metrics,
    mixed,
    predictions,
    probabilities_of,
)
from paiid_pipeline.ml.text.scoring import TRANSFORMERS, installed_member, save_blend
from paiid_pipeline.ml.text.signature import TEXTS
from paiid_pipeline.sentiment.base import ModelError, SentimentModel
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, LEFT, MODEL, EnsembleWeights
from paiid_pipeline.sentiment.vader import Vader

WITH_DEFAULT_WEIGHTS: Final = "ensemble, seed's weights"


def installed_members(store: ModelStore) -> tuple[list[SentimentModel], Mapping[str, str]]:
    """VADER and the installed transformers, and the reason why each other one is absent."""
    found: list[SentimentModel] = [Vader()]
    absent: dict[str, str] = {}
    for name in TRANSFORMERS:
        try:
            found.append(installed_member(name, store.models, store.key.public))
        except (LookupError, UntrustedModelError, ValueError, OSError, ModelError) as error:
            absent[name] = str(error)
    return found, absent


def fit_ensemble(data: Dataset, store: ModelStore, say: Callable[[str], None]) -> Registered:
    """Fit the ensemble of the installed members on the validation rows, evaluate it on the test rows, and register it.

    ``say`` takes lines of progress. Raises LookupError, naming what is missing, where only VADER is installed.
    """
    members, absent = installed_members(store)
    if len(members) == 1:
        raise LookupError("there is nothing to blend with VADER: " + "; ".join(absent.values()))
    parts = split_held_out(data.rows)
    say(f"blending {', '.join(member.name for member in members)}")
    blend = fit_blend(label_indices(parts.validation).tolist(), predictions(members, parts.validation))
    predicted = predictions(members, parts.test)
    found = {
        MODEL: mixed(blend, predicted),
        WITH_DEFAULT_WEIGHTS: mixed(DEFAULT_WEIGHTS, predicted),
        **{name: probabilities_of(each) for name, each in predicted.items()},
    }
    measured = {name: evaluate_sets(parts.test, each) for name, each in found.items()}
    versions = {member.name: member.version for member in members}
    facts = {
        **{f"weight of {name}": weight for name, weight in blend.weights.items()},
        "temperature": blend.temperature,
        "floor": blend.floor,
        "p against seed": mcnemar(label_indices(parts.test), found[MODEL], found[WITH_DEFAULT_WEIGHTS]),
    }
    images = plots(measured[MODEL][ALL], {name: each[ALL] for name, each in measured.items()})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / MODEL
        save_blend(blend, folder)
        version = store.registry.register(
            MODEL,
            folder,
            store.key,
            interface=TEXTS,
            data_sha256=data.sha256,
            metrics={**metrics(measured[MODEL]), **facts},
            parameters={"blend": blend.version, **versions, "held_out_fold": HELD_OUT},
            documents={"evaluation": {name: each[ALL].as_dict() for name, each in measured.items()}},
            plots=images,
        )
    say(f"registered as {MODEL} version {version.version}")
    return Registered(version, measured, images, {**facts, **{f"without {n}": why for n, why in absent.items()}})


STEPS = 10
"""Weights are multiples of 1 / STEPS."""
_TEMPERATURES: Final = tuple(np.geomspace(0.2, 5.0, 49).tolist())
_FLOORS: Final = tuple(step / 400 for step in range(17))
"""From 0 to 0.04, which label smoothing by 0.12 leaves on each of three classes."""
_LEAST = 1e-9


def fit_blend(labels: Sequence[int], members: Predictions) -> EnsembleWeights:
    """The ensemble weights with the least mean log-loss of ``labels`` (0 negative, 1 neutral, 2 positive).

    ``members``: by name, a prediction a row. Exhaustive grid search over weights, floor and temperature; the latter
    two apply to the mix, since mixing undoes the members' calibration. The version is a digest of the fit. Raises
    ValueError without rows or members, or where their counts differ.
    """
    if not labels or not members or any(len(rows) != len(labels) for rows in members.values()):
        counts = {name: len(rows) for name, rows in members.items()}
        raise ValueError(
            f"to fit an ensemble give as many predictions as labels, at least one: {len(labels)} labels, {counts}"
        )
    names, truth = sorted(members), np.asarray(labels)
    confidence, probabilities = _arrays(names, members)
    tried = (
        (loss, weights, temperature, floor)
        for weights in _grid(len(names))
        for mix in [_mix(np.array(weights), confidence, probabilities)]
        for floor in _FLOORS
        for loss, temperature in [_best_temperature(np.maximum(mix - floor, LEFT) if floor else mix, truth)]
    )
    _, weights, temperature, floor = min(tried)
    found = {name: weight / STEPS for name, weight in zip(names, weights, strict=True)}
    digest = hashlib.sha256(repr((sorted(found.items()), temperature, floor)).encode()).hexdigest()[:8]
    return EnsembleWeights(f"fitted.{digest}", found, temperature, floor)


def log_loss(labels: Sequence[int], members: Predictions, blend: EnsembleWeights = DEFAULT_WEIGHTS) -> float:
    """Mean negative log-likelihood of the labels under ensemble weights."""
    found = mixed(blend, members)[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.maximum(found, _LEAST))))


def _arrays(names: Sequence[str], members: Predictions) -> tuple[Floats, Floats]:
    """Confidence (members, rows) and probabilities (members, rows, 3)."""
    confidence = np.array([[prediction.confidence for prediction in members[name]] for name in names])
    return confidence, np.array([probabilities_of(members[name]) for name in names])


def _grid(members: int) -> Iterator[tuple[int, ...]]:
    """All weights in tenths that sum to one."""
    for parts in itertools.product(range(STEPS + 1), repeat=members - 1):
        if sum(parts) <= STEPS:
            yield (*parts, STEPS - sum(parts))


def _mix(weights: Indices, confidence: Floats, probabilities: Floats) -> Floats:
    """Confidence-weighted mean probabilities (rows, 3); neutral where the total weight is 0."""
    weighted = weights[:, None] * confidence
    total = weighted.sum(0)
    neutral = np.array([0.0, 1.0, 0.0])
    mix = (weighted[:, :, None] * probabilities).sum(0) / np.where(total > 0, total, 1.0)[:, None]
    return np.where(total[:, None] > 0, mix, neutral)


def _best_temperature(mix: Floats, truth: Indices) -> tuple[float, float]:
    """The least log-loss over the temperatures, and the temperature."""
    logs = np.log(np.clip(mix, _LEAST, 1.0))
    rows = np.arange(len(truth))

    def loss(temperature: float) -> float:
        scaled = logs / temperature
        return float(np.mean(np.log(np.exp(scaled).sum(1)) - scaled[rows, truth]))

    return min((loss(t), t) for t in _TEMPERATURES)
