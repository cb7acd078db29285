"""Small frames in the shapes of the schemas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from paiid_pipeline import schemas
from paiid_pipeline.warehouse import tables

MINUTE = timedelta(minutes=1)
T0 = datetime(2014, 6, 9, 13, 30, tzinfo=UTC)
LATER = datetime(2020, 1, 1, tzinfo=UTC)
VIEWS = (
    "signals_latest",
    "signals_history",
    "sentiment_daily",
    "article_sentiment_latest",
    "indicators_latest",
    "model_performance",
)
PARTITIONED = [one for one in vars(tables).values() if isinstance(one, tables.Table) and one.partition]


def frame(schema: dict[str, Any], rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a frame of the schema; a column that a row lacks is null."""
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def bar(start: datetime = T0, close: float = 100.0, symbol: str = "AAPL", **other: Any) -> dict[str, Any]:
    """One bar of a minute."""
    values = {"open": close, "high": close, "low": close, "close": close, "volume": 10.0}
    place = {"symbol": symbol, "timeframe": "1Min", "bar_start": start, "bar_end": start + MINUTE, "source": "test"}
    return {**place, **values, **other}


def bars(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.BARS, rows)


def article(
    number: int = 1, updated: datetime = T0, headline: str = "Up", symbols: Sequence[str] = ("AAPL",), **other: Any
) -> dict[str, Any]:
    """One version of an article."""
    return {
        "article_id": f"test:{number}",
        "published_at": T0,
        "updated_at": updated,
        "source": "test",
        "headline": headline,
        "summary": "",
        "url": None,
        "symbols": list(symbols),
        "content_hash": f"hash of {headline}",
        **other,
    }


def news(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.NEWS, rows)


def action(number: int = 1, effective: datetime = T0, ratio: float | None = 7.0, **other: Any) -> dict[str, Any]:
    """One corporate action."""
    return {
        "action_id": f"test:{number}",
        "symbol": "AAPL",
        "kind": "split",
        "ex_date": effective.date(),
        "effective_at": effective,
        "ratio": ratio,
        "amount": None,
        "source": "test",
        **other,
    }


def actions(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.CORPORATE_ACTIONS, rows)


def score(of: dict[str, Any], symbol: str = "AAPL", value: float = 0.5, **other: Any) -> dict[str, Any]:
    """One score of a version of an article."""
    same = {name: of[name] for name in ("article_id", "content_hash", "published_at")}
    parts = {"p_negative": 0.0, "p_neutral": 1 - value, "p_positive": value, "confidence": 0.5, "flags": []}
    return {**same, "symbol": symbol, "model": "vader", "model_version": "1", "score": value, **parts, **other}


def scores(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.ARTICLE_SENTIMENT, rows)


def sentiment(as_of: datetime, symbol: str = "AAPL", horizon: str = "intraday", **other: Any) -> dict[str, Any]:
    """One aggregate."""
    return {"symbol": symbol, "horizon": horizon, "as_of": as_of, "article_count": 0, "inputs_hash": "h", **other}


def sentiments(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.SYMBOL_SENTIMENT, rows)


def indicator(as_of: datetime, symbol: str = "AAPL", horizon: str = "intraday", **other: Any) -> dict[str, Any]:
    """Indicators of one decision."""
    newest = {"bar_start": as_of - MINUTE, "bar_end": as_of, "bars": 250, "inputs_hash": "h"}
    return {"symbol": symbol, "horizon": horizon, "as_of": as_of, **newest, **other}


def indicators(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.INDICATORS, rows)


def signal(as_of: datetime, symbol: str = "AAPL", horizon: str = "intraday", **other: Any) -> dict[str, Any]:
    """One signal."""
    given = {"engine": "rules", "signal": "BUY", "strength": 0.3, "confidence": 0.6, "price": 92.5}
    why = '[{"rule": "rsi", "contribution": 0.3, "text": "RSI 14 is 28"}]'
    return {
        "symbol": symbol, "horizon": horizon, "as_of": as_of, **given, "reasons": why, "inputs_hash": "h",
        "model_version": "1", "valid_until": as_of + 5 * MINUTE, **other,
    }  # fmt: skip


def signals(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame(schemas.SIGNALS, rows)
