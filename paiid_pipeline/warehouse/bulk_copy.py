"""Frames into and out of PostgreSQL by COPY; floats keep their bits, moments their microseconds."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812 (a class that psycopg2 names in lower case)

from paiid_pipeline.schemas import MOMENT, ColumnType, Schema
from paiid_pipeline.warehouse.copy_binary import decode, encode

_CHUNK = 1 << 20


def validated(frame: pl.DataFrame, schema: Schema, table: str, never_null: Sequence[str] = ()) -> pl.DataFrame:
    """The frame with the schema's columns in their order.

    Raises ValueError for a missing column, another type, a null in ``never_null``, or a number that is not
    finite: a NaN that is stored once compares as equal to nothing but itself and poisons every mean.
    """
    for name, kind in schema.items():
        if name not in frame.columns:
            raise ValueError(f"{table}: the frame has no column {name!r}; it has {', '.join(frame.columns)}")
        if frame.schema[name] != kind:
            raise ValueError(f"{table}: column {name!r} is {frame.schema[name]}, cast it to {kind}")
        if name in never_null and frame[name].null_count():
            raise ValueError(f"{table}: column {name!r} has a null: it is required, so quarantine what lacks it")
        if kind == pl.Float64 and not frame[name].is_finite().all():
            raise ValueError(f"{table}: column {name!r} holds NaN or infinity: a missing value is null")
    return frame.select(list(schema))


def copy_in(cursor: Cursor, target: str, frame: pl.DataFrame, binary: bool = False) -> None:
    """Append a frame to a table with the same columns in the same order; ``binary`` where `encode` suits it."""
    if binary:
        parts = io.BytesIO(b"".join(encode(frame)))
        cursor.copy_expert(f"COPY {target} FROM STDIN (FORMAT binary)", parts, size=_CHUNK)
        return
    buffer = io.BytesIO()
    frame.select(_for_copy(name, kind) for name, kind in frame.schema.items()).write_csv(buffer, include_header=False)
    buffer.seek(0)
    cursor.copy_expert(f"COPY {target} FROM STDIN (FORMAT csv)", buffer, size=_CHUNK)


def copy_out(cursor: Cursor, query: str, parameters: Mapping[str, Any], schema: Schema) -> pl.DataFrame:
    """The rows of a query whose columns are those of ``schema``."""
    columns = ", ".join(_for_reading(name, kind) for name, kind in schema.items())
    statement = cursor.mogrify(f"COPY (SELECT {columns} FROM ({query}) found) TO STDOUT (FORMAT csv)", parameters)
    buffer = io.BytesIO()
    cursor.copy_expert(statement, buffer, size=_CHUNK)
    if not buffer.tell():
        return pl.DataFrame(schema=schema)
    as_read = {name: _read_type(kind) for name, kind in schema.items()}
    buffer.seek(0)
    frame = pl.read_csv(buffer, has_header=False, schema=as_read)
    return frame.select(_from_read(name, kind) for name, kind in schema.items())


def copy_out_binary(cursor: Cursor, query: str, parameters: Mapping[str, Any], schema: Schema) -> pl.DataFrame:
    """The rows of a query whose columns are those of ``schema`` and never null: numbers, moments, booleans."""
    buffer = io.BytesIO()
    cursor.copy_expert(cursor.mogrify(f"COPY ({query}) TO STDOUT (FORMAT binary)", parameters), buffer, size=_CHUNK)
    return decode(buffer.getvalue(), schema)


def _for_copy(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.List(pl.String):
        quoted = pl.element().str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        elements = column.list.eval(pl.lit('"') + quoted + pl.lit('"')).list.join(",")
        return (pl.lit("{") + elements + pl.lit("}")).alias(name)
    if kind == pl.String:
        # PostgreSQL has no NUL in text: its symbol U+2400 stands for it.
        return column.str.replace_all("\0", "␀", literal=True)
    return column


def _for_reading(name: str, kind: ColumnType) -> str:
    if kind == MOMENT:
        return f"(extract(epoch from {name}) * 1000000)::bigint"
    if kind == pl.List(pl.String):
        return f"array_to_json({name})"
    if kind == pl.Boolean:
        return f"{name}::int"
    return name


def _read_type(kind: ColumnType) -> ColumnType:
    if kind == MOMENT or kind == pl.Boolean:
        return pl.Int64
    return pl.String if kind == pl.List(pl.String) or kind == pl.Date else kind


def _from_read(name: str, kind: ColumnType) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.List(pl.String):
        return column.str.json_decode(pl.List(pl.String))
    if kind == pl.Date:
        return column.str.to_date("%Y-%m-%d")
    return column.cast(kind)
