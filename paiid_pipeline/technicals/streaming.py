"""All indicators bar by bar, at constant cost a bar, bit-identical to the batch.

TA-Lib's stream handles carry what is recursive; everything else is computed by the code of the batch on the
newest bars. A handle cannot be stored, and need not be: replaying the stored bars restores the
same state, to the bit.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Mask
from paiid_pipeline.indicator_catalogue import MINIMUM_BARS
from paiid_pipeline.technicals.derived import PEAKS, REMEMBERED, RUNNING, Carried, Prices, derived, inputs
from paiid_pipeline.technicals.indicators import BBANDS, MACD, RSI, VALUES, series_offsets, unit_of
from paiid_pipeline.technicals.panel import COMPUTED, PREVIOUS, joined, prices_of, without_holes

_SCALED_BANDS = tuple(f"scaled_{name}" for name in VALUES[4:7])
_FOLLOWED = (
    (("rsi_14",), "RSI", ("scaled_close",), RSI),
    (("_turned",), "RSI", ("_negative",), RSI),  # tells a flat series from a falling one: see `defined_rsi`
    (VALUES[1:4], "MACD", ("close",), MACD),
    (_SCALED_BANDS, "BBANDS", ("scaled_close",), BBANDS),
    *(((name,), *declared) for name, declared in RUNNING.items()),
)
"""The columns that a handle gives, its TA-Lib function, the columns it reads, and its parameters."""


class IndicatorStream:
    """The indicators of any number of symbols, as their bars come.

    Kept in memory: of each symbol its bars until there are ``MINIMUM_BARS``, from then on TA-Lib's handles and
    the newest ``REMEMBERED`` bars. After a restart, give :meth:`update` the stored bars from the same
    first bar on. Bars are of one timeframe and on one price basis: when a corporate action or a restatement changes
    what came before, :meth:`forget` the symbol and give its adjusted history again. Not safe for threads.
    """

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._newest: dict[str, Any] = {}

    def update(self, bars: pl.DataFrame) -> pl.DataFrame:
        """``bars`` in their order, with the columns of `indicator_panel`: null before the ``MINIMUM_BARS``-th bar.

        ``bars``: symbol, bar_start, and Float64 close, high, low, volume and, where it is known, vwap; any
        number of symbols and bars, in any order, each newer than all of its symbol before. Holes read
        null and are passed over. Raises ValueError, and takes none of the bars, where a bar comes twice or too late.
        """
        rows, sound = without_holes(bars)
        newest = self._checked(bars)
        sound = sound.sort("symbol", "bar_start")
        prices, offsets = prices_of(sound), series_offsets(sound, ["symbol"]) if sound.height else np.zeros(1, np.int64)
        values = np.full((len(COMPUTED), sound.height), np.nan)
        before = np.full((1 + len(PREVIOUS), sound.height), np.nan)
        ready: Mask = np.zeros(sound.height, dtype=np.bool_)
        for start, stop in pairwise(offsets.tolist()):
            part = Prices(**{name: column[start:stop] for name, column in vars(prices).items()})
            series = self._series.setdefault(sound["symbol"][start], _Series())
            values[:, start:stop], before[:, start:stop], ready[start:stop] = series.follow(part)
        self._newest |= newest
        return joined(rows, sound, values, before, ready)

    def forget(self, symbol: str) -> None:
        """Begin a symbol anew: its next bar is its first. Nothing happens where it has none."""
        self._series.pop(symbol, None)
        self._newest.pop(symbol, None)

    def _checked(self, bars: pl.DataFrame) -> dict[str, Any]:
        """The newest bar of each symbol, where all of them are newer than what was there."""
        spans = bars.group_by("symbol").agg(
            pl.len(),
            pl.col("bar_start").n_unique().alias("bars"),
            first=pl.col("bar_start").min(),
            last=pl.col("bar_start").max(),
        )
        for span in spans.sort("symbol").iter_rows(named=True):
            symbol, known = span["symbol"], self._newest.get(span["symbol"])
            if span["bars"] < span["len"]:
                raise ValueError(f"a bar of {symbol} came twice: give each bar_start once")
            if known is not None and span["first"] <= known:
                raise ValueError(
                    f"the bar of {symbol} at {span['first']} is not newer than that at {known}: forget({symbol!r}), "
                    "then give its whole history again"
                )
        return dict(spans.select("symbol", "last").iter_rows())


class _Series:
    """One series of sound bars."""

    def __init__(self) -> None:
        self._bars = 0
        self._unit = 1.0
        self._handles: list[Any] = []
        self._columns: dict[str, Floats] = {}

    def follow(self, prices: Prices) -> tuple[Floats, Floats, Mask]:
        """Of some more bars: ``COMPUTED``, price and ``PREVIOUS`` at the bar before each, and which of them count."""
        count = len(prices.close)
        place = np.arange(self._bars, self._bars + count)
        self._bars += count
        new = inputs(prices, self._carried(prices))
        new["_negative"] = -new["scaled_close"]
        if self._handles:
            self._advance(new)
        self._columns = {
            name: np.concatenate([self._columns.get(name, column[:0]), column]) for name, column in new.items()
        }
        if not self._handles and self._bars >= MINIMUM_BARS:
            self._open()
        if not self._handles:
            return np.full((len(COMPUTED), count), np.nan), np.full((1 + len(PREVIOUS), count), np.nan), place < 0
        held = self._columns
        values = (*(held[name] for name in VALUES), *derived(held, self._bars - len(held["close"])))
        last = slice(len(held["close"]) - count, None)
        ready = place >= MINIMUM_BARS - 1
        found = np.where(ready, [column[last] for column in values], np.nan)
        before = np.array([_before(held[name], count) for name in ("close", *PREVIOUS)])
        self._columns = {name: column[-REMEMBERED:] for name, column in held.items()}
        return found, before, ready

    def _carried(self, prices: Prices) -> Carried:
        if not self._columns:
            self._unit = unit_of(prices.close[0])
            return Carried(unit=self._unit)
        last = {name: float(self._columns[name][-1]) for name in ("close", *PEAKS)}
        return Carried(last["close"], self._unit, (last[PEAKS[0]], last[PEAKS[1]], last[PEAKS[2]]))

    def _open(self) -> None:
        """Open the handles at the newest bar, and compute their values up to there."""
        from talib import stream

        for names, function, reads, parameters in _FOLLOWED:
            handle, series = getattr(stream, function).open_and_fill(
                *(self._columns[read] for read in reads), *parameters
            )
            self._handles.append(handle)
            self._columns |= dict(zip(names, series if len(names) > 1 else (series,), strict=True))
        self._columns |= self._read(self._columns)

    def _advance(self, new: dict[str, Floats]) -> None:
        """Add the values of the handles to the inputs of some bars."""
        for handle, (names, _, reads, _) in zip(self._handles, _FOLLOWED, strict=True):
            values = [handle.update(*bar) for bar in zip(*(new[read].tolist() for read in reads), strict=True)]
            new |= dict(zip(names, np.array(values).reshape(-1, len(names)).T, strict=True))
        new |= self._read(new)

    def _read(self, columns: dict[str, Floats]) -> dict[str, Floats]:
        """RSI where it is defined, and the bands in the unit of the price."""
        rsi = columns["rsi_14"]
        flat = (rsi == 0.0) & (columns["_turned"] == 0.0)
        bands = {name: columns[scaled] / self._unit for name, scaled in zip(VALUES[4:7], _SCALED_BANDS, strict=True)}
        return {"rsi_14": np.where(flat, np.nan, rsi), **bands}


def _before(column: Floats, count: int) -> Floats:
    """The last ``count`` values of a column moved by one; NaN before its first."""
    return np.concatenate([[np.nan], column])[-count - 1 : -1]
