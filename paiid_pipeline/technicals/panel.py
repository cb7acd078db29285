"""All indicators at every bar of many series, bit-identical to those of decisions; for datasets and backtests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Mask
from paiid_pipeline.indicator_catalogue import MINIMUM_BARS
from paiid_pipeline.technicals.derived import MEASURED, USABLE, Prices, in_words, measures
from paiid_pipeline.technicals.indicators import (
    VALUES,
    defined_rsi,
    series_offsets,
    series_values,
    with_row_functions,
)

COMPUTED = (*VALUES, *(entry.name for entry in MEASURED))
"""The names of :func:`computed`."""

PREVIOUS = ("macd_histogram", "bb_upper", "bb_lower")
"""The values of the previous bar that crossings are computed from."""

_WITHOUT_VALUES = ("price", "macd_cross", "bb_position", "bb_cross")
"""Columns that must be null at a bar without values."""

_PREVIOUS_ROWS = [COMPUTED.index(name) for name in PREVIOUS]


def computed(prices: Prices, values: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """All values of one series, one array a name of ``COMPUTED``; ``values`` from `series_values`."""
    rsi, macd = defined_rsi(prices.close, values[0]), values[1]
    return (rsi, *values[1:], *measures(prices, rsi, macd, values[-3:]))


def prices_of(rows: pl.DataFrame) -> Prices:
    """The series of a frame with Float64 close, high, low, volume and, where there is one, vwap, adjusted."""
    close, high, low = (pl.col(name) for name in ("close", "high", "low"))
    vwap = pl.col("vwap") if "vwap" in rows.columns else pl.lit(None, dtype=pl.Float64)
    typical = (high + low + close) * (1.0 / 3.0)
    traded = pl.when(vwap.is_finite() & (vwap > 0)).then(vwap).otherwise(typical)
    columns = {"close": close, "high": high, "low": low, "traded": traded, "volume": pl.col("volume")}
    return Prices(
        **{name: np.ascontiguousarray(rows.select(column).to_series().to_numpy()) for name, column in columns.items()}
    )


def indicator_panel(bars: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """``bars`` with every indicator of `schemas.INDICATORS` at every bar.

    ``bars``: sorted by ``keys`` and time, each series in one piece, with Float64 ``close``, ``high``, ``low``,
    ``volume`` and, if it is known, ``vwap``, adjusted to one price basis a series; ``price`` is the close. Null
    before the ``MINIMUM_BARS``-th bar of a series, where an indicator is undefined, and at a hole: a bar whose
    close, high or low is null, not finite or not above 0, or whose volume is null, not finite or below 0.
    The series goes on as if a hole were not there. The value at a bar rests on that bar and those before it.
    """
    rows, sound = without_holes(bars)
    return joined(rows, sound, *_valued(sound, keys))


def without_holes(bars: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``bars`` with ``_row``: all of them, and those without a hole."""
    rows = bars.with_row_index("_row")
    return rows, rows.filter(USABLE)


def joined(rows: pl.DataFrame, sound: pl.DataFrame, values: Floats, before: Floats, ready: Mask) -> pl.DataFrame:
    """``rows`` with the indicators of those that are ``sound``, null where not ``ready``.

    ``values``: (``COMPUTED``, sound bars), NaN where not ready; ``before``: price and ``PREVIOUS`` at the bar before.
    """
    earlier = [f"previous_{name}" for name in ("price", *PREVIOUS)]
    if np.isinf(values).any() or np.isinf(before).any():  # a value that overflowed is null
        values, before = (np.where(np.isinf(read), np.nan, read) for read in (values, before))
    columns = zip((*COMPUTED, *earlier), [*values, *before], strict=True)
    named = [pl.Series(name, column, nan_to_null=True) for name, column in columns]
    read = in_words(with_row_functions(sound.select("close", price="close").with_columns(*named)))
    counts = pl.Series(ready)
    found = read.drop("close", *earlier).with_columns(
        pl.when(counts).then(name).alias(name) for name in _WITHOUT_VALUES
    )
    if sound.height == rows.height and sound["_row"].is_sorted():
        return rows.drop("_row").hstack(found)
    found = sound.select("_row").hstack(found)
    return rows.join(found, on="_row", how="left", maintain_order="left").drop("_row")


def _valued(sound: pl.DataFrame, keys: Sequence[str]) -> tuple[Floats, Floats, Mask]:
    prices = prices_of(sound)
    offsets = series_offsets(sound, keys) if sound.height else np.zeros(1, dtype=np.int64)
    values = np.full((len(COMPUTED), sound.height), np.nan)
    before = np.full((1 + len(PREVIOUS), sound.height), np.nan)
    ready = np.zeros(sound.height, dtype=np.bool_)
    for start, stop, found in series_values(prices.close, pairwise(offsets.tolist())):
        part = Prices(**{name: column[start:stop] for name, column in vars(prices).items()})
        values[:, start:stop] = computed(part, found)
        before[:, start + 1 : stop] = [part.close[:-1], *(values[row, start : stop - 1] for row in _PREVIOUS_ROWS)]
        values[:, start : min(stop, start + MINIMUM_BARS - 1)] = np.nan
        ready[start + MINIMUM_BARS - 1 : stop] = True
    return values, before, ready
