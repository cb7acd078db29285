"""What an application reads of each symbol: its price, signals, sentiment and newest articles, ready to send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from paiid_pipeline.cache import Envelope
from paiid_pipeline.settings import CacheKind
from paiid_pipeline.warehouse import Warehouse

NEWS_WINDOW = timedelta(days=3)
NEWS_SHOWN = 20
"""How far back the newest articles of a symbol reach, and how many of them are shown."""


def envelopes(kind: CacheKind, symbols: Sequence[str], warehouse: Warehouse, now: datetime) -> list[Envelope]:
    """The hot results of one kind as they are known at ``now``; none for a symbol without any."""
    return _BUILD[kind](symbols, warehouse, now)


def _market(symbols: Sequence[str], warehouse: Warehouse, now: datetime) -> list[Envelope]:
    minute = warehouse.newest_bars(symbols, "1Min", now, now)
    daily = warehouse.newest_bars(symbols, "1Day", now, now)
    newest = pl.concat([minute, daily]).sort("symbol", "bar_end").unique("symbol", keep="last", maintain_order=True)
    return [
        Envelope("market", row["symbol"], row["bar_end"], now, None, _without(row, "symbol", "nominal"))
        for row in newest.iter_rows(named=True)
    ]


def _signals(symbols: Sequence[str], warehouse: Warehouse, now: datetime) -> list[Envelope]:
    rows = [
        {**_without(row, "run_id"), "reasons": orjson.loads(row["reasons"])}
        for row in warehouse.latest_signals(symbols, now).iter_rows(named=True)
    ]
    return _by_symbol("signals", rows, now)


def _sentiment(symbols: Sequence[str], warehouse: Warehouse, now: datetime) -> list[Envelope]:
    return _by_symbol("sentiment", warehouse.latest_sentiment(symbols, now).to_dicts(), now)


def _news(symbols: Sequence[str], warehouse: Warehouse, now: datetime) -> list[Envelope]:
    articles: dict[str, list[dict[str, Any]]] = {}
    for row in warehouse.newest_articles(symbols, NEWS_SHOWN, now - NEWS_WINDOW, now).iter_rows(named=True):
        articles.setdefault(row["symbol"], []).append(_without(row, "symbol", "content_hash", "known_at", "nominal"))
    return [
        Envelope("news", symbol, max(row["updated_at"] for row in shown), now, None, {"articles": shown})
        for symbol, shown in articles.items()
    ]


def _by_symbol(kind: CacheKind, rows: Sequence[Mapping[str, Any]], now: datetime) -> list[Envelope]:
    """One envelope a symbol, with what each horizon says; dated by the newest of them."""
    grouped: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["symbol"], {})[row["horizon"]] = _without(row, "symbol", "horizon")
    return [
        Envelope(kind, symbol, newest["as_of"], now, newest["model_version"], horizons)
        for symbol, horizons in grouped.items()
        for newest in [max(horizons.values(), key=lambda row: row["as_of"])]
    ]


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


_BUILD: Mapping[CacheKind, Callable[[Sequence[str], Warehouse, datetime], list[Envelope]]] = {
    "market": _market,
    "signals": _signals,
    "sentiment": _sentiment,
    "news": _news,
}

KINDS: tuple[CacheKind, ...] = tuple(_BUILD)
