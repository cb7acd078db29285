"""The indicators beside RSI, MACD and Bollinger: trend, range, volume, divergence and regime.

Averages, ATR, ADX and OBV as TA-Lib defines them. Everything is causal: the value at a bar depends on
that bar and the ones before it. A price pivot is known only ``PIVOT_BARS`` bars after it, so a divergence
is dated by the bar that confirms it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Indices, Mask
from paiid_pipeline.indicator_catalogue import MINIMUM_BARS, Indicator, indicators
from paiid_pipeline.technicals.indicators import ROW_FUNCTIONS, VALUES, unit_of

PIVOT_BARS = 5
"""A pivot is the extreme of this many bars on either side of it."""
PIVOTS_APART = 60
"""Pivots further apart than this many bars are not compared."""
DIVERGENCE_BARS = 10
"""A divergence counts for this many bars, the one that confirms it being the first."""
SQUEEZE_BARS, SQUEEZE = 125, 1.1
"""Bands are squeezed when they are at most this multiple of their narrowest of so many bars."""
TREND_ADX = 25.0
"""The least ADX (Wilder) of a trend."""
HIGH_VOLATILITY = 1.5
"""Volatility of this multiple of its mean over ``VOLATILITY_BARS`` bars is high."""
VOLATILITY_BARS = 200
STILL_BARS = 20
"""Where the close has been the same for so many bars ADX is undefined: it would describe the move before."""
FAINT = 1e-6
"""A window whose largest value is less than this share of the series' largest is less than the rounding that a
running sum carries on: it is summed anew."""
_Step = tuple[str, tuple[str, ...], tuple[float, ...]]
"""A function, the columns it reads, and its parameters."""

MEASURED = tuple(entry for entry in indicators() if entry.name not in VALUES and entry.function not in ROW_FUNCTIONS)
"""The indicators that are computed here, in the order of :func:`measures`."""

INTERMEDIATE: Mapping[str, _Step] = {
    "mean_volume": ("SMA", ("volume",), (20,)),
    "mean_volume_20": ("mean_20", ("mean_volume", "volume", "peak_volume"), ()),
    "mean_value": ("SMA", ("value",), (20,)),
    "running_adx": ("ADX", ("scaled_high", "scaled_low", "scaled_close"), (14,)),
    "running_volatility": ("STDDEV", ("returns",), (20, 1.0)),
    "mean_volatility": ("SMA", ("running_volatility",), (VOLATILITY_BARS,)),
    "pivots": ("pivots", ("close",), ()),
}
"""Columns that indicators are computed from and that are not stored."""


def _steps(entries: Sequence[Indicator]) -> dict[str, _Step]:
    return {entry.name: (entry.function, entry.inputs, entry.parameters) for entry in entries} | dict(INTERMEDIATE)


RUNNING: Mapping[str, _Step] = {name: step for name, step in _steps(MEASURED).items() if step[0].isupper()}
"""Columns of TA-Lib, which remember more than a window of bars; each reads only those before it."""

PEAKS = ("peak_volume", "peak_value", "peak_return")
"""Of :func:`inputs`: the largest so far, in the order of ``Carried.peaks``."""

REMEMBERED = SQUEEZE_BARS
"""From the newest so many bars of what :func:`derived` reads, its newest values are those of the whole series."""

_POSITIVE = pl.col("close", "high", "low")
USABLE = pl.all_horizontal(
    _POSITIVE.is_finite() & (_POSITIVE > 0), pl.col("volume").is_finite() & (pl.col("volume") >= 0)
)
"""True of a bar that can be computed with; null or false of a hole."""


@dataclass(frozen=True)
class Prices:
    """One series of bars, oldest first, adjusted to one price basis; finite, prices above 0, volume at least 0.

    ``traded``: the bar's volume-weighted price, or (high + low + close) / 3 where the vendor gives none.
    """

    close: Floats
    high: Floats
    low: Floats
    traded: Floats
    volume: Floats


@dataclass(frozen=True)
class Carried:
    """The state of :func:`inputs` after the bars before; by default there are none."""

    close: float = np.nan
    unit: float | None = None
    peaks: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The largest volume, value and size of a return so far."""


@cache
def _talib(name: str) -> Callable[..., Any]:
    # Late and unwrapped: as in `indicators`.
    import talib

    function = getattr(talib, name)
    return getattr(function, "__wrapped__", function)  # type: ignore[no-any-return]


