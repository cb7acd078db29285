"""Reads: every one of a raw table takes ``known_by`` and sees nothing that became known later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.schemas import (
    INDICATORS,
    MODEL_EVALUATIONS,
    PRIOR_POSITIONS,
    QUARANTINED_BARS,
    STORED_ARTICLE_SENTIMENT,
    STORED_BARS,
    STORED_CORPORATE_ACTIONS,
    STORED_NEWS,
    STORED_SIGNALS,
    SYMBOL_SENTIMENT,
    empty,
)
from paiid_pipeline.trading_calendar import HORIZONS, Horizon, Timeframe
from paiid_pipeline.warehouse.article_versions import versions_query
from paiid_pipeline.warehouse.bulk_copy import copy_out, copy_out_binary
from paiid_pipeline.warehouse.tables import Schema, Table

DecisionTable = Literal["symbol_sentiment", "technical_indicators", "signals"]

EXTENTS: Schema = {
    "span": pl.Int64,
    "symbol": pl.String,
    "rows": pl.Int64,
    "first": pl.Datetime("us", "UTC"),
    "last": pl.Datetime("us", "UTC"),
}

LONGEST_BAR = {"1Min": timedelta(minutes=1), "1Day": timedelta(hours=48)}
"""No bar lasts longer; the table refuses one that does."""

# Stands for a null count on its way here: no bar has so many trades too few.
_NO_COUNT = -(2**63)


def bar_versions(
    cursor: Cursor, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, known_by: datetime
) -> pl.DataFrame:
    """All versions known by ``known_by`` of the bars that end in (start, end], by symbol, bar and known_at."""
    # The widest read of the system, so in binary: texts travel as hashes, and what may be null as what it never is.
    coded = copy_out_binary(
        cursor,
        "SELECT hashtextextended(symbol, 0), bar_start, bar_end, coalesce(open, 'NaN'), high, low, close, volume,"
        f" coalesce(vwap, 'NaN'), coalesce(trade_count, '{_NO_COUNT}'), hashtextextended(source, 0), known_at, nominal"
        " FROM market_bars WHERE symbol = ANY(%(symbols)s) AND timeframe = %(timeframe)s"
        " AND bar_start >= %(earliest)s AND bar_start < %(end)s"
        " AND bar_end > %(start)s AND bar_end <= %(end)s AND known_at <= %(known_by)s",
        {
            "symbols": list(symbols),
            "timeframe": timeframe,
            "earliest": start - LONGEST_BAR[timeframe],
            "start": start,
            "end": end,
            "known_by": known_by,
        },
        {name: pl.Int64 if kind == pl.String else kind for name, kind in STORED_BARS.items() if name != "timeframe"},
    )
    if coded.is_empty():
        return empty(STORED_BARS)
    named = coded.with_columns(
        _meaning("symbol", _hashes(cursor, symbols)),
        pl.lit(timeframe).alias("timeframe"),
        pl.col("open", "vwap").fill_nan(None),
        pl.when(pl.col("trade_count") != _NO_COUNT).then("trade_count").alias("trade_count"),
    )
    sourced = named.with_columns(_meaning("source", _sources(cursor, named)))
    return sourced.select(list(STORED_BARS)).sort("symbol", "bar_start", "known_at")


def _hashes(cursor: Cursor, texts: Sequence[str]) -> dict[int, str]:
    cursor.execute("SELECT hashtextextended(t, 0), t FROM unnest(%s::text[]) AS t", (list(texts),))
    return dict(cursor.fetchall())


def _sources(cursor: Cursor, versions: pl.DataFrame) -> dict[int, str]:
    """The few sources behind their hashes, each read from one of its rows."""
    found: dict[int, str] = {}
    for example in versions.unique("source").iter_rows(named=True):
        cursor.execute(
            "SELECT source FROM market_bars WHERE symbol = %(symbol)s AND timeframe = %(timeframe)s"
            " AND bar_start = %(bar_start)s AND known_at = %(known_at)s",
            example,
        )
        row = cursor.fetchone()
        assert row is not None  # noqa: S101 (rows are never deleted)
        found[example["source"]] = row[0]
    return found


def _meaning(name: str, texts: Mapping[int, str]) -> pl.Expr:
    return pl.col(name).replace_strict(list(texts), list(texts.values()), return_dtype=pl.String)


def bars(
    cursor: Cursor, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, known_by: datetime
) -> pl.DataFrame:
    """The newest version known by ``known_by`` of each bar that ends in (start, end], by symbol and bar."""
    return _newest(bar_versions(cursor, symbols, timeframe, start, end, known_by), "symbol", "bar_start")


def newest_bars(
    cursor: Cursor, symbols: Sequence[str], timeframe: Timeframe, ended_by: datetime, known_by: datetime
) -> pl.DataFrame:
    """Of each symbol the newest bar that ended by ``ended_by``, in the newest version known by ``known_by``."""
    return copy_out(
        cursor,
        'SELECT b.* FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) COLLATE "C" AS symbol) asked'
        " CROSS JOIN LATERAL (SELECT m.* FROM market_bars m WHERE m.symbol = asked.symbol"
        " AND m.timeframe = %(timeframe)s AND m.bar_start < %(ended_by)s AND m.bar_end <= %(ended_by)s"
        " AND m.known_at <= %(known_by)s ORDER BY m.bar_start DESC, m.known_at DESC LIMIT 1) b",
        {"symbols": list(symbols), "timeframe": timeframe, "ended_by": ended_by, "known_by": known_by},
        STORED_BARS,
    ).sort("symbol")


def corporate_action_versions(cursor: Cursor, symbols: Sequence[str], known_by: datetime) -> pl.DataFrame:
    """All versions known by ``known_by``, by action and known_at."""
    return copy_out(
        cursor,
        "SELECT * FROM corporate_actions WHERE symbol = ANY(%(symbols)s) AND known_at <= %(known_by)s",
        {"symbols": list(symbols), "known_by": known_by},
        STORED_CORPORATE_ACTIONS,
    ).sort("action_id", "known_at")


def corporate_actions(cursor: Cursor, symbols: Sequence[str], known_by: datetime) -> pl.DataFrame:
    """The newest version known by ``known_by`` of each action."""
    return _newest(corporate_action_versions(cursor, symbols, known_by), "action_id")


def news(
    cursor: Cursor, symbols: Sequence[str] | None, start: datetime, end: datetime, known_by: datetime
) -> pl.DataFrame:
    """The newest version known by ``known_by`` of each article published in [start, end), by time and id.

    With ``symbols``, those whose newest version is about one of them. The newest version is the one
    updated last, and of two with one ``updated_at`` the one known last.
    """
    about = "AND article_id IN (SELECT article_id FROM news_articles WHERE {} AND symbols && %(symbols)s)"
    within = "published_at >= %(start)s AND published_at < %(end)s AND known_at <= %(known_by)s"
    found = copy_out(
        cursor,
        f"SELECT * FROM news_articles WHERE {within} {about.format(within) if symbols is not None else ''}",
        {"symbols": list(symbols or ()), "start": start, "end": end, "known_by": known_by},
        STORED_NEWS,
    )
    newest = _newest(found.sort("article_id", "updated_at", "known_at"), "article_id")
    if symbols is not None:
        newest = newest.filter(pl.col("symbols").list.set_intersection(list(symbols)).list.len() > 0)
    return newest.sort("published_at", "article_id")


def article_versions(cursor: Cursor, articles: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
    """Every stored version of some articles published in [start, end), by id and known_at."""
    return copy_out(
        cursor,
        "SELECT * FROM news_articles WHERE article_id = ANY(%(articles)s)"
        " AND published_at >= %(start)s AND published_at < %(end)s",
        {"articles": list(articles), "start": start, "end": end},
        STORED_NEWS,
    ).sort("article_id", "known_at", "updated_at")


def unscored_versions(
    cursor: Cursor, start: datetime, end: datetime, model: str, model_version: str, followed: Sequence[str] | None
) -> pl.DataFrame:
    """The wordings published in [start, end) whose newest score for some followed symbol is not of this version.

    One row a wording, the first known of it, by time and id. Not those that were outdated when a newer one of the
    article had been scored: no decision would read their scores.
    """
    scored = (
        "SELECT s.model_version FROM article_sentiment s WHERE s.article_id = n.article_id AND s.model = %(model)s"
        " AND s.published_at >= %(start)s AND s.published_at < %(end)s"
    )
    return copy_out(
        cursor,
        f"""
        WITH wordings AS ({versions_query("published_at >= %(start)s AND published_at < %(end)s")})
        SELECT DISTINCT ON (article_id, content_hash) {", ".join(STORED_NEWS)} FROM wordings n
        WHERE EXISTS (
            SELECT FROM unnest(n.symbols) AS about(symbol)
            WHERE (%(followed)s::text[] IS NULL OR about.symbol = ANY(%(followed)s))
              AND %(model_version)s IS DISTINCT FROM (
                {scored} AND s.symbol = about.symbol AND s.content_hash = n.content_hash AND s.known_at >= n.known_at
                ORDER BY s.known_at DESC LIMIT 1))
          AND NOT EXISTS ({scored} AND EXISTS (
            SELECT FROM wordings l WHERE l.article_id = n.article_id AND l.place > n.place
            AND l.content_hash = s.content_hash AND l.known_at <= s.known_at))
        ORDER BY article_id, content_hash, known_at
        """,
        {
            "start": start,
            "end": end,
            "model": model,
            "model_version": model_version,
            "followed": None if followed is None else list(followed),
        },
        STORED_NEWS,
    ).sort("published_at", "article_id", "known_at")


def article_sentiment(
    cursor: Cursor, symbols: Sequence[str], model: str, start: datetime, end: datetime, known_by: datetime
) -> pl.DataFrame:
    """All scores known by ``known_by`` of articles published in [start, end), by symbol, time and id."""
    return copy_out(
        cursor,
        "SELECT * FROM article_sentiment WHERE symbol = ANY(%(symbols)s) AND model = %(model)s"
        " AND published_at >= %(start)s AND published_at < %(end)s AND known_at <= %(known_by)s",
        {"symbols": list(symbols), "model": model, "start": start, "end": end, "known_by": known_by},
        STORED_ARTICLE_SENTIMENT,
    ).sort("symbol", "published_at", "article_id", "known_at", "content_hash", "model_version")


def symbol_sentiment(
    cursor: Cursor, symbols: Sequence[str] | None, horizon: Horizon, first: datetime, last: datetime
) -> pl.DataFrame:
    """The aggregates of the decision times in [first, last], by symbol and time."""
    return _decisions(cursor, "symbol_sentiment", SYMBOL_SENTIMENT, symbols, horizon, first, last)


def indicators(
    cursor: Cursor, symbols: Sequence[str] | None, horizon: Horizon, first: datetime, last: datetime
) -> pl.DataFrame:
    """The indicators of the decision times in [first, last], by symbol and time."""
    return _decisions(cursor, "technical_indicators", INDICATORS, symbols, horizon, first, last)


def signals(
    cursor: Cursor, symbols: Sequence[str] | None, horizon: Horizon, first: datetime, last: datetime
) -> pl.DataFrame:
    """All signals of the decision times in [first, last], by symbol, time and engine, oldest writing first."""
    return _decisions(cursor, "signals", STORED_SIGNALS, symbols, horizon, first, last)


def prior_positions(
    cursor: Cursor, symbols: Sequence[str], horizon: Horizon, engine: str, after: datetime, before: datetime
) -> pl.DataFrame:
    """What an engine's signals with a decision time in (after, before] staked, oldest writing first."""
    return copy_out(
        cursor,
        "SELECT * FROM signals WHERE symbol = ANY(%(symbols)s) AND horizon = %(horizon)s AND engine = %(engine)s"
        " AND as_of > %(after)s AND as_of <= %(before)s ORDER BY as_of, symbol, seq",
        {"symbols": list(symbols), "horizon": horizon, "engine": engine, "after": after, "before": before},
        PRIOR_POSITIONS,
    )


