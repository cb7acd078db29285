"""RSI 14, MACD 12/26/9 and Bollinger bands 20/2 over many series at once, by TA-Lib.

Wilder's RSI, exponential MACD and SMA bands as TA-Lib defines them; every parameter is passed, because
TA-Lib's defaults change between versions. RSI and MACD are recursive: they remember their start, so
nothing is emitted before ``MINIMUM_BARS`` bars, where that memory has faded below 1e-6 of a point. All
three are causal: the value at a bar does not depend on how many bars follow it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Indices
from paiid_pipeline.indicator_catalogue import MINIMUM_BARS, indicator
from paiid_pipeline.indicator_catalogue import indicators as catalogued

VERSION = f"indicators.3(TA-Lib {version('TA-Lib')})"
"""Its number is raised whenever an indicator of the same bars changes."""

VALUES = ("rsi_14", "macd", "macd_signal", "macd_histogram", "bb_upper", "bb_middle", "bb_lower")
"""The columns that TA-Lib computes, in the order of :func:`series_values`."""

FLAT_BANDWIDTH = 1e-6
"""Bands narrower than this share of the price are the rounding of TA-Lib's running sums, not a width."""

RSI, MACD, BBANDS = (indicator(name).parameters for name in ("rsi_14", "macd", "bb_upper"))


@cache
def _talib() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    # Imported late, since it loads pandas where that is installed; unwrapped, since the wrappers that
    # look for pandas and polars arguments cost as much as the indicators themselves.
    import talib

    rsi, macd, bbands = (getattr(f, "__wrapped__", f) for f in (talib.RSI, talib.MACD, talib.BBANDS))
    return rsi, macd, bbands


def series_values(close: Floats, bounds: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, tuple[Floats, ...]]]:
    """TA-Lib's values of each of the series ``close[start:stop]``.

    ``close`` is finite, positive and contiguous, in one currency unit a series. Yields (start, stop,
    one array a name in ``VALUES``), each as long as its series and NaN until TA-Lib's own lookback.
    """
    rsi, macd, bbands = _talib()
    for start, stop in bounds:
        prices = close[start:stop]
        unit = unit_of(prices[0]) if stop > start else 1.0
        if unit == 1.0:
            yield start, stop, (rsi(prices, *RSI), *macd(prices, *MACD), *bbands(prices, *BBANDS))
        else:
            scaled = prices * unit
            bands = (band / unit for band in bbands(scaled, *BBANDS))
            yield start, stop, (rsi(scaled, *RSI), *macd(prices, *MACD), *bands)


def unit_of(first: float) -> float:
    """The power of two that brings a series that starts below 1 to between 2 ** 20 and 2 ** 21; else 1.

    TA-Lib takes what is below 1e-14 for zero whatever the price is, and would see neither width nor move in prices
    of a small part of a cent. A power of two changes no other bit.
    """
    return 1.0 if first >= 1.0 else math.ldexp(1.0, min(21 - math.frexp(first)[1], 900))


def defined_rsi(prices: Floats, rsi: Floats) -> Floats:
    """``rsi`` with NaN where the price has not moved at all, for which TA-Lib returns 0.

    A falling series is 0 as well, but 100 when turned upside down; a flat one is 0 both ways up.
    """
    zero = rsi == 0.0
    if zero.any():
        upside_down = _talib()[0](-prices, *RSI)
        rsi = np.where(zero & (upside_down == 0.0), np.nan, rsi)
    return rsi


