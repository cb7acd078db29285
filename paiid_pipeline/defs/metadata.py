"""Metadata values: frames as tables, value counts, bullet lists and plots."""

import math
from base64 import b64encode
from collections.abc import Iterable

import dagster as dg
import polars as pl


def table(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """A frame as a table; floats to four significant digits, NaN and infinity as text: JSON has no such number."""
    columns = [dg.TableColumn(name, _column_type(kind)) for name, kind in frame.schema.items()]
    rows = frame.iter_rows(named=True)
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def counted(frame: pl.DataFrame, column: str = "reason") -> dg.TableMetadataValue:
    """How often each value of a column occurs, the 50 commonest first."""
    counts = frame.group_by(column).agg(pl.len().alias("rows")).sort("rows", column, descending=[True, False])
    return table(counts.head(50))


def bullets(lines: Iterable[str], empty: str = "none") -> dg.MarkdownMetadataValue:
    """A bullet list, or ``empty``."""
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines) or empty)


def picture(name: str, image: bytes) -> dg.MarkdownMetadataValue:
    """A PNG, as a data URI."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{b64encode(image).decode()})")


def _column_type(kind: pl.DataType) -> str:
    if kind.is_float():
        return "float"
    if kind.is_integer():
        return "int"
    return "bool" if kind == pl.Boolean else "string"


def _cell(value: object) -> str | int | float | bool | None:
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, int) else str(value)