def model_performance(cursor: Cursor) -> pl.DataFrame:
    """The newest measurement of each model, version and metric."""
    return copy_out(cursor, "SELECT * FROM model_performance", {}, MODEL_EVALUATIONS)


def quarantined_bars(cursor: Cursor, symbols: Sequence[str], after: datetime, before: datetime) -> pl.DataFrame:
    """The bars refused or noted in (after, before]: symbol, known_at, reason; not those whose close no rule doubts."""
    return copy_out(
        cursor,
        "SELECT symbol, received_at AS known_at, reason FROM (SELECT *,"
        r""" substring(payload FROM '^\{"symbol": "([^"]+)"') AS symbol FROM quarantine"""
        " WHERE received_at > %(after)s AND received_at <= %(before)s"
        " AND reason NOT IN ('duplicate_bar', 'open_outside_range')) refused"
        " WHERE symbol = ANY(%(symbols)s) ORDER BY received_at, digest",
        {"symbols": list(symbols), "after": after, "before": before},
        QUARANTINED_BARS,
    )


def decided(
    cursor: Cursor, table: DecisionTable, symbols: Sequence[str], horizon: Horizon, first: datetime, last: datetime
) -> pl.DataFrame:
    """Which decisions with a time in [first, last] are stored: symbol, horizon, as_of."""
    keys = {name: SYMBOL_SENTIMENT[name] for name in ("symbol", "horizon", "as_of")}
    return _decisions(cursor, table, keys, symbols, horizon, first, last).unique(maintain_order=True)


