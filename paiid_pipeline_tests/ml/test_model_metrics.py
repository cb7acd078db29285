"""A version's metrics as rows: bounds beside their value, rows of their own set, nothing that is not a number."""

from __future__ import annotations

from datetime import UTC, datetime

from paiid_pipeline.ml.model_metrics import performance
from paiid_pipeline.ml.registry import Version
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.schemas import MODEL_EVALUATIONS

AT = datetime(2026, 1, 5, tzinfo=UTC)
METRICS = {
    "rows": 100.0, "accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.9, "brier": 0.2, "how_low": 1.0,
    "tweets/rows": 40.0, "tweets/accuracy": 0.6, "ratio": float("nan"),
}  # fmt: skip
VERSION = Version("custom_bert", 3, "d", "sha", "run", (), AT, METRICS, {}, ())


def test_a_metric_is_a_row_with_its_bounds_and_its_own_rows() -> None:
    found = performance(VERSION, GateResult(False, ("not better than VADER", "nor the champion")), AT, "r1")
    assert found.schema == MODEL_EVALUATIONS
    numbers = found.select("metric", "value", "low", "high", "row_count").sort("metric").rows()
    assert numbers == [
        ("accuracy", 0.8, 0.7, 0.9, 100),
        ("brier", 0.2, None, None, 100),
        ("how_low", 1.0, None, None, 100),
        ("tweets/accuracy", 0.6, None, None, 40),
    ]
    about = found.select("model", "version", "promoted", "verdict", "run_id", "data_sha256").unique().rows()
    assert about == [("custom_bert", 3, False, "not better than VADER; nor the champion", "r1", "sha")]
