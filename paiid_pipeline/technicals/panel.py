"""All indicators at every bar of many series: what backtests and datasets read, bit for bit what a decision does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from paiid_pipeline.technicals.indicators import (
    MINIMUM_BARS,
    VALUES,
    Floats,
    defined_rsi,
    series_offsets,
    series_values,
    with_readings,
)
from paiid_pipeline.technicals.measures import MEASURES, Prices, in_words, measures

COMPUTED = (*VALUES, *MEASURES)
"""The names of :func:`computed`."""

PREVIOUS = ("macd_histogram", "bb_upper", "bb_lower")
"""The values of the bar before that crossings are read against."""


def computed(prices: Prices, values: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """Everything that is read of one series, one array a name of ``COMPUTED``; ``values`` as `series_values` gives."""
    rsi, macd = defined_rsi(prices.close, values[0]), values[1]
    return (rsi, *values[1:], *measures(prices, rsi, macd, values[-3:]))


def prices_of(rows: pl.DataFrame) -> Prices:
    """The series of a frame with Float64 close, high, low, vwap (null where there is none) and volume, adjusted."""
    vwap, close, high, low = (pl.col(name) for name in ("vwap", "close", "high", "low"))
    typical = (high + low + close) * (1.0 / 3.0)
    traded = pl.when(vwap.is_finite() & (vwap > 0)).then(vwap).otherwise(typical)
    columns = {"close": close, "high": high, "low": low, "traded": traded, "volume": pl.col("volume")}
    return Prices(
        **{name: np.ascontiguousarray(rows.select(column).to_series().to_numpy()) for name, column in columns.items()}
    )


def indicator_panel(bars: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """``bars`` with every value and reading of `contracts.INDICATORS` at every bar.

    ``bars``: sorted by ``keys`` and time, each series in one piece, with Float64 ``close``, ``high``, ``low``,
    ``volume`` and, if it is known, ``vwap``, adjusted to one footing a series; ``price`` is the close. Null
    before the ``MINIMUM_BARS``-th bar of a series, where a reading is missing, and at a hole: a bar whose
    close, high or low is null, not finite or not above 0, or whose volume is null, not finite or below 0.
    The series goes on as if a hole were not there. The value at a bar rests on that bar and those before it.
    """
    vwap = [] if "vwap" in bars.columns else [pl.lit(None, dtype=pl.Float64).alias("vwap")]
    rows = bars.with_columns(*vwap).with_row_index("_row")
    positive = pl.col("close", "high", "low")
    usable = pl.all_horizontal(
        positive.is_finite() & (positive > 0), pl.col("volume").is_finite() & (pl.col("volume") >= 0)
    )
    sound = rows.filter(usable)
    read = in_words(with_readings(_valued(sound, keys)))
    names = [name for name in read.columns if name not in sound.columns and not name.startswith("previous_")]
    found = read.filter("_ready").select("_row", *(name for name in names if name != "_ready"))
    return rows.join(found, on="_row", how="left", maintain_order="left").select(
        *bars.columns, *(name for name in found.columns if name != "_row")
    )


def _valued(sound: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """``sound`` with price, ``COMPUTED``, those of the bar before, and ``_ready`` from enough bars on."""
    prices = prices_of(sound)
    offsets = series_offsets(sound, keys) if sound.height else np.zeros(1, dtype=np.int64)
    columns = np.full((len(COMPUTED), sound.height), np.nan)
    ready = np.zeros(sound.height, dtype=np.bool_)
    for start, stop, values in series_values(prices.close, pairwise(offsets.tolist())):
        part = Prices(**{name: column[start:stop] for name, column in vars(prices).items()})
        columns[:, start:stop] = computed(part, values)
        ready[start + MINIMUM_BARS - 1 : stop] = True
    named = (pl.Series(name, column) for name, column in zip(COMPUTED, columns, strict=True))
    valued = sound.with_columns(
        pl.col("close").alias("price"),
        pl.Series("_ready", ready),
        *(read.set(~read.is_finite(), None) for read in named),
    )
    return valued.with_columns(
        pl.col(name).shift(1).over(list(keys)).alias(f"previous_{name}") for name in ("price", *PREVIOUS)
    )
