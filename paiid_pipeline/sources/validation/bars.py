"""Bars: one page by symbol, in the vendor's field names.

Reasons for bars: ``missing_field``, ``bad_type``, ``bad_timestamp``, ``not_finite``, ``non_positive_price``,
``negative_volume``, ``high_below_low`` and ``close_outside_range`` (beyond `quality.bars.ROUNDING`),
``misaligned_timestamp``, ``outside_request``, ``future_timestamp``, ``outside_session``, ``unrequested_symbol``. Of
identical duplicates one is kept, and one ``duplicate_bar`` a symbol lists the rest; of conflicting ones the last
delivered is kept, the earlier are refused as ``conflicting_duplicate``.

A bar may be accepted and also be quarantined, in full: ``open_outside_range``, whose open is then null
(some trades set the open and not the high); and ``low_out_of_line``, ``high_out_of_line`` and ``vwap_out_of_line``
(see `quality.bars.OUT_OF_LINE`), which are stored as delivered and tested by each decision (`suspect_bars`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from paiid_pipeline.quality import bars as quality
from paiid_pipeline.schemas import BARS, MOMENT
from paiid_pipeline.sources.validation.shared import RequestScope, Row, ValidatedPage, clean, refusals
from paiid_pipeline.trading_calendar import TradingCalendar

_MINUTE = timedelta(minutes=1)
_EVENING = timedelta(hours=6)

ALSO_QUARANTINED: Mapping[str, pl.Expr] = {"open_outside_range": ~quality.in_range("open"), **quality.OUT_OF_LINE}
"""Of an accepted bar: the reason, and the expression that is true of it."""


@dataclass(frozen=True)
class BarShape:
    """A vendor's names for a bar's fields, and how its start becomes a moment.

    Optional fields are None where the vendor has no such field.
    """

    start: str
    start_type: type
    moment: Callable[[pl.Expr, TradingCalendar], pl.Expr]
    open: str
    high: str
    low: str
    close: str
    volume: str
    vwap: str | None
    trade_count: str | None


def check_bars(
    delivered: Mapping[str, object], shape: BarShape, scope: RequestScope, sessions: pl.DataFrame
) -> ValidatedPage:
    """One page of bars, by symbol. ``sessions`` is ``scope.sessions()``."""
    symbols, rows, refused = _flatten(delivered, scope)
    frame, faults = _bar_columns(symbols, rows, shape)
    frame = frame.with_columns(shape.moment(pl.col("start"), scope.calendar).alias("bar_start"))
    timed = _with_session(frame, scope, sessions)
    judged = timed.with_columns(_bar_reason(scope).alias("reason"))
    bad = judged.filter(pl.col("reason").is_not_null())
    for index, reason in zip(bad["index"], bad["reason"], strict=True):
        refused.append((faults.get(index, reason), {"symbol": symbols[index], **rows[index]}))
    fair = judged.filter(pl.col("reason").is_null())
    ended = fair.filter(pl.col("bar_end") <= scope.now)
    for reason, wrong in ALSO_QUARANTINED.items():
        noted = ended.filter(wrong)["index"]
        refused += [(reason, {"symbol": symbols[index], **rows[index]}) for index in noted]
    good = ended.with_columns(
        open=pl.when(quality.in_range("open")).then("open"),
        timeframe=pl.lit(scope.kind),
        source=pl.lit(scope.source),
        vwap=pl.when(pl.col("vwap") > 0).then(pl.col("vwap")),
    ).select(pl.col(name).cast(dtype) for name, dtype in BARS.items())
    return ValidatedPage(good, refusals(scope.source, refused), fair.height - ended.height)


def rfc3339(column: pl.Expr, _: TradingCalendar) -> pl.Expr:
    """``2022-02-01T05:00:00Z``, with any fraction of a second and any offset."""
    return column.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)


def epoch_seconds(column: pl.Expr, _: TradingCalendar) -> pl.Expr:
    """Whole seconds since 1970, UTC."""
    return pl.from_epoch(column, time_unit="s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(MOMENT)


def local_date(column: pl.Expr, calendar: TradingCalendar) -> pl.Expr:
    """``2019-01-02``: the exchange's own midnight of that day."""
    days = column.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    return days.dt.replace_time_zone(str(calendar.timezone), ambiguous="earliest").dt.convert_time_zone("UTC")


def _flatten(
    delivered: Mapping[str, object], scope: RequestScope
) -> tuple[list[str], list[Row], list[tuple[str, object]]]:
    symbols: list[str] = []
    rows: list[Row] = []
    refused: list[tuple[str, object]] = []
    for symbol, listed in delivered.items():
        if symbol not in scope.symbols:
            refused.append(("unrequested_symbol", {"symbol": symbol, "rows": listed}))
        elif not isinstance(listed, list):
            refused.append(("bad_type", {"symbol": symbol, "rows": listed}))
        else:
            proper = [row for row in listed if isinstance(row, dict)]
            if len(proper) < len(listed):
                refused += [("bad_type", {"symbol": symbol, "row": r}) for r in listed if not isinstance(r, dict)]
            symbols += [symbol] * len(proper)
            rows += proper
    return symbols, rows, refused


