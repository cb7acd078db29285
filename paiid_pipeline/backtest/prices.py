"""Adjusted prices on one grid of bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Indices, Mask
from paiid_pipeline.technicals.adjustment import adjust, on_one_price_basis, owned

HISTORY = timedelta(days=400)
"""Bars before the first decision, for the momentum benchmark."""
_YEAR = timedelta(days=365.25) / timedelta(microseconds=1)


@dataclass(frozen=True)
class PricePanel:
    """Adjusted prices on one grid of bars: ``opens``, ``closes``, ``highs`` and ``lows`` are (bars, symbols).

    NaN where a symbol has no bar; an open alone may be NaN, at which nothing is traded. ``starts`` and ``ends``
    are microseconds UTC, ascending. Prices are
    adjusted for splits and dividends, so that the ratio of any two is the gross total return between them.
    """

    symbols: tuple[str, ...]
    starts: Indices
    ends: Indices
    opens: Floats
    closes: Floats
    highs: Floats
    lows: Floats

    @cached_property
    def live(self) -> Mask:
        """Where a symbol can be traded at the open of a bar."""
        return np.isfinite(self.opens)

    @cached_property
    def marks(self) -> Floats:
        """The newest close at the end of each bar; NaN before a symbol's first."""
        newest = np.maximum.accumulate(
            np.where(np.isfinite(self.closes), np.arange(len(self.starts))[:, None], -1), axis=0
        )
        return np.where(newest >= 0, np.take_along_axis(self.closes, np.maximum(newest, 0), axis=0), np.nan)

    @property
    def bars_a_year(self) -> float:
        """How many bars this grid has in a year; NaN for fewer than two."""
        span = int(self.starts[-1] - self.starts[0]) if len(self.starts) > 1 else 0
        return (len(self.starts) - 1) / (span / _YEAR) if span else float("nan")

    def since(self, bar: int) -> PricePanel:
        """The same from a bar on."""
        prices = (prices[bar:] for prices in (self.opens, self.closes, self.highs, self.lows))
        return PricePanel(self.symbols, self.starts[bar:], self.ends[bar:], *prices)

    def forward_returns(self, bars: int) -> Floats:
        """Simple returns from the open of each bar to the open so many bars later, (bars, symbols).

        A symbol without a bar then exits at its newest close before; NaN without a bar to enter at, and where the
        grid ends too soon.
        """
        found = np.full_like(self.opens, np.nan)
        leave = np.where(self.live[bars:], self.opens[bars:], self.marks[bars - 1 : -1])
        found[: len(leave)] = leave / self.opens[: len(leave)] - 1.0
        return found


def price_panel(bars: pl.DataFrame, actions: pl.DataFrame) -> PricePanel:
    """The grid of some bars of one timeframe.

    ``bars``: `schemas.STORED_BARS`, one version a bar; ``actions``: `schemas.STORED_CORPORATE_ACTIONS`,
    one version an action; both as known at the moment of the backtest. A bar with a price that is null,
    not finite or not above 0 counts as missing; one that lacks its open alone counts, and cannot be traded at. Raises
    ValueError for more than one timeframe.
    """
    if bars["timeframe"].n_unique() > 1:
        raise ValueError(f"bars of {bars['timeframe'].unique().sort().to_list()}: a grid holds one timeframe")
    priced = ("open", "close", "high", "low")
    usable = (
        on_one_price_basis(owned(bars, actions), actions)
        .filter(pl.col(name).is_finite() & (pl.col(name) > 0) for name in priced if name != "open")
        .with_columns(open=pl.when(pl.col("open").is_finite() & (pl.col("open") > 0)).then("open"))
        .sort("symbol", "bar_start")
    )
    adjusted = adjust(usable.select("symbol", "bar_start", "bar_end", *priced), actions)
    grid = adjusted.group_by("bar_start").agg(pl.col("bar_end").max()).sort("bar_start")
    symbols = tuple(adjusted["symbol"].unique().sort().to_list())
    starts, ends = (grid[name].to_physical().to_numpy().astype(np.int64) for name in ("bar_start", "bar_end"))
    row, column = (
        np.searchsorted(starts, adjusted["bar_start"].to_physical().to_numpy()),
        symbol_codes(adjusted, symbols),
    )
    prices = [np.full((len(starts), len(symbols)), np.nan) for _ in priced]
    for price, name in zip(prices, priced, strict=True):
        price[row, column] = adjusted[name].to_numpy()
    return PricePanel(symbols, starts, ends, *prices)


def symbol_codes(frame: pl.DataFrame, symbols: Sequence[str]) -> Indices:
    """The place of each row's symbol in a list that has them all."""
    index = {symbol: place for place, symbol in enumerate(symbols)}
    return np.array([index[symbol] for symbol in frame["symbol"].to_list()], dtype=np.int64)
