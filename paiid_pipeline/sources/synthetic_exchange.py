"""The synthetic exchange as a stand-in's backend: cuts the made-up days to what was asked, and to what has happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.contracts import MOMENT
from paiid_pipeline.sources import synthetic

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_BLOCK = 64  # days remembered together


class SyntheticExchange:
    """Any symbol, any moment, around the clock; a day is a UTC day."""

    name = "synthetic"

    def bars(self, symbol: str, timeframe: str, start: datetime, end: datetime, asof: date | None, now: datetime  # noqa: ARG002
             ) -> pl.DataFrame:  # fmt: skip
        """Bars that have ended by ``now``; ``asof`` changes nothing, as no ticker is ever used twice."""
        step = _DAY if timeframe == "1Day" else _MINUTE
        last = min(end, now - step)
        if last < start:
            return _NONE.clone()
        first_day, last_day = synthetic.day_number(start.date()), synthetic.day_number(last.date())
        frame = _daily(symbol, first_day, last_day) if timeframe == "1Day" else _minutely(symbol, first_day, last_day)
        return frame.filter(pl.col("t").is_between(start, last))

    def news(self, symbols: Sequence[str], start: datetime, end: datetime, now: datetime) -> list[dict[str, Any]]:
        """Every version that is out by ``now``."""
        last = min(end, now)
        if last < start:
            return []
        # An update may come on the day after the article.
        versions = synthetic.news(symbols, synthetic.day_number(start.date()) - 1, synthetic.day_number(last.date()))
        return [version for version in versions if start <= version["updated_at"] <= last]

    def actions(self, symbols: Sequence[str], start: date, end: date, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """Actions whose day has come by ``now``."""
        first, last = synthetic.day_number(start), synthetic.day_number(min(end, now.date()))
        found: dict[str, list[dict[str, Any]]] = {}
        for symbol in symbols:
            for kind, rows in synthetic.actions(symbol, first, last).items():
                found.setdefault(kind, []).extend(rows)
        return found


def _minutely(symbol: str, first: int, last: int) -> pl.DataFrame:
    days = np.arange(first, last + 1, dtype=np.int64)
    made = synthetic.minutes(np.full(days.size, synthetic.symbol_key(symbol), np.uint64), days)
    slots = (days[:, None] * synthetic.MINUTES + np.arange(synthetic.MINUTES))[made.traded]
    columns = (made.open, made.high, made.low, made.close, made.volume, synthetic.trades(made.volume))
    opens, highs, lows, closes, volume, trades = (column[made.traded] for column in columns)
    return _bars(slots * 60, opens, highs, lows, closes, volume, trades, synthetic.typical(made)[made.traded])


def _daily(symbol: str, first: int, last: int) -> pl.DataFrame:
    blocks = [_block(symbol, block) for block in range(first // _BLOCK, last // _BLOCK + 1)]
    return pl.concat(blocks)


@lru_cache(maxsize=8192)
def _block(symbol: str, block: int) -> pl.DataFrame:
    made = synthetic.daily(symbol, block * _BLOCK, block * _BLOCK + _BLOCK - 1)
    seconds = made["day"] * 86_400
    return _bars(seconds, *(made[name] for name in ("open", "high", "low", "close", "volume", "trade_count", "vwap")))


def _bars(seconds: Any, opens: Any, highs: Any, lows: Any, closes: Any, volume: Any, trades: Any, vwap: Any
          ) -> pl.DataFrame:  # fmt: skip
    moments = pl.from_epoch(pl.Series("t", seconds, dtype=pl.Int64), time_unit="s").cast(pl.Datetime("us"))
    return pl.DataFrame({
        "t": moments.dt.replace_time_zone("UTC").cast(MOMENT),
        "o": opens, "h": highs, "l": lows, "c": closes, "v": volume, "n": pl.Series(trades).cast(pl.Int64), "vw": vwap,
    })  # fmt: skip


_NONE = _bars(np.empty(0, np.int64), *(np.empty(0) for _ in range(7)))
