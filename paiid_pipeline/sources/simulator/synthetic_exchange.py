"""The synthetic exchange as a simulator's backend: its days cut to the request and to what is known at ``now``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.schemas import MOMENT
from paiid_pipeline.sources.simulator import synthetic
from paiid_pipeline.sources.simulator.backend import BarQuery

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_BLOCK = 64  # days cached together
_ROWS = 64  # days of minutes generated together


class SyntheticExchange:
    """Any symbol, any moment, around the clock; a day is a UTC day."""

    name = "synthetic"

    def bars(self, query: BarQuery) -> Iterator[pl.DataFrame]:
        """Bars that have ended; ``asof`` has no effect, as no ticker is used twice."""
        step = _DAY if query.timeframe == "1Day" else _MINUTE
        last = min(query.end, query.now - step)
        if last < query.start:
            return
        days = range(synthetic.day_number(query.start.date()), synthetic.day_number(last.date()) + 1)
        if query.timeframe == "1Day":
            for symbol in query.symbols:
                yield _daily(symbol, days).filter(pl.col("t").is_between(query.start, last))
            return
        together = max(1, _ROWS // len(days))
        for begin in range(0, len(query.symbols), together):
            yield _minutely(query.symbols[begin : begin + together], days, query.start, last)

    def news(self, symbols: Sequence[str], start: datetime, end: datetime, now: datetime) -> list[dict[str, Any]]:
        """Every version published by ``now``."""
        last = min(end, now)
        if last < start:
            return []
        # An update may come on the day after the article.
        days = (synthetic.day_number(start.date()) - 1, synthetic.day_number(last.date()))
        versions = _versions(tuple(symbols), *days)
        return [version for version in versions if start <= version["updated_at"] <= last]

    def actions(self, symbols: Sequence[str], start: date, end: date, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """Actions whose day has come by ``now``."""
        first, last = synthetic.day_number(start), synthetic.day_number(min(end, now.date()))
        found: dict[str, list[dict[str, Any]]] = {}
        for symbol in symbols:
            for kind, rows in synthetic.actions(symbol, first, last).items():
                found.setdefault(kind, []).extend(rows)
        return found


def _minutely(symbols: Sequence[str], days: range, start: datetime, last: datetime) -> pl.DataFrame:
    """The minutes of some symbols from ``start`` to ``last``, both included."""
    day = np.tile(np.arange(days.start, days.stop, dtype=np.int64), len(symbols))
    keys = np.repeat(np.array([synthetic.symbol_key(symbol) for symbol in symbols], np.uint64), len(days))
    made = synthetic.minutes(keys, day)
    seconds = (day[:, None] * synthetic.MINUTES + np.arange(synthetic.MINUTES)) * 60
    kept = made.traded & (seconds >= start.timestamp()) & (seconds <= last.timestamp())
    columns = (made.open, made.high, made.low, made.close, made.volume)
    opens, highs, lows, closes, volume = (column[kept] for column in columns)
    vwap = synthetic.typical(opens, highs, lows, closes)
    names = pl.Series(symbols).gather(np.flatnonzero(kept) // (len(days) * synthetic.MINUTES))
    return _bars(names, seconds[kept], opens, highs, lows, closes, volume, synthetic.trades(volume), vwap)


def _daily(symbol: str, days: range) -> pl.DataFrame:
    return pl.concat(_block(symbol, block) for block in range(days.start // _BLOCK, (days.stop - 1) // _BLOCK + 1))


@lru_cache(maxsize=16)  # the pages of the queries under way
def _versions(symbols: tuple[str, ...], first: int, last: int) -> list[dict[str, Any]]:
    return synthetic.news(symbols, first, last)


@lru_cache(maxsize=8192)
def _block(symbol: str, block: int) -> pl.DataFrame:
    made = synthetic.daily(symbol, block * _BLOCK, block * _BLOCK + _BLOCK - 1)
    names = ("open", "high", "low", "close", "volume", "trade_count", "vwap")
    opens, highs, lows, closes, volume, trades, vwap = (made[name] for name in names)
    symbols = pl.repeat(symbol, _BLOCK, dtype=pl.String, eager=True)
    return _bars(symbols, made["day"] * 86_400, opens, highs, lows, closes, volume, trades, vwap)


def _bars(symbols: pl.Series, seconds: Any, opens: Any, highs: Any, lows: Any, closes: Any, volume: Any, trades: Any,
          vwap: Any) -> pl.DataFrame:  # fmt: skip
    moments = pl.from_epoch(pl.Series(seconds, dtype=pl.Int64), time_unit="s").cast(pl.Datetime("us"))
    return pl.DataFrame({
        "S": symbols, "t": moments.dt.replace_time_zone("UTC").cast(MOMENT),
        "o": opens, "h": highs, "l": lows, "c": closes, "v": volume, "n": pl.Series(trades).cast(pl.Int64), "vw": vwap,
    })  # fmt: skip
