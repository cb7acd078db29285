"""Drift of a model: of its features by PSI and the Kolmogorov-Smirnov distance, of its forecasts by ECE.

PSI and KS compare the features of recent decisions with those of training; the ECE is of decisions since training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats

BINS = 10
_GRID = 200
_LEAST = 1e-4
"""Floor of a bin's fraction, so that its logarithm is finite."""


def reference_json(features: pl.DataFrame, ece: float) -> str:
    """The reference of :func:`drifts` as JSON: quantiles of the training features, a column each, and the ECE."""
    steps = np.linspace(0, 1, _GRID + 1)
    found = {}
    for column in features:
        known = column.drop_nulls().to_numpy()
        quantiles = np.quantile(known, steps).tolist() if len(known) else []
        found[column.name] = {"known": 1 - column.null_count() / max(column.len(), 1), "quantiles": quantiles}
    return json.dumps({"rows": features.height, "ece": ece, "features": found})


def drifts(reference: Mapping[str, Any], recent: pl.DataFrame) -> pl.DataFrame:
    """One row a feature: feature, psi, ks, known, known_before (non-null fractions); largest PSI first.

    ``recent``: a column a feature, at least one row. Missing values are a bin of their own in the PSI; KS is of the
    values present, and 0 where a side has none.
    """
    rows = []
    for name, then in reference["features"].items():
        values = recent[name].drop_nulls().to_numpy()
        known = len(values) / max(recent.height, 1)
        quantiles = np.array(then["quantiles"])
        index = stability(quantiles, then["known"], values, known)
        rows.append((name, index, distance(quantiles, values), known, then["known"]))
    schema = {
        "feature": pl.String,
        "psi": pl.Float64,
        "ks": pl.Float64,
        "known": pl.Float64,
        "known_before": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").sort("psi", "feature", descending=[True, False])


def stability(quantiles: Floats, known_before: float, values: Floats, known: float) -> float:
    """The population stability index, sum of (p - q) ln(p / q) over bins: 0 for equal shares.

    Bins are deciles of the reference where distinct, closed above, and one for missing values.
    """
    shares, before = [1 - known], [1 - known_before]
    if len(quantiles):
        edges = np.unique(quantiles[:: _GRID // BINS][1:-1])
        shares += (known * _shares(edges, values)).tolist()
        before += (known_before * _shares(edges, quantiles)).tolist()
    p, q = (np.maximum(each, _LEAST) for each in (np.array(shares), np.array(before)))
    return float(np.sum((p - q) * np.log(p / q)))


def _shares(edges: Floats, values: Floats) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return np.asarray(counts / max(len(values), 1), dtype=np.float64)


def distance(quantiles: Floats, values: Floats) -> float:
    """Kolmogorov-Smirnov distance, in [0, 1], of values from a reference given by its quantiles."""
    if not len(quantiles) or not len(values):
        return 0.0
    places = np.unique(np.concatenate([quantiles, values]))
    first, second = np.sort(quantiles), np.sort(values)
    gaps = np.searchsorted(first, places, side="right") / len(first) - np.searchsorted(
        second, places, side="right"
    ) / len(second)
    return float(np.max(np.abs(gaps)))


@dataclass(frozen=True)
class DriftLimits:
    """Thresholds of retraining."""

    psi: float = 0.25
    """A feature above both this and ``ks`` has drifted."""
    ks: float = 0.2
    share: float = 0.2
    """Retrain where more than this fraction of the features has drifted."""
    ece: float = 0.05
    """Retrain where the ECE exceeds that of training by more than this."""
    decisions: int = 200
    """Minimum recent decisions."""


@dataclass(frozen=True)
class Drift:
    """The result of a drift assessment."""

    features: pl.DataFrame
    drifted: tuple[str, ...]
    decisions: int
    ece: float | None
    """Since training; None with too few labels."""
    ece_before: float
    reasons: tuple[str, ...]
    """Reasons to retrain; empty without drift."""


def assess(reference: Mapping[str, Any], features: pl.DataFrame, ece: float | None, limits: DriftLimits) -> Drift:
    """``features``: recent ones, as of :func:`drifts`; ``ece``: of decisions with a known label."""
    found = drifts(reference, features)
    over = found.filter((pl.col("psi") > limits.psi) & (pl.col("ks") > limits.ks))["feature"].to_list()
    before = float(reference["ece"])
    reasons = []
    if features.height >= limits.decisions and len(over) > limits.share * found.height:
        reasons.append(f"{len(over)} of {found.height} features have drifted: {_named(over)}")
    if ece is not None and ece > before + limits.ece:
        reasons.append(f"calibration error {ece:.3f}, {before:.3f} in training")
    return Drift(found, tuple(over), features.height, ece, before, tuple(reasons))


def _named(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
