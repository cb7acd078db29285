"""The look-ahead audit of a sample of stored decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import polars as pl

from paiid_pipeline.decisions import decision_grid, read_range
from paiid_pipeline.did_you_mean import did_you_mean
from paiid_pipeline.lookahead.audit import AuditReport, audit, audit_scores, too_early
from paiid_pipeline.lookahead.decision_path import DecisionPath, History, Output, decision_path
from paiid_pipeline.lookahead.history import history_of, prior_positions, stored_outputs
from paiid_pipeline.ml.signals.engines import MlEngine, rule_engine
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.model_engine import ENGINE as ML
from paiid_pipeline.symbols import read_symbol
from paiid_pipeline.trading_calendar import HORIZONS, Horizon
from paiid_pipeline.warehouse import Warehouse

SYMBOLS, SESSIONS = 25, 16
"""At most so many symbols, and sessions of each horizon, are drawn for one audit."""

TEXTS = 100
"""At most so many scores of articles of each session are recomputed."""

_PROBES = 3
"""Symbols by which the sessions with decisions are found."""

_BEGINNING = datetime(1990, 1, 1, tzinfo=UTC)


def chosen_symbols(settings: Settings, requested: Sequence[str], seed: int) -> list[str] | str:
    """The symbols to audit: those requested, or about ``SYMBOLS`` in random segments; or a message on a wrong one."""
    universe = settings.universe
    spelled = [read_symbol(symbol) for symbol in requested]
    for symbol in spelled:
        if symbol not in universe.symbols:
            return unknown_symbol(symbol, universe.symbols)
    if requested:
        return list(dict.fromkeys(spelled))
    chosen: list[str] = []
    for segment in Random(seed).sample(list(universe.segments), len(universe.segments)):  # noqa: S311
        if len(chosen) < SYMBOLS:
            chosen += universe.segments[segment]
    return chosen


def unknown_symbol(symbol: str, known: Sequence[str]) -> str:
    """The message on a symbol that is not in the universe, with the nearest that is."""
    return f"unknown symbol {symbol!r}: {did_you_mean(symbol.upper(), known, cutoff=0.4, show=str)}"


def audited(
    warehouse: Warehouse,
    settings: Settings,
    now: datetime,
    symbols: Sequence[str],
    sample: int,
    seed: int,
    analyzer: SentimentAnalyzer,
) -> AuditReport:
    """Audit about ``sample`` of the stored decisions, drawn evenly over horizons and sessions; ``seed`` fixes the draw.

    ``now``: a moment by which all that is stored is known. The signals of both engines are recomputed, those of the ML
    engine by the model that was in use then, and up to ``TEXTS`` scores a session of the articles within the look-back,
    by ``analyzer``.
    """
    rng, report, rules = Random(seed), AuditReport(), decision_path(settings, rule_engine(settings))  # noqa: S311
    ml = MlEngine(settings)
    models = decision_path(settings, ml)
    for places, horizon in enumerate(reversed(HORIZONS)):  # daily decisions are few: what they leave goes to the others
        wanted = (sample - report.decisions) // (len(HORIZONS) - places)
        days = _decided_days(warehouse, settings, symbols, horizon, now)
        drawn = sorted(rng.sample(days, min(len(days), SESSIONS)))
        for day, share in zip(drawn, _shares(wanted, len(drawn)), strict=True):
            decisions = _decided(warehouse, settings, settings.universe.peers(symbols), day, horizon, now)
            requested = decisions.filter(pl.col("symbol").is_in(list(symbols)))
            picked = _drawn(requested, share, rng)
            if picked.height:
                history = history_of(warehouse, settings, decisions, now)
                report.merge(audit(rules, history, picked, stored_outputs(warehouse, picked)))
                if ml.why_none is None:
                    report.merge(_audit_models(warehouse, settings, models, history, picked))
                report.merge(too_early(history.bars))
                scores = _within_lookback(history.scores, picked, settings).sample(
                    fraction=1.0, shuffle=True, seed=seed
                )
                report.merge(_rescored(warehouse, scores.head(TEXTS), analyzer))
    return report


def _within_lookback(scores: pl.DataFrame, decisions: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """The scores that some decisions of one session may use."""
    span = read_range(decisions)
    return scores.filter(
        pl.col("symbol").is_in(span.symbols)
        & (pl.col("published_at") >= span.first - settings.news_lookback)
        & (pl.col("known_at") <= span.known_by)
    )


def _rescored(warehouse: Warehouse, scores: pl.DataFrame, analyzer: SentimentAnalyzer) -> AuditReport:
    if scores.is_empty():
        return AuditReport()
    published = scores["published_at"]
    first, last = published.min(), published.max()
    assert isinstance(first, datetime)  # noqa: S101
    assert isinstance(last, datetime)  # noqa: S101
    articles = scores["article_id"].unique(maintain_order=True).to_list()
    return audit_scores(scores, warehouse.news.versions(articles, first, last + timedelta(microseconds=1)), analyzer)


def _audit_models(
    warehouse: Warehouse,
    settings: Settings,
    models: DecisionPath,
    history: History,
    picked: pl.DataFrame,
) -> AuditReport:
    """Audit the ML engine's signals of some decisions; their indicators and sentiment are those of the rules."""
    own = replace(history, prior_positions=prior_positions(warehouse, settings, history.decisions, ML))
    stored = {"signals": stored_outputs(warehouse, picked, ML)["signals"]}

    def only_signals(some: History) -> Output:
        return {"signals": models(some)["signals"]}

    found = audit(only_signals, own, picked, stored)
    found.decisions = 0
    found.rows = {f"ml {name}": count for name, count in found.rows.items()}
    found.notes = {f"ml {name}": count for name, count in found.notes.items()}
    return found


