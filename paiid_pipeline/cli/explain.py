"""`paiid explain`: one signal with all its inputs, and when each of them became known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from paiid_pipeline.cli.access import stored
from paiid_pipeline.cli.query import priced
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.console import print_err, print_out, table
from paiid_pipeline.operations.lookahead_audit import unknown_symbol
from paiid_pipeline.serving.explanation import Row, absent, explained, moment_of, newest_signal
from paiid_pipeline.serving.withheld import newest_withheld
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.generator import ENGINE
from paiid_pipeline.symbols import read_symbol
from paiid_pipeline.trading_calendar import Horizon
from paiid_pipeline.wiring import Components

_LONGEST_HEADLINE = 70
_ARTICLES = 12
"""The most articles in the text form; JSON has all."""


def explain_stored(settings: Settings, **options: Any) -> int:
    """:func:`explain` on the stored data, under the settings that it was made with."""
    with stored(settings) as found:
        return explain(found, **options)


def explain(
    settings: Settings, symbol: str, horizon: Horizon | None, as_of: str | None, *, engine: str = ENGINE, as_json: bool
) -> int:
    """Print the newest signal of an engine on a symbol by a moment, and why. Returns the exit code.

    0: explained; 1: there is none; 2: an unknown symbol, or not a moment.
    """
    symbol = read_symbol(symbol)
    if symbol not in settings.universe.symbols:
        print_err(f"paiid: {unknown_symbol(symbol, settings.universe.symbols)}")
        return 2
    try:
        moment = moment_of(as_of, settings) if as_of else SystemClock().now()
    except (ValueError, OverflowError):
        print_err(
            f"paiid: --as-of {as_of!r} is not a moment: write it as 2014-06-09T15:00, or 2014-06-09 for all of a day"
        )
        return 2
    with Components(settings).warehouse as warehouse:
        signal = newest_signal(warehouse, symbol, horizon, moment, engine)
        shown = signal["horizon"] if signal else horizon
        missing = newest_withheld(warehouse, settings, symbol, shown, moment)
        if signal is None:
            none = f"no {horizon or 'intraday or daily'} signal of {symbol} by the engine {engine}"
            print_err(f"paiid: {none}: {missing or absent(settings, engine)}")
            return 1
        document = {**explained(warehouse, settings, signal), "newer_withheld": missing}
    if as_json:
        print_out(json.dumps(document, indent=2, ensure_ascii=False, default=_iso))
    else:
        for line in _lines(document, settings):
            print_out(line)
    return 0


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
    lines += [f"  without a value: {', '.join(missing)}"] if missing else []
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
    line = " ".join(headline.split())
    return line if len(line) <= _LONGEST_HEADLINE else line[: _LONGEST_HEADLINE - 1] + "…"


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(sep=" ").replace("+00:00", "Z")
    return f"{value:.8g}" if isinstance(value, float) else "–" if value is None else str(value)
