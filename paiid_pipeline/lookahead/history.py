"""Everything stored about some decisions, read back from the warehouse."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from paiid_pipeline.decisions import read_range
from paiid_pipeline.lookahead.decision_path import History, Output
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.generator import ENGINE
from paiid_pipeline.signals.risk import risk_lookback
from paiid_pipeline.signals.rules import load_rules
from paiid_pipeline.warehouse import Warehouse

_AFTER = timedelta(days=7)


def history_of(
    warehouse: Warehouse, settings: Settings, decisions: pl.DataFrame, now: datetime, after: timedelta = _AFTER
) -> History:
    """All that is known at ``now`` about some decisions of one horizon, from their look-back to ``after`` them.

    ``decisions``: DECISIONS, at least one. What came ``after`` is for an audit, which must not see it change anything.
    """
    span, horizon = read_range(decisions), decisions["horizon"][0]
    end = min(now, span.last + after)
    return History(
        bars=warehouse.bars.for_decisions(span, horizon, end, now),
        actions=warehouse.corporate_actions.versions(span.symbols, now),
        scores=warehouse.article_sentiment.read(
            span.symbols, SentimentAnalyzer.model, span.first - settings.news_lookback, end, now
        ),
        decisions=decisions,
        prior_positions=prior_positions(warehouse, settings, decisions),
        quarantined=warehouse.quarantine.bars(span.symbols, _risk_start(settings, decisions), end),
    )


def prior_positions(
    warehouse: Warehouse, settings: Settings, decisions: pl.DataFrame, engine: str = ENGINE
) -> pl.DataFrame:
    """PRIOR_POSITIONS: an engine's signals before some decisions of one horizon, as far back as risk limits reach."""
    span, horizon = read_range(decisions), decisions["horizon"][0]
    before = span.first - timedelta(microseconds=1)
    return warehouse.signals.prior_positions(span.symbols, horizon, engine, _risk_start(settings, decisions), before)


def stored_outputs(warehouse: Warehouse, decisions: pl.DataFrame, engine: str = ENGINE) -> Output:
    """What is stored for some decisions of one horizon, by table; of signals those of one engine."""
    span = read_range(decisions)
    read = (span.symbols, decisions["horizon"][0], span.first, span.last)
    return {
        "technical_indicators": warehouse.indicators.read(*read),
        "symbol_sentiment": warehouse.symbol_sentiment.read(*read),
        "signals": warehouse.signals.read(*read).filter(pl.col("engine") == engine),
    }


def _risk_start(settings: Settings, decisions: pl.DataFrame) -> datetime:
    """From when earlier signals and quarantined bars count in the risk of some decisions."""
    limits = load_rules(settings.rules_path).limits
    return read_range(decisions).first - risk_lookback(limits, decisions["horizon"][0])
