"""The metrics and verdict of a model version as warehouse rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

import polars as pl

from paiid_pipeline.ml.registry import Version
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.schemas import MODEL_EVALUATIONS

_BOUNDS = ("low", "high")
_ROWS = "rows"


def performance(version: Version, verdict: GateResult, at: datetime, run_id: str) -> pl.DataFrame:
    """`schemas.MODEL_EVALUATIONS`: a row a metric of ``version``, evaluated by ``at`` (UTC) on held-out data.

    ``accuracy_low`` and ``accuracy_high`` are the bounds of ``accuracy``; ``tweets/rows`` is the row count of
    ``tweets/accuracy``. Metrics that are not finite have no row.
    """
    metrics = {name: value for name, value in version.metrics.items() if math.isfinite(value)}
    about = {
        "model": version.name,
        "version": version.version,
        "evaluated_at": at,
        "data_sha256": version.data_sha256,
        "promoted": verdict.promote,
        "verdict": "; ".join(verdict.reasons),
        "run_id": run_id,
    }
    rows = [
        {
            **about,
            "metric": name,
            "value": value,
            **{bound: metrics.get(f"{name}_{bound}") for bound in _BOUNDS},
            "row_count": _rows(metrics, name),
        }
        for name, value in metrics.items()
        if not _is_bound(metrics, name) and name.rpartition("/")[2] != _ROWS
    ]
    return pl.DataFrame(rows, schema=MODEL_EVALUATIONS)


def _is_bound(metrics: Mapping[str, float], name: str) -> bool:
    of, _, bound = name.rpartition("_")
    return bound in _BOUNDS and of in metrics


def _rows(metrics: Mapping[str, float], name: str) -> int:
    chosen = name.rpartition("/")[0]
    return int(metrics.get(f"{chosen}/{_ROWS}", metrics.get(_ROWS, 0)))
