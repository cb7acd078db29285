"""Metrics of model versions: every one is kept, the newest of each is shown to analysts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from paiid_pipeline import schemas
from paiid_pipeline.warehouse import Warehouse, WarehouseError
from paiid_pipeline_tests.warehouse.rows import MINUTE, T0, frame


def measured(value: float, **other: Any) -> dict[str, Any]:
    """The accuracy of a version of a model."""
    return {
        "model": "custom_bert", "version": 1, "evaluated_at": T0, "metric": "accuracy", "value": value, "low": None,
        "high": None, "row_count": 100, "data_sha256": "d", "promoted": False, "verdict": "not better", "run_id": "r",
        **other,
    }  # fmt: skip


def rows(*measurements: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.MODEL_EVALUATIONS, measurements)


def test_the_newest_measurement_of_each_version_and_metric_is_shown(warehouse: Warehouse) -> None:
    later = measured(0.9, evaluated_at=T0 + MINUTE, promoted=True, low=0.8, high=1.0)
    others = measured(0.7, version=2), measured(0.1, metric="ece"), measured(0.5, model="ensemble")
    warehouse.model_metrics.write(rows(measured(0.8), *others))
    warehouse.model_metrics.write(rows(later))
    shown = warehouse.model_metrics.newest().sort("value")
    assert shown.equals(rows(others[1], others[2], others[0], later))


def test_writing_twice_changes_nothing(warehouse: Warehouse) -> None:
    first = rows(measured(0.8), measured(0.9, evaluated_at=T0 + timedelta(days=1)))
    assert warehouse.model_metrics.write(first).inserted == 2
    again = warehouse.model_metrics.write(rows(measured(0.1)))
    assert (again.inserted, again.unchanged) == (0, 1)
    assert warehouse.model_metrics.newest()["value"].to_list() == [0.9]


def test_what_has_no_value_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="model_evaluations"):
        warehouse.model_metrics.write(frame(schemas.MODEL_EVALUATIONS, [{**measured(0.0), "value": None}]))
