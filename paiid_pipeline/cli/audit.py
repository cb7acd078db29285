"""`paiid audit-lookahead`: the proof of no look-ahead, on the user's own warehouse, universe and rules."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import polars as pl

from paiid_pipeline.clock import SystemClock
from paiid_pipeline.console import say, tell, timed
from paiid_pipeline.decisions import Reach, due_decisions, reach
from paiid_pipeline.engines import MlEngine
from paiid_pipeline.lookahead import (
    RECOMPUTED,
    History,
    Output,
    Pipeline,
    Report,
    audit,
    audit_scores,
    pipeline_of,
    too_early,
)
from paiid_pipeline.scoring import installed_analyzer
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.generator import ENGINE
from paiid_pipeline.signals.model_engine import ENGINE as ML
from paiid_pipeline.signals.risk import reach_back
from paiid_pipeline.signals.rules import load_rules
from paiid_pipeline.symbols import read_symbol
from paiid_pipeline.trading_calendar import HORIZONS, Horizon
from paiid_pipeline.warehouse import Warehouse

SYMBOLS, SESSIONS = 25, 16
"""At most so many symbols, and sessions of each horizon, are drawn for one audit."""
TEXTS = 100
"""At most so many scores of texts of each session are made again."""
_SCOUTS = 3
"""So many symbols are looked up to find the sessions that have been decided."""
_BEGINNING = datetime(1990, 1, 1, tzinfo=UTC)
_AFTER = timedelta(days=7)
"""How much of what came after a session an audit has at hand, to see whether it shows."""
_SHOWN = 10


def audit_lookahead(settings: Settings, symbols: Sequence[str], sample: int, seed: int, *, as_json: bool) -> int:
    """Audit decisions of the warehouse and print what came of it. Returns the exit code.

    0: no difference; 1: at least one, or nothing decided to look at; 2: an unknown symbol.
    """
    chosen = chosen_symbols(settings, symbols, seed)
    if isinstance(chosen, str):
        tell(f"paiid: {chosen}")
        return 2
    with Warehouse(settings.require_postgres(), settings.settle) as warehouse, timed(quiet=as_json) as words:
        analyzer = installed_analyzer(settings)
        report = audited(warehouse, settings, SystemClock().now(), chosen, sample, seed, analyzer)
        words.append(f"audited {report.decisions} decisions")
    if as_json:
        say(json.dumps(_document(report, chosen, seed), indent=2, ensure_ascii=False))
    else:
        _print(report, chosen, settings, seed)
    return 0 if report.decisions and not report.differences else 1


def chosen_symbols(settings: Settings, asked: Sequence[str], seed: int) -> list[str] | str:
    """The symbols to audit: those asked for, or of about ``SYMBOLS`` in random segments; or what is wrong."""
    universe = settings.universe
    spelled = [read_symbol(symbol) for symbol in asked]
    for symbol in spelled:
        if symbol not in universe.symbols:
            return unknown_symbol(symbol, universe.symbols)
    if asked:
        return list(dict.fromkeys(spelled))
    chosen: list[str] = []
    for segment in Random(seed).sample(list(universe.segments), len(universe.segments)):  # noqa: S311
        if len(chosen) < SYMBOLS:
            chosen += universe.segments[segment]
    return chosen


def unknown_symbol(symbol: str, known: Sequence[str]) -> str:
    """What is wrong with a symbol that is not in the universe, and which one may be meant."""
    close = difflib.get_close_matches(symbol.upper(), known, n=1, cutoff=0.4)
    remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(known[:20])}"
    return f"unknown symbol {symbol!r}: {remedy}"


def audited(
    warehouse: Warehouse,
    settings: Settings,
    now: datetime,
    symbols: Sequence[str],
    sample: int,
    seed: int,
    analyzer: SentimentAnalyzer,
) -> Report:
    """Audit about ``sample`` of the stored decisions, drawn evenly over horizons and sessions.

    The same seed draws the same ones. ``now``: a moment by which all that is stored has become known. Of each both
    engines' signals are made again, the ML engine's by the model that had been trained by then. Of the texts
    that they may have heard, up to ``TEXTS`` a session are scored again, by ``analyzer``.
    """
    rng, report, pipeline = Random(seed), Report(), pipeline_of(settings)  # noqa: S311
    ml = MlEngine(settings)
    models = pipeline_of(settings, ml)
    for places, horizon in enumerate(reversed(HORIZONS)):  # daily decisions are few: what they leave goes to the others
        wanted = (sample - report.decisions) // (len(HORIZONS) - places)
        days = _decided_days(warehouse, settings, symbols, horizon, now)
        drawn = sorted(rng.sample(days, min(len(days), SESSIONS)))
        for day, share in zip(drawn, _shares(wanted, len(drawn)), strict=True):
            decisions = _decided(warehouse, settings, together(settings, symbols), day, horizon, now)
            asked = decisions.filter(pl.col("symbol").is_in(list(symbols)))
            picked = _drawn(asked, share, rng)
            if picked.height:
                history = history_of(warehouse, settings, decisions, horizon, now)
                report.merge(audit(pipeline, history, picked, _stored(warehouse, picked, horizon)))
                if ml.why_none is None:
                    report.merge(_audit_models(warehouse, settings, models, history, picked, horizon))
                report.merge(too_early(history.bars))
                heard = _heard(history.scores, picked, settings).sample(fraction=1.0, shuffle=True, seed=seed)
                report.merge(_rescored(warehouse, heard.head(TEXTS), analyzer))
    return report


def _heard(scores: pl.DataFrame, decisions: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """The scores that some decisions of one session may rest on."""
    span = reach(decisions)
    return scores.filter(
        pl.col("symbol").is_in(span.symbols)
        & (pl.col("published_at") >= span.first - settings.news_lookback)
        & (pl.col("known_at") <= span.known_by)
    )


def _rescored(warehouse: Warehouse, scores: pl.DataFrame, analyzer: SentimentAnalyzer) -> Report:
    if scores.is_empty():
        return Report()
    published = scores["published_at"]
    first, last = published.min(), published.max()
    assert isinstance(first, datetime)  # noqa: S101
    assert isinstance(last, datetime)  # noqa: S101
    articles = scores["article_id"].unique(maintain_order=True).to_list()
    return audit_scores(scores, warehouse.wordings(articles, first, last + timedelta(microseconds=1)), analyzer)


def _audit_models(
    warehouse: Warehouse, settings: Settings, models: Pipeline, history: History, picked: pl.DataFrame, horizon: Horizon
) -> Report:
    """The ML engine's signals of some decisions; what they rest on is the same as with the rules."""
    own = replace(history, stakes=_stakes(warehouse, settings, reach(history.decisions), horizon, ML))
    stored = {"signals": _stored(warehouse, picked, horizon, ML)["signals"]}

    def only_signals(some: History) -> Output:
        return {"signals": models(some)["signals"]}

    found = audit(only_signals, own, picked, stored)
    found.decisions = 0
    found.rows = {f"ml {name}": count for name, count in found.rows.items()}
    found.notes = {f"ml {name}": count for name, count in found.notes.items()}
    return found