def newest_decided(
    cursor: Cursor, table: DecisionTable, symbols: Sequence[str], by: datetime
) -> dict[Horizon, datetime]:
    """Of each horizon the newest decision time at or before ``by`` that is stored for any of some symbols."""
    cursor.execute(
        f"""
        SELECT of.horizon, max(latest.as_of)
        FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) COLLATE "C" AS symbol) asked
        CROSS JOIN unnest(%(horizons)s::text[]) AS of(horizon)
        CROSS JOIN LATERAL (
            SELECT t.as_of FROM {table} t
            WHERE t.symbol = asked.symbol AND t.horizon = of.horizon COLLATE "C" AND t.as_of <= %(by)s
            ORDER BY t.as_of DESC LIMIT 1) latest
        GROUP BY of.horizon
        """,
        {"symbols": list(symbols), "horizons": list(HORIZONS), "by": by},
    )
    return dict(cursor.fetchall())


def latest_signals(cursor: Cursor, symbols: Sequence[str], now: datetime, engine: str) -> pl.DataFrame:
    """Of each symbol and horizon the newest signal of an engine with a decision time at or before ``now``."""
    newest = "t.engine = %(engine)s AND t.as_of <= %(now)s ORDER BY t.as_of DESC, t.seq DESC LIMIT 1"
    return _latest(cursor, "signals", STORED_SIGNALS, newest, {"symbols": list(symbols), "now": now, "engine": engine})


