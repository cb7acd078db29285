"""The interface between the simulator's server and its data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

import polars as pl

BAR_COLUMNS = ("S", "t", "o", "h", "l", "c", "v", "n", "vw")
"""Symbol, start in UTC, prices, volume, number of trades, vwap: as Alpaca calls them in its streams."""


@dataclass(frozen=True)
class BarQuery:
    """Bars that start from ``start`` to ``end``, both included, and have ended by ``now``."""

    symbols: tuple[str, ...]
    """Sorted."""
    timeframe: str
    """1Min or 1Day."""
    start: datetime
    end: datetime
    asof: date | None
    """The day on which a symbol means its company; None: the ticker, whoever held it."""
    now: datetime


class Backend(Protocol):
    """The data behind a simulator. All answers are limited to what is known at ``now``."""

    name: str

    def bars(self, query: BarQuery) -> Iterator[pl.DataFrame]:
        """Bars as frames of BAR_COLUMNS, sorted by symbol and time within and across frames; lazy."""
        ...

    def news(self, symbols: Sequence[str], start: datetime, end: datetime, now: datetime) -> list[dict[str, Any]]:
        """Articles updated from ``start`` to ``end``, both included, in any order; moments as datetimes."""
        ...

    def actions(self, symbols: Sequence[str], start: date, end: date, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """Corporate actions with process dates from ``start`` to ``end``, both included, by Alpaca's plural kinds."""
        ...