def _bar_columns(symbols: list[str], rows: list[Row], shape: BarShape) -> tuple[pl.DataFrame, dict[int, str]]:
    """The page as typed columns, null where a field is invalid, and the reason by row number."""
    faults: dict[int, str] = {}
    wanted = {name: getattr(shape, name) for name in ("open", "high", "low", "close", "volume")}
    columns = {name: _numbers([row.get(key) for row in rows], faults, True) for name, key in wanted.items()}
    for name, key in (("vwap", shape.vwap), ("trade_count", shape.trade_count)):
        columns[name] = _numbers([row.get(key) if key else None for row in rows], faults, False)
    frame = pl.DataFrame({"symbol": pl.Series(symbols, dtype=pl.String), **columns})
    starts = _starts([row.get(shape.start) for row in rows], faults, shape.start_type)
    faulty = pl.Series([i in faults for i in range(len(rows))], dtype=pl.Boolean) if faults else pl.lit(False)
    return frame.with_columns(starts.alias("start"), faulty.alias("faulty")).with_row_index("index"), faults


def _numbers(values: list[Any], faults: dict[int, str], required: bool) -> pl.Series:
    kinds = set(map(type, values))
    if kinds <= ({int, float} if required else {int, float, type(None)}):
        try:
            return pl.Series(values, dtype=pl.Float64)
        except (OverflowError, pl.exceptions.PolarsError, TypeError):
            pass  # an integer beyond 64 bits: judge one by one
    return pl.Series([_number(v, i, faults, required) for i, v in enumerate(values)], dtype=pl.Float64)


def _number(value: object, index: int, faults: dict[int, str], required: bool) -> float | None:
    if value is None:
        if required:
            faults.setdefault(index, "missing_field")
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    # Tradier spells a missing price as the string "NaN".
    if isinstance(value, str) and value.lower() == "nan":
        return math.nan
    faults.setdefault(index, "bad_type")
    return None


def _starts(values: list[Any], faults: dict[int, str], kind: type) -> pl.Series:
    dtype = pl.String if kind is str else pl.Int64
    good: list[Any] = values
    if not set(map(type, values)) <= {kind}:
        good = [value if type(value) is kind else None for value in values]
        for index, (value, kept) in enumerate(zip(values, good, strict=True)):
            if kept is None:
                faults.setdefault(index, "missing_field" if value is None else "bad_type")
    try:
        return pl.Series(good, dtype=dtype)
    except (OverflowError, UnicodeEncodeError, pl.exceptions.PolarsError, TypeError):
        return pl.Series([_plain(value) for value in good], dtype=dtype)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    return value if isinstance(value, int) and abs(value) < 2**53 else None


def _with_session(frame: pl.DataFrame, scope: RequestScope, sessions: pl.DataFrame) -> pl.DataFrame:
    """The bar's end, the moment it starts at by our convention, and whether it lies in a session."""
    if scope.kind == "1Day":
        zone = str(scope.calendar.timezone)
        joined = _dated(frame, zone, sessions).join(sessions, on="session", how="left", maintain_order="left")
        midnight = pl.col("session").cast(pl.Datetime("us")).dt.replace_time_zone(zone, ambiguous="earliest")
        return joined.with_columns(
            bar_start=midnight.dt.convert_time_zone("UTC"),
            bar_end=pl.col("close_right"),
            in_session=pl.col("close_right").is_not_null(),
        )
    return _opened(frame, sessions).with_columns(
        bar_end=pl.col("bar_start") + _MINUTE,
        in_session=(pl.col("bar_start") < pl.col("session_close")).fill_null(False),
    )


def _opened(frame: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with the last session that opened by each bar's start: session, session_open, session_close."""
    opens = sessions.select("session", pl.col("open").alias("session_open"), pl.col("close").alias("session_close"))
    joined = frame.sort("bar_start", nulls_last=True).join_asof(
        opens.sort("session_open"), left_on="bar_start", right_on="session_open", strategy="backward"
    )
    return joined.sort("index")


def _dated(frame: pl.DataFrame, zone: str, sessions: pl.DataFrame) -> pl.DataFrame:
    """``frame`` of daily bars with the session of each: that in which its start lies, or else the date it means.

    Vendors stamp a day with midnight of the exchange, of UTC or of a zone that keeps no summer time, or with the open
    of its session. A stamp from six in the evening on is of the next day: under the day before, its close would be
    known a session early.
    """
    meant = (pl.col("bar_start").dt.convert_time_zone(zone).dt.replace_time_zone(None) + _EVENING).dt.date()
    within = pl.col("bar_start") < pl.col("session_close")
    dated = _opened(frame, sessions).with_columns(pl.when(within).then("session").otherwise(meant).alias("session"))
    return dated.drop("session_open", "session_close")


def _bar_reason(scope: RequestScope) -> pl.Expr:
    aligned = pl.col("bar_start").dt.truncate("1m") == pl.col("bar_start")
    rules = {
        "faulty": pl.col("faulty"),
        "bad_timestamp": pl.col("bar_start").is_null(),
        **quality.refusals(),
        "misaligned_timestamp": ~aligned,
        "future_timestamp": pl.col("bar_start") >= scope.now,
        "outside_request": (pl.col("bar_start") < scope.start) | (pl.col("bar_start") >= scope.end),
        "outside_session": ~pl.col("in_session"),
    }
    return pl.coalesce(pl.when(broken).then(pl.lit(reason)) for reason, broken in rules.items())