def measures(
    prices: Prices, rsi: Floats, macd: Floats, bands: tuple[Floats, ...], entries: Sequence[Indicator] = MEASURED
) -> tuple[Floats, ...]:
    """One array for each of ``entries``, as long as the series, NaN where undefined; flags and texts as codes.

    ``rsi``, ``macd`` (the line) and ``bands`` (upper, middle, lower) are those of the same series. Meaning, unit and
    bounds are those of the catalogue.
    """
    columns = inputs(prices, Carried())
    for name, (function, reads, parameters) in _steps(entries).items():
        if function.isupper():
            columns[name] = _talib(function)(*(columns[read] for read in reads), *parameters)
    columns |= {"rsi_14": rsi, "macd": macd, **dict(zip(("bb_upper", "bb_middle", "bb_lower"), bands, strict=True))}
    return derived(columns, entries=entries)


def inputs(prices: Prices, carried: Carried) -> dict[str, Floats]:
    """The columns that ``RUNNING`` and :func:`derived` read of bars that follow those of ``carried``."""
    closes = np.concatenate([[carried.close], prices.close])
    returns = closes[1:] / closes[:-1] - 1.0
    value = prices.traded * prices.volume
    unit = carried.unit or (unit_of(prices.close[0]) if len(prices.close) else 1.0)
    columns = {
        "close": prices.close,
        "high": prices.high,
        "low": prices.low,
        "volume": prices.volume,
        "value": value,
        "returns": returns,
    }
    for name in ("close", "high", "low"):
        columns[f"scaled_{name}"] = columns[name] if unit == 1.0 else columns[name] * unit
    for name, sizes, peak in zip(PEAKS, (prices.volume, value, np.abs(returns)), carried.peaks, strict=True):
        columns[name] = np.fmax.accumulate(np.concatenate([[peak], sizes]))[1:]
    return columns


def still(close: Floats) -> Mask:
    """Where the close has been the same for ``STILL_BARS`` bars."""
    unmoved: Mask = _talib("MAX")(close, STILL_BARS) == _talib("MIN")(close, STILL_BARS)
    return unmoved


def derived(
    columns: Mapping[str, Floats], start: int = 0, entries: Sequence[Indicator] = MEASURED
) -> tuple[Floats, ...]:
    """:func:`measures` from :func:`inputs`, ``RUNNING``, RSI, MACD and bands, of the bars from ``start`` on."""
    known, steps = dict(columns), _steps(entries)

    def values(name: str) -> Floats:
        if name not in known:
            function, reads, parameters = steps[name]
            known[name] = FUNCTIONS[function](*(values(read) for read in reads), *parameters)
        return known[name]

    def from_first(entry: Indicator) -> Floats:
        if entry.warm_up <= MINIMUM_BARS:
            return values(entry.name)
        bars = np.arange(start, start + len(columns["close"]))
        return np.where(bars >= entry.warm_up - 1, values(entry.name), np.nan)

    return tuple(from_first(entry) for entry in entries)


