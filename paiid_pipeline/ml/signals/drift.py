"""Whether what a model sees today still looks like what it learnt from, and whether its odds still hold.

Of each feature the population stability index and the Kolmogorov-Smirnov distance between training and
recent decisions; of the odds the calibration error since.
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
"""A share of nothing counts as this much, so that its logarithm is finite."""


def reference_json(features: pl.DataFrame, ece: float) -> str:
    """What :func:`drifts` needs to know of the training's features, a column each, and its calibration error: JSON."""
    steps = np.linspace(0, 1, _GRID + 1)
    found = {}
    for column in features:
        known = column.drop_nulls().to_numpy()
        quantiles = np.quantile(known, steps).tolist() if len(known) else []
        found[column.name] = {"known": 1 - column.null_count() / max(column.len(), 1), "quantiles": quantiles}
    return json.dumps({"rows": features.height, "ece": ece, "features": found})


def drifts(reference: Mapping[str, Any], recent: pl.DataFrame) -> pl.DataFrame:
    """Of each feature of a reference (read from JSON): feature, psi, ks, known, known_before; the most drifted first.

    ``recent``: a column each, at least one row. What is not known counts as a bin of its own in the index; the
    distance is that of the values that are known, and 0 where there are none on one side.
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

    The bins are tenths of the reference, as far as its values are distinct, and one for what is not known. A bin
    holds its upper edge.
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
    """The largest gap between two distribution functions, in [0, 1]; the reference's is read off its quantiles."""
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
    """From where on a model is to be trained again."""

    psi: float = 0.25
    """A feature above both this and ``ks`` has drifted."""
    ks: float = 0.2
    share: float = 0.2
    """As soon as more than this share of the features has."""
    ece: float = 0.05
    """Or as soon as the calibration error is more than this above that of training."""
    decisions: int = 200
    """Over so many recent decisions at least; fewer say nothing."""


@dataclass(frozen=True)
class Drift:
    """What was found."""

    features: pl.DataFrame
    drifted: tuple[str, ...]
    decisions: int
    ece: float | None
    """Since training; None with too few outcomes."""
    ece_before: float
    reasons: tuple[str, ...]
    """Why to train again; none where all is well."""


def assess(reference: Mapping[str, Any], features: pl.DataFrame, ece: float | None, limits: DriftLimits) -> Drift:
    """``features``: what :func:`drifts` takes as recent; ``ece``: that of decisions whose outcome is known."""
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
