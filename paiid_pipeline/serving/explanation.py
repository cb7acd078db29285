"""One stored signal with the inputs of its decision: bars, corporate actions, indicators, sentiment, articles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from paiid_pipeline.decisions import decisions_at, read_range
from paiid_pipeline.ml.signals.engines import MlEngine
from paiid_pipeline.sentiment.aggregate import counted
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.generator import ENGINE
from paiid_pipeline.signals.model_engine import ENGINE as ML
from paiid_pipeline.technicals.adjustment import REBASED, on_one_price_basis
from paiid_pipeline.trading_calendar import HORIZONS, TIMEFRAME, Horizon
from paiid_pipeline.warehouse import Warehouse

Row = dict[str, Any]


_HIDDEN = {"symbol", "horizon", "as_of"}


def absent(settings: Settings, engine: str) -> str:
    """Why an engine has made no signal at all."""
    no_model = MlEngine(settings).why_none if engine == ML else None
    return no_model or "nothing is decided by then"


def moment_of(text: str, settings: Settings) -> datetime:
    """An ISO moment, in exchange time unless it has an offset; a date stands for all of that day. ValueError."""
    zone = settings.universe.calendar.timezone
    if len(text) == len("2014-06-09"):
        return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), zone).astimezone(UTC)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def newest_signal(
    warehouse: Warehouse, symbol: str, horizon: Horizon | None, moment: datetime, engine: str = ENGINE
) -> Row | None:
    """The newest signal by ``moment``; of both horizons the newer, and of two at once the intraday one."""
    found = warehouse.signals.latest([symbol], moment, engine).filter(
        pl.col("horizon").is_in([horizon] if horizon else HORIZONS)
    )
    rows = found.sort("as_of", "horizon", descending=True).to_dicts()
    return rows[0] if rows else None


def explained(warehouse: Warehouse, settings: Settings, signal: Row) -> dict[str, Any]:
    """The inputs of a signal as they were known at its decision; moments are UTC."""
    symbol, horizon, as_of = (signal[name] for name in ("symbol", "horizon", "as_of"))
    decision = decisions_at([symbol], horizon, as_of, settings)
    if decision.is_empty():
        raise RuntimeError(f"the signal of {as_of} is not on the grid of {settings.universe.calendar.name}")
    span = read_range(decision)
    versions = warehouse.bars.versions([symbol], TIMEFRAME[horizon], span.anchor, as_of, span.known_by)
    known = warehouse.corporate_actions.read([symbol], span.known_by)
    bars = on_one_price_basis(versions, known).unique("bar_start", keep="last", maintain_order=True)
    in_effect = (pl.col("effective_at") <= decision["session_open"][0]) | (pl.col("kind") == REBASED)
    actions = known.filter(in_effect & (pl.col("effective_at") > span.anchor))
    indicators = warehouse.indicators.read([symbol], horizon, as_of, as_of).to_dicts()
    sentiment = warehouse.symbol_sentiment.read([symbol], horizon, as_of, as_of).to_dicts()
    return {
        "signal": {**signal, "reasons": json.loads(signal["reasons"])},
        "known_by": span.known_by,
        "bars": {
            "timeframe": TIMEFRAME[horizon],
            "count": bars.height,
            "first_start": bars["bar_start"].min(),
            "restated": versions.height - bars.height,
            "newest": bars.tail(1).drop("symbol", "timeframe").to_dicts(),
        },
        "corporate_actions": actions.drop("symbol").to_dicts(),
        "indicators": _without_key(indicators),
        "sentiment": _without_key(sentiment),
        "articles": _articles(warehouse, settings, decision, sentiment[0]["model"]) if sentiment else [],
    }


def _without_key(rows: Sequence[Row]) -> Row | None:
    return {name: value for name, value in rows[0].items() if name not in _HIDDEN} if rows else None


def _articles(warehouse: Warehouse, settings: Settings, decision: pl.DataFrame, model: str) -> list[Row]:
    """The articles in the sentiment of a decision, and their weights in it, the heaviest first."""
    span = read_range(decision)
    start, end = span.first - settings.news_lookback, span.last + timedelta(microseconds=1)
    scores = warehouse.article_sentiment.read(span.symbols, model, start, end, span.known_by)
    of_these = counted(scores, decision, settings.news_lookback, settings.news_half_life, model)
    rows = of_these.join(scores.drop("fingerprint"), on=["symbol", "article_id", "known_at"], suffix="_again")
    version = ["article_id", "content_hash"]
    news = warehouse.news.versions(rows["article_id"].to_list(), start, end).select(*version, "headline", "url")
    found = rows.select(*(name for name in scores.columns if name not in ("symbol", "fingerprint")), "weight")
    found = found.join(news.unique(version), on=version, how="left")
    return found.sort("weight", "article_id", descending=[True, False]).to_dicts()