def latest_sentiment(cursor: Cursor, symbols: Sequence[str], now: datetime) -> pl.DataFrame:
    """Of each symbol and horizon the newest aggregate with a decision time at or before ``now``."""
    newest = "t.as_of <= %(now)s ORDER BY t.as_of DESC LIMIT 1"
    return _latest(cursor, "symbol_sentiment", SYMBOL_SENTIMENT, newest, {"symbols": list(symbols), "now": now})


def _latest(
    cursor: Cursor, table: DecisionTable, schema: Schema, newest: str, parameters: Mapping[str, Any]
) -> pl.DataFrame:
    return copy_out(
        cursor,
        f"""
        SELECT latest.* FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) COLLATE "C" AS symbol) asked
        CROSS JOIN unnest(%(horizons)s::text[]) AS of(horizon)
        CROSS JOIN LATERAL (
            SELECT t.* FROM {table} t
            WHERE t.symbol = asked.symbol AND t.horizon = of.horizon COLLATE "C" AND {newest}) latest
        """,
        {**parameters, "horizons": list(HORIZONS)},
        schema,
    ).sort("symbol", "horizon")


def _decisions(
    cursor: Cursor,
    table: DecisionTable,
    schema: Schema,
    symbols: Sequence[str] | None,
    horizon: Horizon,
    first: datetime,
    last: datetime,
) -> pl.DataFrame:
    about = "" if symbols is None else "symbol = ANY(%(symbols)s) AND "
    order = "symbol, as_of, engine, seq" if table == "signals" else "symbol, as_of"
    return copy_out(
        cursor,
        f"SELECT * FROM {table} WHERE {about}horizon = %(horizon)s"
        f" AND as_of BETWEEN %(first)s AND %(last)s ORDER BY {order}",
        {"symbols": list(symbols or ()), "horizon": horizon, "first": first, "last": last},
        schema,
    )


def extents(
    cursor: Cursor, table: Table, symbols: Sequence[str], starts: Sequence[datetime], ends: Sequence[datetime]
) -> pl.DataFrame:
    """EXTENTS: of each span and symbol how many rows are stored, and their first and last moment.

    The moment is the one by which the table is partitioned; it counts where start < moment <= end, and for bars,
    which stand under their start, where start <= moment < end. Every version of a row counts. A table whose rows
    speak of several symbols is counted whole, under no symbol.
    """
    moment = table.partition
    low, high = (">=", "<") if moment == "bar_start" else (">", "<=")
    of, whose = ("t.symbol", "t.symbol = ANY(%s)") if "symbol" in table.schema else ("NULL::text", "t.symbols && %s")
    cursor.execute(
        f"SELECT s.span - 1, {of}, count(*), min(t.{moment}), max(t.{moment})"
        " FROM unnest(%s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY s (low, high, span)"
        f" JOIN {table.name} t ON t.{moment} {low} s.low AND t.{moment} {high} s.high WHERE {whose} GROUP BY 1, 2",
        (list(starts), list(ends), list(symbols)),
    )
    return pl.DataFrame(cursor.fetchall(), schema=EXTENTS, orient="row")


def comments(cursor: Cursor, table: str) -> dict[str, str]:
    """What each column of a table means, as the migrations say it."""
    cursor.execute(
        "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        (table,),
    )
    return {name: comment for name, comment in cursor.fetchall() if comment}


def _newest(versions: pl.DataFrame, *key: str) -> pl.DataFrame:
    """The last row of each run of equal keys."""
    superseded = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in key)
    return versions.filter(superseded.fill_null(False).not_())