def series_offsets(bars: pl.DataFrame, keys: Sequence[str]) -> Indices:
    """Where each series starts in a frame whose series lie in one piece, and, last, where the frame ends."""
    lengths = bars.select(pl.struct(keys).rle().struct.field("len")).to_series().to_numpy()
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def indicators(bars: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """RSI, MACD and Bollinger values at every bar.

    ``bars``: sorted by ``keys`` and time, each series in one piece, with a Float64 ``close`` in one unit
    a series (adjusted). Returns the same rows with the columns of ``VALUES``: null before the
    ``MINIMUM_BARS``-th bar of a series, and RSI null for a price that never moved. A close that is null,
    NaN, infinite or not above 0 is a hole: the series goes on as if the bar were not there, and the bar
    reads null. Raises ValueError if a value overflows.
    """
    close = np.ascontiguousarray(bars["close"].to_numpy())
    if not _all_usable(close):
        rows = bars.with_row_index("_row")
        known = indicators(rows.filter(pl.col("close").is_finite() & (pl.col("close") > 0)), keys)
        return rows.join(known.select("_row", *VALUES), on="_row", how="left", maintain_order="left").drop("_row")
    offsets = series_offsets(bars, keys)
    columns = [np.empty(bars.height) for _ in VALUES]
    enough = np.zeros(bars.height, dtype=np.bool_)
    for start, stop, values in series_values(close, pairwise(offsets.tolist())):
        part = slice(start, stop)
        enough[start + MINIMUM_BARS - 1 : stop] = True
        for column, value in zip(columns, values, strict=True):
            column[part] = value
    _refuse_overflow(columns, offsets[1:][np.diff(offsets) >= MINIMUM_BARS] - 1)
    read = [pl.Series(name, column) for name, column in zip(VALUES, columns, strict=True)]
    read[0] = _without_flat(close, columns[0], offsets)
    ready = pl.Series(enough)
    return bars.with_columns(pl.when(ready).then(series).alias(series.name) for series in read)


def _all_usable(close: Floats) -> bool:
    # A NaN, which is what a null becomes, makes the least value NaN, and that is not above 0.
    return not len(close) or bool(np.min(close) > 0 and np.max(close) < np.inf)


def _refuse_overflow(columns: Sequence[Floats], last: Indices) -> None:
    # A value that is not finite stays so to the end of its series, so the last bar suffices.
    for name, column in zip(VALUES, columns, strict=True):
        if not np.isfinite(column[last]).all():
            raise ValueError(f"{name} is not finite: a close is too large to compute with; quarantine such bars")


def _without_flat(close: Floats, rsi: Floats, offsets: Indices) -> pl.Series:
    read = pl.Series(VALUES[0], rsi)
    zeros = (read == 0.0).arg_true()
    if zeros.is_empty():
        return read
    defined = rsi.copy()
    for series in np.unique(np.searchsorted(offsets, zeros.to_numpy(), side="right") - 1).tolist():
        part = slice(offsets[series], offsets[series + 1])
        defined[part] = defined_rsi(close[part], rsi[part])
    return pl.Series(VALUES[0], defined, nan_to_null=True)


def _macd_cross() -> pl.Expr:
    before = pl.col("previous_macd_histogram")
    return (
        pl.when((before <= 0) & (pl.col("macd_histogram") > 0))
        .then(pl.lit("bullish"))
        .when((before >= 0) & (pl.col("macd_histogram") < 0))
        .then(pl.lit("bearish"))
        .otherwise(pl.lit("none"))
    )


_WIDTH = pl.col("bb_upper") - pl.col("bb_lower")
_BANDWIDTH = _WIDTH / pl.col("bb_middle")
_FLAT = _BANDWIDTH <= FLAT_BANDWIDTH


def _band_position() -> pl.Expr:
    return (
        pl.when(_FLAT)
        .then(None)
        .when(pl.col("price") > pl.col("bb_upper"))
        .then(pl.lit("above"))
        .when(pl.col("price") < pl.col("bb_lower"))
        .then(pl.lit("below"))
        .when(pl.col("price") >= pl.col("bb_middle"))
        .then(pl.lit("upper"))
        .otherwise(pl.lit("lower"))
    )


def _band_cross() -> pl.Expr:
    crossing: pl.Expr = pl.lit("none")
    for band in ("lower", "upper"):
        now = pl.col("price") - pl.col(f"bb_{band}")
        before = pl.col("previous_price") - pl.col(f"previous_bb_{band}")
        crossing = (
            pl.when((before <= 0) & (now > 0))
            .then(pl.lit(f"crossed_above_{band}"))
            .when((before >= 0) & (now < 0))
            .then(pl.lit(f"crossed_below_{band}"))
            .otherwise(crossing)
        )
    return pl.when(_FLAT).then(pl.lit("none")).otherwise(crossing)


ROW_FUNCTIONS: Mapping[str, pl.Expr] = {
    "macd_cross": _macd_cross(),
    "percent_b": pl.when(~_FLAT).then((pl.col("price") - pl.col("bb_lower")) / _WIDTH),
    "bandwidth": _BANDWIDTH,
    "band_position": _band_position(),
    "band_cross": _band_cross(),
}
"""Functions of the catalogue that are expressions over a bar's values and, as ``previous_…``, those of the bar before:
crossovers at the bar, %B, bandwidth and position. Flat bands have no %B, position or crossing."""


def with_row_functions(frame: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with the indicators of ``ROW_FUNCTIONS``.

    ``frame`` has ``VALUES``, ``price`` (the adjusted close) and ``previous_`` + each of price, macd_histogram,
    bb_upper and bb_lower at the bar before.
    """
    return frame.with_columns(
        ROW_FUNCTIONS[entry.function].alias(entry.name) for entry in catalogued() if entry.function in ROW_FUNCTIONS
    )