def in_words(frame: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with the codes of :func:`measures` as words, and flags as true or false."""
    words = [
        pl.col(entry.name).cast(pl.Int64).replace_strict(entry.codes, return_dtype=pl.String)
        for entry in MEASURED
        if entry.codes
    ]
    flags = [pl.col(entry.name).cast(pl.Boolean) for entry in MEASURED if entry.dtype == pl.Boolean]
    return frame.with_columns(*words, *flags)


def _window(values: Floats, faint: Indices) -> Floats:
    """The 20 values that end at each of some bars: (bars, 20)."""
    window: Floats = values[faint[:, None] - np.arange(20)]
    return window


def _faint(values: Floats, peak: Floats, share: float) -> tuple[Indices, Indices]:
    """The ends of the windows of 20 values, none below 0, that are all 0, and that are negligible beside the peak."""
    largest = _talib("MAX")(values, 20)
    return np.flatnonzero(largest == 0.0), np.flatnonzero((largest > 0.0) & (largest < peak * share))


def _mean_20(running: Floats, values: Floats, peak: Floats) -> Floats:
    """TA-Lib's mean of 20 values, none below 0, without the rounding that its running sum carries from larger ones."""
    empty, faint = _faint(values, peak, FAINT)
    if not len(empty) + len(faint):
        return running
    means = running.copy()
    means[empty] = 0.0
    means[faint] = [math.fsum(window) / 20.0 for window in _window(values, faint).tolist()]
    return means


def _deviation_20(running: Floats, values: Floats, peak: Floats) -> Floats:
    """TA-Lib's standard deviation of 20 values likewise; its running sum is one of squares."""
    empty, faint = _faint(np.abs(values), peak, FAINT**0.5)
    if not len(empty) + len(faint):
        return running
    found = running.copy()
    found[empty] = 0.0
    for bar, window in zip(faint.tolist(), _window(values, faint).tolist(), strict=True):
        mean = math.fsum(window) / 20.0
        found[bar] = math.sqrt(math.fsum((value - mean) ** 2 for value in window) / 20.0)
    return found


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where the whole is not above 0."""
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _change(values: Floats, bars: int) -> Floats:
    change = np.full(len(values), np.nan)
    change[bars:] = values[bars:] - values[:-bars]
    return change


def _squeeze(upper: Floats, middle: Floats, lower: Floats) -> Floats:
    width = (upper - lower) / middle
    narrowest = _talib("MIN")(width, SQUEEZE_BARS)
    return np.where(np.isnan(narrowest), np.nan, width <= SQUEEZE * narrowest)


def _pivots(close: Floats, side: int) -> Indices:
    """The bars that are lower (side 1) or higher (side -1) than all ``PIVOT_BARS`` before and as any after.

    A later bar may equal it. Only those that all of these bars confirm: none in the last ``PIVOT_BARS``.
    """
    around = 2 * PIVOT_BARS + 1
    if len(close) < around:
        return np.empty(0, dtype=np.int64)
    extreme = _talib("MIN" if side > 0 else "MAX")
    inner = close[PIVOT_BARS:-PIVOT_BARS]
    before = extreme(close, PIVOT_BARS)[PIVOT_BARS - 1 : -PIVOT_BARS - 1]
    lies = inner == extreme(close, around)[2 * PIVOT_BARS :]
    first = before > inner if side > 0 else before < inner
    return np.flatnonzero(lies & first) + PIVOT_BARS


def _divergence(close: Floats, indicator: Floats, pivots: Floats) -> Floats:
    """1 (-1) for ``DIVERGENCE_BARS`` bars from where a lower low (higher high) than the last is confirmed
    that the indicator does not share; of two, the newer counts."""
    events: dict[int, int] = {}
    for side in (1, -1):
        bars = np.flatnonzero(pivots == side)
        before, bar = bars[:-1], bars[1:]
        beyond = side * (close[before] - close[bar]) > 0
        against = side * (indicator[bar] - indicator[before]) > 0
        confirmed = bar[beyond & against & (bar - before <= PIVOTS_APART)] + PIVOT_BARS
        events.update(dict.fromkeys(confirmed.tolist(), side))
    found = np.zeros(len(close))
    for start, side in sorted(events.items()):
        found[start : start + DIVERGENCE_BARS] = side
    return found


def _regime(adx: Floats, unusual: Floats) -> Floats:
    regime = np.where(unusual >= HIGH_VOLATILITY, 2.0, np.where(adx >= TREND_ADX, 1.0, 0.0))
    return np.where(np.isnan(adx) | np.isnan(unusual), np.nan, regime)


def _both_pivots(close: Floats) -> Floats:
    """1 at a low, -1 at a high, else 0."""
    found = np.zeros(len(close))
    for side in (1, -1):
        found[_pivots(close, side)] = side
    return found


FUNCTIONS: Mapping[str, Callable[..., Floats]] = {
    "same": lambda values: values,
    "quotient": lambda part, whole: part / whole,
    "ratio": _ratio,
    "mean_20": _mean_20,
    "deviation_20": _deviation_20,
    "net_share": lambda obv, mean_volume: np.clip(_ratio(_change(obv, 20), 20.0 * mean_volume), -1.0, 1.0),
    "vwap_distance": lambda close, mean_volume, mean_value: _ratio(close * mean_volume, mean_value) - 1.0,
    "while_moving": lambda values, close: np.where(still(close), np.nan, values),
    "squeeze": _squeeze,
    "pivots": _both_pivots,
    "divergence": _divergence,
    "regime": _regime,
}
"""The functions of the catalogue that TA-Lib does not have, over whole series."""
