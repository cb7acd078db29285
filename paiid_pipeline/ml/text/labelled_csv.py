"""Reads a CSV of labelled texts in the encodings and dialects of common programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import polars as pl

_MARKED = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Encodings by byte-order mark."""
_SEPARATORS = ",;\t"
_LONGEST_FIELD = 2**27
"""Bytes; the csv module's own bound is shorter than some articles."""


def read_csv(path: Path, columns: Iterable[str]) -> pl.DataFrame:
    """The columns of a CSV file as text; its header names at least ``columns``.

    UTF-8 with or without a byte-order mark, UTF-16 with one, else Windows-1252; separated by commas, semicolons or
    tabs; column names in any case. Raises ValueError, in one line that names the file, the line and the remedy, for a
    malformed file.
    """
    text = _decoded(path)
    first = text.split("\n", 1)[0]
    separator = max(_SEPARATORS, key=first.count)
    csv.field_size_limit(_LONGEST_FIELD)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    try:
        for fields in lines:
            if not header:
                header = _header(path, fields, columns)
            elif fields:
                rows.append(_row(path, lines.line_num, fields, header))
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {lines.line_num}: its quotes do not pair ({error}): write a quote inside a text twice, "
            "and close each text"
        ) from None
    if not header:
        raise ValueError(f"{path} is empty: its first line must name the columns, {', '.join(columns)}")
    if not rows:
        raise ValueError(f"{path} has no rows under its header: give at least one")
    return pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")


def _decoded(path: Path) -> str:
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a CSV file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): give a CSV file") from None
    if content[:2] in (b"\x1f\x8b", b"PK"):
        raise ValueError(f"{path} is compressed or a spreadsheet: unpack it, or save it as CSV")
    encoding = next((name for mark, name in _MARKED.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")  # the default of Western spreadsheets
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _header(path: Path, fields: list[str], columns: Iterable[str]) -> list[str]:
    names = [field.strip().lower() for field in fields]
    missing = [name for name in columns if name not in names]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {', '.join(fields)}: rename or add it")
    double = next((name for name in names if name and names.count(name) > 1), None)
    if double:
        raise ValueError(f"{path} has two columns {double!r}: rename one of them")
    return [name or f"column {place}" for place, name in enumerate(names, start=1)]


def _row(path: Path, line: int, fields: list[str], header: list[str]) -> list[str]:
    if len(fields) != len(header):
        remedy = "put a text with commas in quotes" if len(fields) > len(header) else "fill in what is missing"
        raise ValueError(f"{path}, line {line}: {len(fields)} fields under {len(header)} columns: {remedy}")
    return fields