def _drawn(decisions: pl.DataFrame, count: int, rng: Random) -> pl.DataFrame:
    """About ``count`` of some decisions, all symbols of as few random moments as give so many."""
    moments = decisions["as_of"].unique().sort().to_list()
    rng.shuffle(moments)
    enough = -(-count * len(moments) // max(decisions.height, 1))
    at_once = decisions.filter(pl.col("as_of").is_in(moments[:enough]))
    return at_once[sorted(rng.sample(range(at_once.height), min(at_once.height, count)))]


def together(settings: Settings, symbols: Sequence[str]) -> list[str]:
    """All symbols of the segments of some: their signals share a budget."""
    groups = settings.universe.segments.values()
    return [symbol for group in groups if set(group) & set(symbols) for symbol in group]


def _shares(total: int, parts: int) -> list[int]:
    """``total`` in so many whole parts, as equal as can be."""
    return [total * (place + 1) // parts - total * place // parts for place in range(parts)]


def _decided(
    warehouse: Warehouse, settings: Settings, symbols: Sequence[str], day: date, horizon: Horizon, now: datetime
) -> pl.DataFrame:
    """The decisions of a session that have been made."""
    due = due_decisions(symbols, [day], settings.universe.calendar, settings, now)
    due = due.filter(pl.col("horizon") == horizon)
    if due.is_empty():
        return due
    span = reach(due)
    made = warehouse.decided("symbol_sentiment", symbols, horizon, span.first, span.last)
    return due.join(made, on=made.columns, how="semi", maintain_order="left")


def _decided_days(
    warehouse: Warehouse, settings: Settings, symbols: Sequence[str], horizon: Horizon, now: datetime
) -> list[date]:
    """The sessions for which there are decisions."""
    calendar = settings.universe.calendar
    stored = warehouse.decided("symbol_sentiment", symbols[:_SCOUTS], horizon, _BEGINNING, now)
    # A decision at midnight belongs to the session that ends.
    local = (pl.col("as_of") - pl.duration(microseconds=1)).dt.convert_time_zone(str(calendar.timezone)).dt.date()
    days: list[date] = stored.select(local.unique().sort()).to_series().to_list()
    return [day for day in days if calendar.session(day) is not None]


def history_of(
    warehouse: Warehouse, settings: Settings, decisions: pl.DataFrame, horizon: Horizon, now: datetime
) -> History:
    """All that is known by now about some decisions and the week after them."""
    span = reach(decisions)
    end = min(now, span.last + _AFTER)
    after = _remembered(settings, span, horizon)
    return History(
        bars=warehouse.bars_to_decide(span, horizon, end, now),
        actions=warehouse.corporate_action_versions(span.symbols, now),
        scores=warehouse.article_sentiment(
            span.symbols, SentimentAnalyzer.model, span.first - settings.news_lookback, end, now
        ),
        decisions=decisions,
        stakes=_stakes(warehouse, settings, span, horizon, ENGINE),
        halts=warehouse.quarantined_bars(span.symbols, after, end),
    )


def _remembered(settings: Settings, span: Reach, horizon: Horizon) -> datetime:
    """Since when earlier signals and quarantined bars count."""
    return span.first - reach_back(load_rules(settings.rules_path).limits, horizon)


def _stakes(warehouse: Warehouse, settings: Settings, span: Reach, horizon: Horizon, engine: str) -> pl.DataFrame:
    before = span.first - timedelta(microseconds=1)
    return warehouse.stakes(span.symbols, horizon, engine, _remembered(settings, span, horizon), before)


def _stored(
    warehouse: Warehouse, decisions: pl.DataFrame, horizon: Horizon, engine: str = ENGINE
) -> dict[str, pl.DataFrame]:
    span = reach(decisions)
    read = (warehouse.indicators, warehouse.symbol_sentiment, warehouse.signals)
    tables = ("technical_indicators", "symbol_sentiment", "signals")
    found = {name: ask(span.symbols, horizon, span.first, span.last) for name, ask in zip(tables, read, strict=True)}
    return {**found, "signals": found["signals"].filter(pl.col("engine") == engine)}


def _document(report: Report, symbols: Sequence[str], seed: int) -> dict[str, object]:
    return {
        "passed": bool(report.decisions) and not report.differences,
        "decisions": report.decisions,
        "symbols": list(symbols),
        "seed": seed,
        "rows_compared": report.rows,
        "values_compared": report.values,
        "not_compared": report.notes,
        "first_difference": asdict(report.first) if report.first else None,
        "differences": [asdict(difference) for difference in report.differences],
    }


def _print(report: Report, symbols: Sequence[str], settings: Settings, seed: int) -> None:
    everyone = len(settings.universe.symbols)
    if not report.decisions:
        say("nothing has been decided yet: run `paiid demo` or `paiid up` first")
        return
    say(
        f"{report.decisions} decisions on {len(symbols)} of {everyone} symbols (seed {seed}), "
        f"each made again from what was known by then: {report.values:,} values compared"
    )
    for name, count in report.rows.items():
        say(f"  {count:6} rows of {name}")
    for name, count in report.notes.items():
        say(f"  {count:6} not compared: {name}")
    if report.first is None:
        say("no difference: nothing has looked ahead")
        return
    say(f"{len(report.differences)} DIFFERENCES; the first:")
    say(f"  {report.first}")
    if all(difference.against != RECOMPUTED for difference in report.differences):
        say("  (only stored rows differ: they were made by other code, or what they rest on was changed in place)")
    for difference in [other for other in report.differences if other is not report.first][:_SHOWN]:
        say(f"  {difference}")
    if len(report.differences) > _SHOWN + 1:
        say(f"  … and {len(report.differences) - _SHOWN - 1} more (--json has them all)")
