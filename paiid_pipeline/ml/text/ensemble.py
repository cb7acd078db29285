"""The ensemble's weights and calibration, fitted to the installed members, compared with the seed's, registered."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from paiid_pipeline.arrays import Floats
from paiid_pipeline.ml.classification_metrics import mcnemar
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.plots import plots
from paiid_pipeline.ml.signing import UntrustedModelError
from paiid_pipeline.ml.text.custom_bert import Registered
from paiid_pipeline.ml.text.dataset_store import HELD_OUT, split_held_out
from paiid_pipeline.ml.text.datasets import Dataset
from paiid_pipeline.ml.text.evaluation import ALL, evaluate_sets, labels, metrics, mixed, predictions, shares
from paiid_pipeline.ml.text.scoring import TRANSFORMERS, installed_member, save_blend
from paiid_pipeline.ml.text.signature import TEXTS
from paiid_pipeline.sentiment.base import ModelError, Prediction, SentimentModel
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, LEFT, MODEL, EnsembleWeights
from paiid_pipeline.sentiment.vader import Vader

SEEDS: Final = "ensemble, seed's weights"


def installed_members(store: ModelStore) -> tuple[list[SentimentModel], Mapping[str, str]]:
    """VADER and the installed transformers, and why each other one is not among them."""
    found: list[SentimentModel] = [Vader()]
    absent: dict[str, str] = {}
    for name in TRANSFORMERS:
        try:
            found.append(installed_member(name, store.models, store.key.public))
        except (LookupError, UntrustedModelError, ValueError, OSError, ModelError) as error:
            absent[name] = str(error)
    return found, absent


def fit_ensemble(data: Dataset, store: ModelStore, say: Callable[[str], None]) -> Registered:
    """Fit the blend of the installed members on the validation rows, measure it on the test rows, and register it.

    Raises LookupError, saying what is missing, where no member but VADER is installed.
    """
    members, absent = installed_members(store)
    if len(members) == 1:
        raise LookupError("there is nothing to blend with VADER: " + "; ".join(absent.values()))
    parts = split_held_out(data.rows)
    say(f"blending {', '.join(member.name for member in members)}")
    blend = fit_blend(labels(parts.validation).tolist(), predictions(members, parts.validation))
    said = predictions(members, parts.test)
    found = {
        MODEL: mixed(blend, said),
        SEEDS: mixed(DEFAULT_WEIGHTS, said),
        **{name: shares(each) for name, each in said.items()},
    }
    measured = {name: evaluate_sets(parts.test, each) for name, each in found.items()}
    versions = {member.name: member.version for member in members}
    facts = {
        **{f"weight of {name}": weight for name, weight in blend.weights.items()},
        "temperature": blend.temperature,
        "floor": blend.floor,
        "p against seed": mcnemar(labels(parts.test), found[MODEL], found[SEEDS]),
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


_COLDEST, _HOTTEST, _TEMPERATURES = 0.2, 5.0, 49


_FLOORS: Final = tuple(step / 400 for step in range(17))
"""From none to what smoothing by 0.12 leaves on each of three classes."""


_LEAST = 1e-9


def fit_blend(labels: Sequence[int], said: Mapping[str, Sequence[Prediction]]) -> EnsembleWeights:
    """The blend with the least mean negative log-likelihood of ``labels`` (0 negative, 1 neutral, 2 positive).

    ``said``: by member its opinion of each row. All weights on a grid are tried, each with all floors and
    temperatures on others; those are of the mix, since mixing undoes what calibration the members had. The version
    names the content, so that the same fit has the same name. Raises ValueError without rows or members, or
    where there are not as many opinions as labels.
    """
    if not labels or not said or any(len(rows) != len(labels) for rows in said.values()):
        counts = {name: len(rows) for name, rows in said.items()}
        raise ValueError(
            f"to fit a blend give as many opinions as labels, at least one: {len(labels)} labels, {counts}"
        )
    names, truth = sorted(said), np.asarray(labels)
    evidence, shares = _arrays(names, said)
    tried = (
        (loss, weights, temperature, floor)
        for weights in _grid(len(names))
        for mixed in [_mixed(np.array(weights), evidence, shares)]
        for floor in _FLOORS
        for loss, temperature in [_best_temperature(np.maximum(mixed - floor, LEFT) if floor else mixed, truth)]
    )
    _, weights, temperature, floor = min(tried)
    found = {name: weight / STEPS for name, weight in zip(names, weights, strict=True)}
    digest = hashlib.sha256(repr((sorted(found.items()), temperature, floor)).encode()).hexdigest()[:8]
    return EnsembleWeights(f"fitted.{digest}", found, temperature, floor)


def log_loss(
    labels: Sequence[int], said: Mapping[str, Sequence[Prediction]], blend: EnsembleWeights = DEFAULT_WEIGHTS
) -> float:
    """Mean negative log-likelihood of the labels under a blend: lower is better."""
    rows = [blend.mix({name: predictions[row] for name, predictions in said.items()}) for row in range(len(labels))]
    return float(-np.mean([np.log(max(o.probabilities[k], _LEAST)) for o, k in zip(rows, labels, strict=True)]))


def _arrays(names: Sequence[str], said: Mapping[str, Sequence[Prediction]]) -> tuple[Floats, Floats]:
    """Confidence (members, rows) and probabilities (members, rows, 3)."""
    confidence = np.array([[prediction.confidence for prediction in said[name]] for name in names])
    return confidence, np.array([[prediction.probabilities for prediction in said[name]] for name in names])


def _grid(members: int) -> Iterator[tuple[int, ...]]:
    for parts in itertools.product(range(STEPS + 1), repeat=members - 1):
        if sum(parts) <= STEPS:
            yield (*parts, STEPS - sum(parts))


def _mixed(weights: NDArray[np.int64], confidence: Floats, shares: Floats) -> Floats:
    heard = weights[:, None] * confidence
    total = heard.sum(0)
    neutral = np.array([0.0, 1.0, 0.0])
    mixed = (heard[:, :, None] * shares).sum(0) / np.where(total > 0, total, 1.0)[:, None]
    return np.where(total[:, None] > 0, mixed, neutral)


def _best_temperature(mixed: Floats, truth: NDArray[np.int64]) -> tuple[float, float]:
    logs = np.log(np.clip(mixed, _LEAST, 1.0))
    rows = np.arange(len(truth))

    def loss(temperature: float) -> float:
        scaled = logs / temperature
        return float(np.mean(np.log(np.exp(scaled).sum(1)) - scaled[rows, truth]))

    return min((loss(t), t) for t in np.geomspace(_COLDEST, _HOTTEST, _TEMPERATURES).tolist())
