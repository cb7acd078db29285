"""`paiid explain`: one signal with everything that it rests on, and when each part of it became known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from paiid_pipeline.cli.audit import history_of, together, unknown_symbol
from paiid_pipeline.cli.query import priced
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.console import say, table, tell
from paiid_pipeline.decisions import due_decisions
from paiid_pipeline.engines import MlEngine
from paiid_pipeline.lookahead import pipeline_of
from paiid_pipeline.schemas import DECISIONS
from paiid_pipeline.sentiment.aggregate import counted
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.generator import ENGINE
from paiid_pipeline.signals.model_engine import ENGINE as ML
from paiid_pipeline.symbols import read_symbol
from paiid_pipeline.technicals.adjustment import REBASED, on_one_footing
from paiid_pipeline.trading_calendar import HORIZONS, TIMEFRAME, Horizon
from paiid_pipeline.warehouse import Warehouse

Row = dict[str, Any]
_HIDDEN = {"symbol", "horizon", "as_of"}
_LONGEST_HEADLINE = 70
_ARTICLES = 12
"""So many are shown to a person; a program gets all."""


def explain(
    settings: Settings, symbol: str, horizon: Horizon | None, as_of: str | None, *, engine: str = ENGINE, as_json: bool
) -> int:
    """Print the newest signal of an engine on a symbol by a moment, and why. Returns the exit code.

    0: explained; 1: there is none; 2: an unknown symbol, or not a moment.
    """
    symbol = read_symbol(symbol)
    if symbol not in settings.universe.symbols:
        tell(f"paiid: {unknown_symbol(symbol, settings.universe.symbols)}")
        return 2
    try:
        moment = moment_of(as_of, settings) if as_of else SystemClock().now()
    except (ValueError, OverflowError):
        tell(f"paiid: --as-of {as_of!r} is not a moment: write it as 2014-06-09T15:00, or 2014-06-09 for all of a day")
        return 2
    with Warehouse(settings.require_postgres(), settings.settle) as warehouse:
        signal = newest_signal(warehouse, symbol, horizon, moment, engine)
        missing = withheld(warehouse, settings, symbol, horizon or (signal["horizon"] if signal else None), moment)
        if signal is None:
            none = f"no {horizon or 'intraday or daily'} signal of {symbol} by the engine {engine}"
            tell(f"paiid: {none}: {missing or _absent(settings, engine)}")
            return 1
        document = {**explained(warehouse, settings, signal), "newer_withheld": missing}
    if as_json:
        say(json.dumps(document, indent=2, ensure_ascii=False, default=_iso))
    else:
        for line in _lines(document, settings):
            say(line)
    return 0


def _absent(settings: Settings, engine: str) -> str:
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
    found = warehouse.latest_signals([symbol], moment, engine).filter(
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
    known_by = as_of + settings.settle
    versions = warehouse.bar_versions([symbol], TIMEFRAME[horizon], anchor, as_of, known_by)
    known = warehouse.corporate_actions([symbol], known_by)
    bars = on_one_footing(versions, known).unique("bar_start", keep="last", maintain_order=True)
    in_effect = (pl.col("effective_at") <= session.open) | (pl.col("kind") == REBASED)
    actions = known.filter(in_effect & (pl.col("effective_at") > anchor))
    indicators = warehouse.indicators([symbol], horizon, as_of, as_of).to_dicts()
    sentiment = warehouse.symbol_sentiment([symbol], horizon, as_of, as_of).to_dicts()
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
    known_by, start, end = as_of + settings.settle, as_of - settings.news_lookback, as_of + timedelta(microseconds=1)
    scores = warehouse.article_sentiment([symbol], model, start, end, known_by)
    decision = pl.DataFrame([(symbol, "", as_of, known_by, as_of.date(), as_of, start)], schema=DECISIONS, orient="row")
    of_these = counted(scores, decision, settings.news_lookback, settings.news_half_life, model)
    rows = of_these.join(scores.drop("fingerprint"), on=["symbol", "article_id", "known_at"], suffix="_again")
    wording = ["article_id", "content_hash"]
    news = warehouse.wordings(rows["article_id"].to_list(), start, end).select(*wording, "headline", "url")
    found = rows.select(*(name for name in scores.columns if name not in ("symbol", "fingerprint")), "weight")
    found = found.join(news.unique(wording), on=wording, how="left")
    return found.sort("weight", "article_id", descending=[True, False]).to_dicts()


def withheld(
    warehouse: Warehouse, settings: Settings, symbol: str, horizon: Horizon | None, moment: datetime
) -> str | None:
    """Why the newest decision by ``moment`` has no signal, made again from what was known; None where it has one."""
    asked = [horizon] if horizon else list(HORIZONS)
    made = warehouse.latest_sentiment([symbol], moment).filter(pl.col("horizon").is_in(asked)).sort("as_of")
    if made.is_empty():
        return None
    newest, of = made["as_of"][-1], made["horizon"][-1]
    session = settings.universe.calendar.session_of(newest)
    if session is None or warehouse.signals([symbol], of, newest, newest).height:
        return None
    calendar, segment = settings.universe.calendar, together(settings, [symbol])
    due = due_decisions(segment, [session.day], calendar, settings, newest + settings.settle)
    due = due.filter((pl.col("horizon") == of) & (pl.col("as_of") == newest))
    history = history_of(warehouse, settings, due, of, newest + settings.settle)
    reasons = pipeline_of(settings)(history)["withheld"].filter(pl.col("symbol") == symbol)
    reason = reasons["reason"][0] if reasons.height else "it has not been made yet"
    return f"the {of} decision of {_text(newest)} has none: {reason}"


def _lines(document: Mapping[str, Any], settings: Settings) -> list[str]:
    signal, zone = document["signal"], settings.universe.calendar.timezone
    moment = signal["as_of"].astimezone(zone)
    head = f"{signal['symbol']} {signal['signal']}, {signal['horizon']}, as of {moment:%Y-%m-%d %H:%M} {zone.key}"
    lines = [
        f"{head} ({_text(signal['as_of'])})",
        f"  strength {signal['strength']:+.3f}, confidence {signal['confidence']:.2f}, "
        f"price {priced(signal['price'])}, valid until {_text(signal['valid_until'])}",
        *_risk(signal),
        *([f"  NOTE: {document['newer_withheld']}"] if document["newer_withheld"] else []),
        "",
        "why",
        *(f"  {reason['contribution']:+.4f}  {reason['text']}  [{reason['rule']}]" for reason in signal["reasons"]),
        "",
        f"bars, as known by {_text(document['known_by'])}",
        *_bars(document["bars"]),
        "",
        "corporate actions applied",
        *_actions(document["corporate_actions"]),
        "",
        "indicators",
        *_values(document["indicators"]),
        "",
        "news",
        *_news(document["sentiment"], document["articles"]),
        "",
        "made by",
        f"  engine {signal['engine']}, version {signal['model_version']}, run {signal['run_id']}",
        f"  inputs {signal['inputs_hash']}",
    ]
    return lines


def _risk(signal: Row) -> list[str]:
    if signal["position_fraction"] is None:
        return []
    levels = f"stop {priced(signal['stop_loss'], 4)}, target {priced(signal['take_profit'], 4)}"
    return [f"  {levels}, position {signal['position_fraction']:.1%} of the capital"]


def _bars(bars: Row) -> list[str]:
    if not bars["newest"]:
        return ["  none are stored any more"]
    (newest,) = bars["newest"]
    how = "nominal: loaded afterwards" if newest["nominal"] else "as received"
    return [
        f"  newest {bars['timeframe']} bar {_text(newest['bar_start'])} to {_text(newest['bar_end'])}, "
        f"known at {_text(newest['known_at'])} ({how}), from {newest['source']}",
        f"    open {priced(newest['open'], 4)}  high {priced(newest['high'], 4)}  low {priced(newest['low'], 4)}  "
        f"close {priced(newest['close'], 4)}  volume {newest['volume']:,.0f}",
        f"  {bars['count']} bars since {_text(bars['first_start'])}, {bars['restated']} of them restated by then",
    ]


def _actions(actions: Sequence[Row]) -> list[str]:
    def size(action: Row) -> str:
        return f"{action['ratio']:g} for 1" if action["ratio"] is not None else f"{action['amount']:g} a share"

    applied = [action for action in actions if action["ratio"] is not None or action["amount"] is not None]
    return [
        f"  {action['kind']} {size(action)}, ex {action['ex_date']}, known at {_text(action['known_at'])}"
        for action in applied
    ] or ["  none"]


def _values(indicators: Row | None) -> list[str]:
    if indicators is None:
        return ["  none are stored"]
    shown = {name: value for name, value in indicators.items() if value is not None and name != "inputs_hash"}
    missing = [name for name, value in indicators.items() if value is None]
    width = max(len(name) for name in shown)
    lines = [f"  {name:{width}}  {_text(value)}" for name, value in shown.items()]
    lines += [f"  no reading: {', '.join(missing)}"] if missing else []
    return [*lines, f"  inputs {indicators['inputs_hash']}"]


def _news(sentiment: Row | None, articles: Sequence[Row]) -> list[str]:
    if sentiment is None or sentiment["score"] is None:
        return ["  no article was known"]
    lines = [
        f"  sentiment {sentiment['score']:+.3f}, confidence {sentiment['confidence']:.2f}, "
        f"disagreement {sentiment['disagreement']:.2f}, from {sentiment['article_count']} articles; "
        f"{sentiment['model']} {sentiment['model_version']}"
    ]
    header = ["score", "weight", "published", "known at", "headline"]
    rows = [
        [
            f"{article['score']:+.3f}",
            f"{article['weight']:.3f}",
            _text(article["published_at"]),
            _text(article["known_at"]),
            _one_line(article["headline"] or article["article_id"]),
        ]
        for article in articles[:_ARTICLES]
    ]
    more = [f"  … and {len(articles) - _ARTICLES} lighter ones (--json has them all)"]
    right = [True, True, False, False, False]
    lines += [f"  {line}" for line in table(header, rows, right)]
    return lines + (more if len(articles) > _ARTICLES else [])


def _one_line(headline: str) -> str:
    words = " ".join(headline.split())
    return words if len(words) <= _LONGEST_HEADLINE else words[: _LONGEST_HEADLINE - 1] + "…"


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(sep=" ").replace("+00:00", "Z")
    return f"{value:.8g}" if isinstance(value, float) else "–" if value is None else str(value)
