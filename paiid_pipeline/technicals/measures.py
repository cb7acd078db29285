"""What rules and models read beside RSI, MACD and Bollinger: trend, range, volume, divergence and regime.

Averages, ATR, ADX and OBV as TA-Lib defines them. Everything is prefix-pure: the value at a bar rests on
that bar and the ones before it. A price pivot is known only ``PIVOT_BARS`` bars after it, so a divergence
is dated by the bar that confirms it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MEASURES = (
    "sma_20",
    "sma_50",
    "sma_200",
    "ema_20",
    "ema_50",
    "ema_200",
    "atr_14",
    "atr_percent",
    "adx_14",
    "obv",
    "obv_share",
    "volume_ratio",
    "volatility_20",
    "volatility_ratio",
    "vwap_distance",
    "turnover_20",
    "bb_squeeze",
    "macd_divergence",
    "rsi_divergence",
    "regime",
)
"""The columns, in the order of :func:`measures`; the last four as codes (see ``WORDS``)."""

DIVERGENCES = {-1: "bearish", 0: "none", 1: "bullish"}
REGIMES = {0: "range", 1: "trend", 2: "high_volatility"}
WORDS = {"macd_divergence": DIVERGENCES, "rsi_divergence": DIVERGENCES, "regime": REGIMES}

PIVOT_BARS = 5
"""A pivot is the extreme of this many bars on either side of it."""
PIVOTS_APART = 60
"""Pivots further apart than this many bars are not compared."""
DIVERGENCE_BARS = 10
"""A divergence counts for this many bars, the one that confirms it being the first."""
SQUEEZE_BARS, SQUEEZE = 125, 1.1
"""Bands are squeezed when they are at most this multiple of their narrowest of so many bars."""
TREND_ADX = 25.0
"""From here on, Wilder's ADX tells a trend."""
HIGH_VOLATILITY = 1.5
"""Volatility of this multiple of its mean over ``VOLATILITY_BARS`` bars is high."""
VOLATILITY_BARS = 200
EMA_200_BARS = 431
"""From here on, the SMA that the EMA 200 starts from weighs less than a tenth in it; no value before."""

RUNNING: Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "sma_50": ("SMA", ("close",), (50,)),
    "sma_200": ("SMA", ("close",), (200,)),
    "ema_20": ("EMA", ("close",), (20,)),
    "ema_50": ("EMA", ("close",), (50,)),
    "ema_200": ("EMA", ("close",), (200,)),
    "atr_14": ("ATR", ("high", "low", "close"), (14,)),
    "adx_14": ("ADX", ("high", "low", "close"), (14,)),
    "obv": ("OBV", ("close", "volume"), ()),
    "mean_volume": ("SMA", ("volume",), (20,)),
    "mean_value": ("SMA", ("value",), (20,)),
    "volatility_20": ("STDDEV", ("returns",), (20, 1.0)),
    "mean_volatility": ("SMA", ("volatility_20",), (VOLATILITY_BARS,)),
}
"""What remembers more than a window of bars: the TA-Lib function, the columns it reads, and its parameters."""

REMEMBERED = SQUEEZE_BARS
"""From the newest so many bars of what :func:`derived` reads, its newest values are those of the whole series."""

_POSITIVE = pl.col("close", "high", "low")
USABLE = pl.all_horizontal(
    _POSITIVE.is_finite() & (_POSITIVE > 0), pl.col("volume").is_finite() & (pl.col("volume") >= 0)
)
"""True of a bar that can be computed with; null or false of a hole."""


@dataclass(frozen=True)
class Prices:
    """One series of bars, oldest first, adjusted to one footing; finite, prices above 0, volume at least 0.

    ``traded``: the bar's volume-weighted price, or (high + low + close) / 3 where the vendor gives none.
    """

    close: Floats
    high: Floats
    low: Floats
    traded: Floats
    volume: Floats


@cache
def _talib(name: str) -> Callable[..., Any]:
    # Late and unwrapped: as in `indicators`.
    import talib

    function = getattr(talib, name)
    return getattr(function, "__wrapped__", function)  # type: ignore[no-any-return]


