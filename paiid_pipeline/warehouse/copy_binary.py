"""PostgreSQL's binary COPY format by numpy: for many short rows, two to three times as fast as CSV.

Rows whose texts have the same lengths and whose nulls are in the same columns have the same layout, and
a layout is one structured array. It suits frames with few layouts, such as bars; not articles.

https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"; the columns' own formats are
those of their types' send functions (big-endian; moments in microseconds since 2000).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.schemas import MOMENT, ColumnType, Schema

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH = 946_684_800_000_000
_FIXED: Mapping[Any, str] = {pl.Float64: ">f8", pl.Int64: ">i8", pl.Boolean: "u1"}


def encode(frame: pl.DataFrame) -> Iterator[bytes]:
    """The frame as the parts of a binary COPY; rows are regrouped by layout. Strings, numbers, moments, booleans."""
    yield _HEADER
    layout = [_layout(name, kind) for name, kind in frame.schema.items()]
    signature = frame.select(layout)
    varying = [name for name in signature.columns if signature[name].min() != signature[name].max()]
    if not varying:
        yield _records(frame)
    else:
        marked = frame.hstack([signature[name].alias(f"layout of {name}") for name in varying])
        for part in marked.partition_by(
            [f"layout of {name}" for name in varying], include_key=False, maintain_order=True
        ):
            yield _records(part)
    yield _TRAILER


def decode(data: bytes, schema: Schema) -> pl.DataFrame:
    """The rows of a binary COPY whose columns are never null: numbers, moments and booleans.

    Raises ValueError where the data have another layout.
    """
    fields: list[Any] = [("count", ">i2")]
    for name, kind in schema.items():
        fields += [(f"length of {name}", ">i4"), (name, ">i8" if kind == MOMENT else _FIXED[kind])]
    layout = np.dtype(fields)
    count, rest = divmod(len(data) - len(_HEADER) - len(_TRAILER), layout.itemsize)
    records = np.frombuffer(data, layout, count, len(_HEADER))
    if rest or not (records["count"] == len(schema)).all():
        raise ValueError(f"a binary COPY of {len(data)} bytes does not hold rows of {', '.join(schema)}")
    return pl.DataFrame([_series(name, kind, records[name]) for name, kind in schema.items()])


def _series(name: str, kind: ColumnType, values: Any) -> pl.Series:
    native = values.astype(values.dtype.newbyteorder("="))
    if kind == MOMENT:
        return pl.Series(name, native + _EPOCH).cast(MOMENT)
    return pl.Series(name, native).cast(kind)


def _layout(name: str, kind: pl.DataType) -> pl.Expr:
    """The length of a value in bytes, -1 for null."""
    length = pl.col(name).str.len_bytes().cast(pl.Int32) if kind == pl.String else pl.lit(0, pl.Int32)
    return pl.when(pl.col(name).is_null()).then(pl.lit(-1, pl.Int32)).otherwise(length).alias(name)


def _records(part: pl.DataFrame) -> bytes:
    """Rows of one layout."""
    columns = [_column(part[name]) for name in part.columns]
    fields: list[Any] = [("count", ">i2")]
    for number, (form, _) in enumerate(columns):
        fields += [(f"length{number}", ">i4"), (f"value{number}", form or "V0")]
    records = np.zeros(part.height, np.dtype(fields))
    records["count"] = len(columns)
    for number, (form, values) in enumerate(columns):
        if form is None:
            records[f"length{number}"] = -1
        else:
            records[f"length{number}"] = np.dtype(form).itemsize
            records[f"value{number}"] = values
    return records.tobytes()


def _column(series: pl.Series) -> tuple[str | None, Any]:
    """The numpy type of the values as written, None for nulls, and the values."""
    if series.null_count():
        return None, None
    if series.dtype == pl.String:
        return _texts(series)
    if series.dtype == MOMENT:
        return ">i8", series.to_physical().to_numpy() - _EPOCH
    return _FIXED[type(series.dtype)], series.to_numpy()


def _texts(series: pl.Series) -> tuple[str, Any]:
    known = series.unique()
    length = int(known.str.len_bytes()[0])
    if not length:
        return "V0", np.zeros(series.len(), "V0")
    table = np.array([text.encode() for text in known], f"S{length}")
    codes = series.replace_strict(known, pl.int_range(known.len(), eager=True), return_dtype=pl.Int64)
    return f"S{length}", table[codes.to_numpy()]
