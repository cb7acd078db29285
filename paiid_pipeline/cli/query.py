"""`paiid sql`, and the table of the newest signals."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from paiid_pipeline.console import print_err, print_out, table
from paiid_pipeline.warehouse.statements import StatementError, newest_signals, run_statement

Format = Literal["table", "csv", "json"]

_REASONS_WIDTH = 60


def run_sql(url: str, statement: str, form: Format, *, analyst_password: str | None, as_analyst: bool) -> int:
    """Execute one or more statements and print the last result; commits. Returns the exit code."""
    try:
        result = run_statement(url, statement, analyst_password=analyst_password, as_analyst=as_analyst)
    except ConnectionError as error:
        print_err(f"paiid sql: {error}")
        return 1
    except StatementError as error:
        print_err(str(error))
        return 1
    for notice in result.notices:
        print_err(notice.rstrip())
    if result.columns is None:
        print_out(result.status)
    else:
        _print(form, result.columns, result.rows)
    return 0


def show_signals(url: str, timezone: ZoneInfo) -> int:
    """Print the newest signal of every symbol and horizon, with the engine where there are several.

    Returns how many there are.
    """
    rows = newest_signals(url)
    zones = list(dict.fromkeys([timezone, ZoneInfo("UTC")]))
    moments = [f"as of, {zone.key}" for zone in zones]
    engines = ["engine"] if len({row["engine"] for row in rows}) > 1 else []
    header = ["symbol", "horizon", *engines, *moments, "signal", "strength", "conf.", "price", "reasons"]
    right = [name in ("strength", "conf.", "price") for name in header]
    for line in table(header, [_signal_row(row, zones, engines) for row in rows], right):
        print_out(line)
    return len(rows)


def _signal_row(row: dict[str, Any], zones: Sequence[ZoneInfo], engines: Sequence[str]) -> list[str]:
    return [
        row["symbol"],
        row["horizon"],
        *(row[name] for name in engines),
        *(row["as_of"].astimezone(zone).strftime("%Y-%m-%d %H:%M") for zone in zones),
        row["signal"],
        f"{row['strength']:+.2f}",
        f"{row['confidence']:.2f}",
        priced(row["price"]),
        _shorten("; ".join(reason["text"] for reason in _parsed(row["reasons"]))),
    ]


def priced(price: float | None, decimals: int = 2) -> str:
    """A price with ``decimals`` decimals, and below 1 with four significant digits."""
    if price is None:
        return "n/a"
    return f"{price:,.{decimals}f}" if abs(price) >= 1 else f"{price:.4g}"


def _parsed(reasons: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    # psycopg2 parses jsonb, and leaves text as it is
    return json.loads(reasons) if isinstance(reasons, str) else reasons


def _shorten(text: str) -> str:
    return text if len(text) <= _REASONS_WIDTH else text[: _REASONS_WIDTH - 1] + "…"


def _print(form: Format, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if form == "json":
        documents = [{name: _plain(value) for name, value in zip(header, row, strict=True)} for row in rows]
        print_out(json.dumps(documents, indent=2, ensure_ascii=False, allow_nan=False))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([["" if value is None else _text(value) for value in row] for row in rows])
    else:
        right = [_all_numbers(row[index] for row in rows) for index in range(len(header))]
        for line in table(header, [[_text(value, short=True) for value in row] for row in rows], right):
            print_out(line)
        print_out(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")


def _all_numbers(values: Iterable[object]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float | Decimal) for value in known)


def _text(value: object, *, short: bool = False) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.8g}" if short else repr(value)
        case datetime():
            return value.isoformat(sep=" ").replace("+00:00", "Z")
        case list() | dict():
            return json.dumps(_plain(value), ensure_ascii=False)
        case memoryview():
            return f"\\x{value.hex()}"
    text = str(value)
    return text.replace("\n", "\\n") if short else text


def _plain(value: object) -> object:
    """The value as JSON can hold it; NaN and infinities become strings, as in PostgreSQL's own JSON."""
    match value:
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
    return _text(value)
