"""One stored decision, with everything it was made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from paiid_pipeline.decisions import decision_grid
from paiid_pipeline.lookahead.decision_path import decision_path
from paiid_pipeline.lookahead.history import history_of
from paiid_pipeline.ml.signals.engines import MlEngine, rule_engine
from paiid_pipeline.schemas import DECISIONS
from paiid_pipeline.sentiment.aggregate import counted
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.generator import ENGINE
from paiid_pipeline.signals.model_engine import ENGINE as ML
from paiid_pipeline.technicals.adjustment import REBASED, on_one_footing
from paiid_pipeline.trading_calendar import HORIZONS, TIMEFRAME, Horizon
from paiid_pipeline.warehouse import Warehouse

Row = dict[str, Any]


_HIDDEN = {"symbol", "horizon", "as_of"}


def absent(settings: Settings, engine: str) -> str:
    """Why an engine has said nothing."""
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
    """Everything behind a signal, as it was known at its decision; moments are UTC."""
    symbol, horizon, as_of = (signal[name] for name in ("symbol", "horizon", "as_of"))
    session = settings.universe.calendar.session_of(as_of)
    if session is None:
        raise RuntimeError(f"the signal of {as_of} lies outside every session of {settings.universe.calendar.name}")
    anchor = settings.universe.calendar.session_back(session.day, settings.lookback[horizon].sessions).open
    known_by = as_of + settings.decision_lag
    versions = warehouse.bars.versions([symbol], TIMEFRAME[horizon], anchor, as_of, known_by)
    known = warehouse.corporate_actions.read([symbol], known_by)
    bars = on_one_footing(versions, known).unique("bar_start", keep="last", maintain_order=True)
    in_effect = (pl.col("effective_at") <= session.open) | (pl.col("kind") == REBASED)
    actions = known.filter(in_effect & (pl.col("effective_at") > anchor))
    indicators = warehouse.indicators.read([symbol], horizon, as_of, as_of).to_dicts()
    sentiment = warehouse.symbol_sentiment.read([symbol], horizon, as_of, as_of).to_dicts()
    return {
        "signal": {**signal, "reasons": json.loads(signal["reasons"])},
        "known_by": known_by,
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
        "articles": _articles(warehouse, settings, symbol, as_of, sentiment[0]["model"]) if sentiment else [],
    }


def _without_key(rows: Sequence[Row]) -> Row | None:
    return {name: value for name, value in rows[0].items() if name not in _HIDDEN} if rows else None


def _articles(warehouse: Warehouse, settings: Settings, symbol: str, as_of: datetime, model: str) -> list[Row]:
    """The articles that the sentiment of a decision rests on, and their weights in it, the heaviest first."""
    known_by, start, end = (
        as_of + settings.decision_lag,
        as_of - settings.news_lookback,
        as_of + timedelta(microseconds=1),
    )
    scores = warehouse.article_sentiment.read([symbol], model, start, end, known_by)
    decision = pl.DataFrame([(symbol, "", as_of, known_by, as_of.date(), as_of, start)], schema=DECISIONS, orient="row")
    of_these = counted(scores, decision, settings.news_lookback, settings.news_half_life, model)
    rows = of_these.join(scores.drop("fingerprint"), on=["symbol", "article_id", "known_at"], suffix="_again")
    wording = ["article_id", "content_hash"]
    news = warehouse.news.versions(rows["article_id"].to_list(), start, end).select(*wording, "headline", "url")
    found = rows.select(*(name for name in scores.columns if name not in ("symbol", "fingerprint")), "weight")
    found = found.join(news.unique(wording), on=wording, how="left")
    return found.sort("weight", "article_id", descending=[True, False]).to_dicts()


def withheld(
    warehouse: Warehouse, settings: Settings, symbol: str, horizon: Horizon | None, moment: datetime
) -> str | None:
    """Why the newest decision by ``moment`` has no signal, made again from what was known; None where it has one."""
    asked = [horizon] if horizon else list(HORIZONS)
    made = warehouse.symbol_sentiment.latest([symbol], moment).filter(pl.col("horizon").is_in(asked)).sort("as_of")
    if made.is_empty():
        return None
    newest, of = made["as_of"][-1], made["horizon"][-1]
    session = settings.universe.calendar.session_of(newest)
    if session is None or warehouse.signals.read([symbol], of, newest, newest).height:
        return None
    calendar, segment = settings.universe.calendar, settings.universe.peers([symbol])
    due = decision_grid(segment, [session.day], calendar, settings, newest + settings.decision_lag)
    due = due.filter((pl.col("horizon") == of) & (pl.col("as_of") == newest))
    history = history_of(warehouse, settings, due, of, newest + settings.decision_lag)
    reasons = decision_path(settings, rule_engine(settings))(history)["withheld"].filter(pl.col("symbol") == symbol)
    reason = reasons["reason"][0] if reasons.height else "it has not been made yet"
    return f"the {of} decision of {newest.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z has none: {reason}"
