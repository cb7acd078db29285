"""Responses on one symbol or many, in the format of the predecessor system, whose clients switch to this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
import polars as pl

from paiid_pipeline.serving.pipeline import SentimentAnalysis
from paiid_pipeline.warehouse import Warehouse

LABEL_FROM: Final = 0.1
"""Scores within this of 0 are neutral."""

Row = Mapping[str, Any]


def sentiment_label(score: float | None) -> str:
    """positive, neutral or negative; without articles neutral, of confidence 0."""
    if score is None or abs(score) < LABEL_FROM:
        return "neutral"
    return "positive" if score > 0 else "negative"


def sentiment_answer(analysis: SentimentAnalysis, indicators: Row | None, news: Sequence[Row] | None) -> dict[str, Any]:
    """``indicators``: the newest of any horizon; ``news``: the newest articles, where requested."""
    answer = {
        "symbol": analysis.symbol,
        "sentiment_score": analysis.score or 0.0,
        "sentiment_label": sentiment_label(analysis.score),
        "confidence": analysis.confidence or 0.0,
        "news_count": analysis.article_count,
        "analysis_timestamp": analysis.as_of,
        "cached": analysis.cached,
        "technical_indicators": None
        if indicators is None
        else {
            "rsi": indicators["rsi_14"],
            "macd": indicators["macd"],
            "bollinger_position": indicators["bb_position"],
            "as_of": indicators["as_of"],
            "horizon": indicators["horizon"],
        },
        "model_version": analysis.model_version,
        "missing_members": analysis.missing_members,
    }
    return answer if news is None else {**answer, "news": news}


def signals_answer(
    symbol: str, rows: Sequence[Row], score: float | None, regime: str | None, signal_type: str | None, least: float
) -> dict[str, Any]:
    """``rows``: the newest stored signals of a symbol, of every horizon and engine.

    Only those of class ``signal_type`` (any for None) and a confidence of ``least`` or more.
    """
    kept = [row for row in rows if row["confidence"] >= least and signal_type in (None, row["signal"])]
    return {
        "symbol": symbol,
        "signals": [
            {
                "signal_type": row["signal"],
                "confidence": row["confidence"],
                "strength": row["strength"],
                "reasoning": [reason["text"] for reason in orjson.loads(row["reasons"])],
                "timestamp": row["as_of"],
                "valid_until": row["valid_until"],
                "horizon": row["horizon"],
                "engine": row["engine"],
                "price": row["price"],
                "price_target": row["take_profit"],
                "stop_loss": row["stop_loss"],
                "position_fraction": row["position_fraction"],
            }
            for row in kept
        ],
        "overall_sentiment": sentiment_label(score),
        "market_regime": regime,
    }


def newest_indicators(warehouse: Warehouse, symbol: str, signals: pl.DataFrame) -> Row | None:
    """The indicators of the newest decision among a symbol's newest signals; None where it has none."""
    if signals.is_empty():
        return None
    newest = signals.sort("as_of", "horizon").row(-1, named=True)
    found = warehouse.indicators.read([symbol], newest["horizon"], newest["as_of"], newest["as_of"])
    return found.row(-1, named=True) if found.height else None


def newest_signals(warehouse: Warehouse, symbols: Sequence[str], now: datetime, engines: Sequence[str]) -> pl.DataFrame:
    """STORED_SIGNALS: of each symbol, horizon and engine the newest, by symbol, horizon and engine."""
    return pl.concat([warehouse.signals.latest(symbols, now, engine) for engine in engines]).sort(
        "symbol", "horizon", "engine"
    )
