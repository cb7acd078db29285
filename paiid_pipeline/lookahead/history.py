"""Everything stored about some decisions, read back from the warehouse."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from paiid_pipeline.decisions import ReadRange, read_range
from paiid_pipeline.lookahead.decision_path import History
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.generator import ENGINE
from paiid_pipeline.signals.risk import risk_lookback
from paiid_pipeline.signals.rules import load_rules
from paiid_pipeline.trading_calendar import Horizon
from paiid_pipeline.warehouse import Warehouse

_AFTER = timedelta(days=7)
"""How much of what came after a session an audit has at hand, to see whether it shows."""


def history_of(
    warehouse: Warehouse, settings: Settings, decisions: pl.DataFrame, horizon: Horizon, now: datetime
) -> History:
    """All that is known by now about some decisions and the week after them."""
    span = read_range(decisions)
    end = min(now, span.last + _AFTER)
    after = _remembered(settings, span, horizon)
    return History(
        bars=warehouse.bars.for_decisions(span, horizon, end, now),
        actions=warehouse.corporate_actions.versions(span.symbols, now),
        scores=warehouse.article_sentiment.read(
            span.symbols, SentimentAnalyzer.model, span.first - settings.news_lookback, end, now
        ),
        decisions=decisions,
        prior_positions=_stakes(warehouse, settings, span, horizon, ENGINE),
        quarantined=warehouse.quarantine.bars(span.symbols, after, end),
    )


def _remembered(settings: Settings, span: ReadRange, horizon: Horizon) -> datetime:
    """Since when earlier signals and quarantined bars count."""
    return span.first - risk_lookback(load_rules(settings.rules_path).limits, horizon)


def _stakes(warehouse: Warehouse, settings: Settings, span: ReadRange, horizon: Horizon, engine: str) -> pl.DataFrame:
    before = span.first - timedelta(microseconds=1)
    return warehouse.signals.prior_positions(
        span.symbols, horizon, engine, _remembered(settings, span, horizon), before
    )


def _stored(
    warehouse: Warehouse, decisions: pl.DataFrame, horizon: Horizon, engine: str = ENGINE
) -> dict[str, pl.DataFrame]:
    span = read_range(decisions)
    stores = (warehouse.indicators, warehouse.symbol_sentiment, warehouse.signals)
    found = {one.table.name: one.read(span.symbols, horizon, span.first, span.last) for one in stores}
    return {**found, "signals": found["signals"].filter(pl.col("engine") == engine)}
