"""What an application reads of each symbol: its price, signals, sentiment and newest articles, ready to send."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from paiid_pipeline.cache import Envelope
from paiid_pipeline.settings import TTL, CacheKind
from paiid_pipeline.trading_calendar import INTRADAY_STEP
from paiid_pipeline.universe import DECISION_LAG
from paiid_pipeline.warehouse import Warehouse

NEWS_WINDOW = timedelta(days=3)
NEWS_SHOWN = 20
"""How far back the newest articles of a symbol reach, and how many of them are shown."""
_MINUTE = timedelta(minutes=1)
"""The length of a minute bar: before its end there is no newer one."""
PUBLICATION_DELAY = timedelta(seconds=30)
"""Longest time from the end of the decision lag to publication: a busy worker's start and run."""

Row = Mapping[str, Any]


def envelopes(
    kind: CacheKind, symbols: Sequence[str], warehouse: Warehouse, now: datetime, feed_delay: timedelta = timedelta(0)
) -> list[Envelope]:
    """The hot results of one kind as they are known at ``now``; none for a symbol without any.

    None is fresh for longer than what it rests on holds: bars and articles until a TTL after the source last answered,
    a signal until the next can be there (see :func:`replaced_after`), sentiment until a TTL after its decision.
    ``feed_delay``: how late the source gives its bars, and so how much later whatever rests on them can be replaced.
    """
    return _BUILD[kind](symbols, warehouse, now, feed_delay)


def replaced_after(feed_delay: timedelta) -> timedelta:
    """How long past its ``valid_until`` a signal holds: until the next one is published by a healthy pipeline.

    ``valid_until`` is the next decision's time, put off by the whole minutes of the feed's delay. That decision is
    requested by the first tick of its cadence after its bars are there, waits for the decision lag, and is published
    within ``PUBLICATION_DELAY``.
    """
    minutes, steps = (span * math.ceil(feed_delay / span) for span in (_MINUTE, INTRADAY_STEP))
    return steps - minutes + DECISION_LAG + PUBLICATION_DELAY


def _market(symbols: Sequence[str], warehouse: Warehouse, now: datetime, feed_delay: timedelta) -> list[Envelope]:
    minute = warehouse.bars.newest(symbols, "1Min", now, now)
    daily = warehouse.bars.newest(symbols, "1Day", now, now)
    newest = pl.concat([minute, daily]).sort("symbol", "bar_end").unique("symbol", keep="last", maintain_order=True)
    # Of any symbol: one that did not trade is requested again, and its last price still holds.
    answered = max(warehouse.coverage.covered_to("1Min", "1Day").values(), default=None)
    until = None if answered is None else answered + _MINUTE + feed_delay + TTL["market"]
    return [
        Envelope("market", row["symbol"], row["bar_end"], now, None, _without(row, "symbol", "nominal"), until)
        for row in newest.iter_rows(named=True)
    ]


def _signals(symbols: Sequence[str], warehouse: Warehouse, now: datetime, feed_delay: timedelta) -> list[Envelope]:
    rows = [
        {**_without(row, "run_id"), "reasons": orjson.loads(row["reasons"])}
        for row in warehouse.signals.latest(symbols, now).iter_rows(named=True)
    ]

    def holds_until(_symbol: str, row: Row) -> datetime:
        valid_until: datetime = row["valid_until"]
        return valid_until + replaced_after(feed_delay)

    return _by_symbol("signals", rows, now, holds_until)


def _sentiment(symbols: Sequence[str], warehouse: Warehouse, now: datetime, feed_delay: timedelta) -> list[Envelope]:
    answered = warehouse.coverage.covered_to("news")

    def holds_until(symbol: str, row: Row) -> datetime:
        until: datetime = row["as_of"] + feed_delay + TTL["sentiment"]
        return min(until, answered[symbol] + TTL["news"]) if symbol in answered else until

    return _by_symbol("sentiment", warehouse.symbol_sentiment.latest(symbols, now).to_dicts(), now, holds_until)


def _news(symbols: Sequence[str], warehouse: Warehouse, now: datetime, _feed_delay: timedelta) -> list[Envelope]:
    """One envelope a symbol with coverage, its list of articles possibly empty."""
    articles: dict[str, list[dict[str, Any]]] = {symbol: [] for symbol in symbols}
    for row in warehouse.news.newest(symbols, NEWS_SHOWN, now - NEWS_WINDOW, now).iter_rows(named=True):
        articles[row["symbol"]].append(_without(row, "symbol", "content_hash", "known_at", "nominal"))
    answered = {symbol: end for symbol, end in warehouse.coverage.covered_to("news").items() if symbol in articles}
    return [
        Envelope("news", symbol, as_of, now, None, {"articles": articles[symbol]}, end + TTL["news"])
        for symbol, end in answered.items()
        for as_of in [max((row["updated_at"] for row in articles[symbol]), default=min(end, now))]
    ]


def _by_symbol(
    kind: CacheKind, rows: Sequence[Row], now: datetime, holds_until: Callable[[str, Row], datetime]
) -> list[Envelope]:
    """One envelope a symbol, with the row of each horizon; dated by the newest of them.

    Beside the newest stand only horizons that still hold, and it is fresh for as long as all of them do.
    """
    grouped: dict[str, dict[str, Row]] = {}
    for row in rows:
        grouped.setdefault(row["symbol"], {})[row["horizon"]] = row
    found = []
    for symbol, horizons in grouped.items():
        newest = max(horizons.values(), key=lambda row: row["as_of"])
        ends = {horizon: holds_until(symbol, row) for horizon, row in horizons.items()}
        kept = {name: row for name, row in horizons.items() if row is newest or ends[name] > now}
        data = {name: _without(row, "symbol", "horizon") for name, row in kept.items()}
        until = min(ends[name] for name in kept)
        found.append(Envelope(kind, symbol, newest["as_of"], now, newest["model_version"], data, until))
    return found


def _without(row: Row, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


_BUILD: Mapping[CacheKind, Callable[[Sequence[str], Warehouse, datetime, timedelta], list[Envelope]]] = {
    "market": _market,
    "signals": _signals,
    "sentiment": _sentiment,
    "news": _news,
}

KINDS: tuple[CacheKind, ...] = tuple(_BUILD)