def _drawn(decisions: pl.DataFrame, count: int, rng: Random) -> pl.DataFrame:
    """About ``count`` of some decisions: all symbols at as few random decision times as give so many."""
    moments = decisions["as_of"].unique().sort().to_list()
    rng.shuffle(moments)
    enough = -(-count * len(moments) // max(decisions.height, 1))
    at_once = decisions.filter(pl.col("as_of").is_in(moments[:enough]))
    return at_once[sorted(rng.sample(range(at_once.height), min(at_once.height, count)))]


def _shares(total: int, parts: int) -> list[int]:
    """``total`` in ``parts`` integers that differ by at most one."""
    return [total * (place + 1) // parts - total * place // parts for place in range(parts)]


def _decided(
    warehouse: Warehouse, settings: Settings, symbols: Sequence[str], day: date, horizon: Horizon, now: datetime
) -> pl.DataFrame:
    """DECISIONS: those of a session whose sentiment is stored."""
    due = decision_grid(symbols, [day], settings, now)
    due = due.filter(pl.col("horizon") == horizon)
    if due.is_empty():
        return due
    span = read_range(due)
    made = warehouse.symbol_sentiment.decided(symbols, horizon, span.first, span.last)
    return due.join(made, on=made.columns, how="semi", maintain_order="left")


def _decided_days(
    warehouse: Warehouse, settings: Settings, symbols: Sequence[str], horizon: Horizon, now: datetime
) -> list[date]:
    """The sessions with stored decisions."""
    calendar = settings.universe.calendar
    stored = warehouse.symbol_sentiment.decided(symbols[:_PROBES], horizon, _BEGINNING, now)
    # A decision at midnight belongs to the session that ends.
    local = (pl.col("as_of") - pl.duration(microseconds=1)).dt.convert_time_zone(str(calendar.timezone)).dt.date()
    days: list[date] = stored.select(local.unique().sort()).to_series().to_list()
    return [day for day in days if calendar.session(day) is not None]