def measures(prices: Prices, rsi: Floats, macd: Floats, bands: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """One array a name in ``MEASURES``, each as long as the series, NaN where there is no reading.

    ``rsi``, ``macd`` (the line) and ``bands`` (upper, middle, lower) are those of the same series.
    Averages and ATR are in the unit of the price, OBV in shares since the start of the series. Without
    a scale: ``atr_percent`` (ATR / close), ``obv_share`` (net share of the volume of 20 bars that was
    traded on rising closes, in [-1, 1]), ``volume_ratio`` (volume / its mean over 20 bars),
    ``volatility_20`` (standard deviation of 20 returns, a bar), ``volatility_ratio`` (that over its mean),
    ``vwap_distance`` (close / volume-weighted price of 20 bars - 1).
    """
    columns = inputs(prices)
    for name, (function, reads, parameters) in RUNNING.items():
        columns[name] = _talib(function)(*(columns[read] for read in reads), *parameters)
    columns |= {"rsi_14": rsi, "macd": macd, **dict(zip(("bb_upper", "bb_middle", "bb_lower"), bands, strict=True))}
    return derived(columns)


def inputs(prices: Prices, before: float = np.nan) -> dict[str, Floats]:
    """The columns that ``RUNNING`` and :func:`derived` read of bars that follow on one with the close ``before``."""
    closes = np.concatenate([[before], prices.close])
    return {
        "close": prices.close,
        "high": prices.high,
        "low": prices.low,
        "volume": prices.volume,
        "value": prices.traded * prices.volume,
        "returns": closes[1:] / closes[:-1] - 1.0,
    }


def derived(columns: Mapping[str, Floats], start: int = 0) -> tuple[Floats, ...]:
    """:func:`measures` from :func:`inputs`, ``RUNNING``, RSI, MACD and bands, of bars from the one at ``start`` on."""
    close, volume, mean_volume, obv = (columns[name] for name in ("close", "volume", "mean_volume", "obv"))
    bands = (columns["bb_upper"], columns["bb_middle"], columns["bb_lower"])
    volatility = columns["volatility_20"]
    unusual = _ratio(volatility, columns["mean_volatility"])
    pivots = [(side, _pivots(close, side)) for side in (1, -1)]
    settled = np.arange(start, start + len(close)) >= EMA_200_BARS - 1
    return (
        bands[1],
        columns["sma_50"],
        columns["sma_200"],
        columns["ema_20"],
        columns["ema_50"],
        np.where(settled, columns["ema_200"], np.nan),
        columns["atr_14"],
        columns["atr_14"] / close,
        columns["adx_14"],
        obv,
        np.clip(_ratio(_change(obv, 20), 20.0 * mean_volume), -1.0, 1.0),
        _ratio(volume, mean_volume),
        volatility,
        unusual,
        _ratio(close * mean_volume, columns["mean_value"]) - 1.0,
        columns["mean_value"],
        _squeeze(bands),
        _divergence(close, columns["macd"], pivots),
        _divergence(close, columns["rsi_14"], pivots),
        _regime(columns["adx_14"], unusual),
    )


def in_words(frame: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with the codes of :func:`measures` as its readers see them: words and true or false."""
    words = [pl.col(name).cast(pl.Int64).replace_strict(words, return_dtype=pl.String) for name, words in WORDS.items()]
    return frame.with_columns(*words, pl.col("bb_squeeze").cast(pl.Boolean))


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where the whole is not above 0."""
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _change(values: Floats, bars: int) -> Floats:
    change = np.full(len(values), np.nan)
    change[bars:] = values[bars:] - values[:-bars]
    return change


def _squeeze(bands: tuple[Floats, ...]) -> Floats:
    upper, middle, lower = bands
    width = (upper - lower) / middle
    narrowest = _talib("MIN")(width, SQUEEZE_BARS)
    return np.where(np.isnan(narrowest), np.nan, width <= SQUEEZE * narrowest)


def _pivots(close: Floats, side: int) -> NDArray[np.int64]:
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


def _divergence(close: Floats, indicator: Floats, pivots: list[tuple[int, NDArray[np.int64]]]) -> Floats:
    """1 (-1) for ``DIVERGENCE_BARS`` bars from where a lower low (higher high) than the last is confirmed
    that the indicator does not share; of two, the newer counts."""
    events: dict[int, int] = {}
    for side, bars in pivots:
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
