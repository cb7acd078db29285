"""Metadata values: what stands in a table, and that Dagster can store and send it."""

from __future__ import annotations

import json
import math

import dagster as dg
import polars as pl

from paiid_pipeline.defs.metadata import bullets, counted, table


def records(value: dg.TableMetadataValue) -> list[dict[str, object]]:
    return [dict(record.data) for record in value.records]


def test_a_table_keeps_four_digits_and_holds_nothing_that_json_cannot() -> None:
    frame = pl.DataFrame({"name": ["a", None], "share": [1 / 3, math.nan], "rows": [123456, 2], "good": [True, None]})
    shown = table(frame.with_columns(day=pl.date(2026, 3, 10)))
    assert records(shown) == [
        {"name": "a", "share": 0.3333, "rows": 123456, "good": True, "day": "2026-03-10"},
        {"name": None, "share": "nan", "rows": 2, "good": None, "day": "2026-03-10"},
    ]
    assert json.loads(json.dumps(records(shown), allow_nan=False)) == records(shown)
    assert [column.type for column in shown.schema.columns] == ["string", "float", "int", "bool", "string"]


def test_values_are_counted_the_commonest_first_and_no_rows_are_an_empty_table() -> None:
    frame = pl.DataFrame({"reason": ["b", "a", "c", "c"]})
    assert records(counted(frame)) == [
        {"reason": "c", "rows": 2}, {"reason": "a", "rows": 1}, {"reason": "b", "rows": 1},
    ]  # fmt: skip
    assert records(counted(frame.clear())) == []


def test_a_list_is_a_bullet_a_line_or_what_stands_for_nothing() -> None:
    assert bullets(["a", "b"]).value == "- a\n- b"
    assert bullets([]).value == "none"
