"""Versioned writes: a stored row never changes, and its ``known_at`` is the moment at which it became known.

How a row received at R is dated. N is its nominal moment: a bar's end, an article's ``updated_at`` or the start of an
action's ex-date, plus the feed's delay. L is the moment after the ``known_at`` of the newest stored version of its key.

======  ===================================================================================  ===============
stored  case                                                                                 known_at
======  ===================================================================================  ===============
no      none of (a) to (d)                                                                   N
no      (a) live, and right after the span that was last covered                             max(R, N)
no      (b) within a span that was covered without it: it came late                          max(R, N)
no      (c) after the covered spans, and a decision that should have read it is stored       max(R, N)
no      (d) a version of an article that came live, or older than one that is stored         max(R, N)
yes     the same values, or received before a version that was dated by its own receipt      is not stored
yes     other values: a restatement                                                          max(R, N, L)
======  ===================================================================================  ===============

``nominal`` is false exactly where known_at is R. Two versions of an article with different ``updated_at`` have
different keys: the reader takes the one updated last.

A bar that ended before its company took the ticker, by the changes of name until the requested day, is known under
this ticker from the change on at the earliest. A new change of name voids the coverage of the ticker's bars: they are
requested again, as of the company that it means now; a bar that then comes as it was stored before the change is
stored again, since only now is it known to be of this company. The same holds, whatever day was requested, of bars
that ended before their source readjusted its history (kind ``rebased``).

A large batch of bars that no stored row affects takes a short cut to the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.warehouse.bulk_copy import copy_in
from paiid_pipeline.warehouse.connections import ConnectionPool
from paiid_pipeline.warehouse.coverage import CoveredRange, cover
from paiid_pipeline.warehouse.store import TableStore
from paiid_pipeline.warehouse.tables import CORPORATE_ACTIONS, MARKET_BARS, NEWS_ARTICLES, NO_ROWS, Table, WriteResult
from paiid_pipeline.warehouse.upserts import lock_keys

_WATCHING = timedelta(minutes=10)
_LARGE = 20_000


@dataclass(frozen=True)
class _Raw:
    """The parts of the statements that differ between the tables."""

    table: Table
    moment: str
    position: str
    subjects: str
    """FROM clause that gives, for each incoming row i, its symbol(s) and the kind of coverage."""
    symbol: str
    kind: str
    decisions: str
    """The table of the decisions that such a row goes into."""
    horizons: str


_BARS = _Raw(
    MARKET_BARS, "bar_end", "i.bar_end - interval '1 microsecond'", "incoming i", "i.symbol", "i.timeframe",
    "technical_indicators", "ARRAY[CASE kind WHEN '1Min' THEN 'intraday' ELSE 'daily' END]",
)  # fmt: skip
_NEWS = _Raw(
    NEWS_ARTICLES, "updated_at", "i.updated_at", "incoming i CROSS JOIN LATERAL unnest(i.symbols) about(symbol)",
    'about.symbol COLLATE "C"', "'news'", "symbol_sentiment", "ARRAY['intraday', 'daily']",
)  # fmt: skip
_ACTIONS = _Raw(
    CORPORATE_ACTIONS, "effective_at", "i.effective_at", "incoming i", "i.symbol", "'actions'",
    "technical_indicators", "ARRAY['intraday', 'daily']",
)  # fmt: skip
_OF = {raw.table.name: raw for raw in (_BARS, _NEWS, _ACTIONS)}


@dataclass(frozen=True)
class _Receipt:
    """When and how a batch was received."""

    at: datetime
    live: bool
    feed_delay: timedelta
    decision_lag: timedelta
    asof: date | None = None
    """The day whose companies the symbols of bars mean."""

    def __post_init__(self) -> None:
        if self.feed_delay < timedelta(0):
            raise ValueError(f"a feed delay of {self.feed_delay} dates rows before they exist: give 0 or more")


class BitemporalStore(TableStore):
    """A table whose rows are versions, each with its ``known_at``. Reads see nothing that became known later."""

    def __init__(self, connections: ConnectionPool, decision_lag: timedelta) -> None:
        super().__init__(connections)
        self._decision_lag = decision_lag

    def write(
        self,
        frame: pl.DataFrame,
        received_at: datetime,
        live: bool = False,
        feed_delay: timedelta = timedelta(0),
        covers: Sequence[CoveredRange] = (),
        asof: date | None = None,
    ) -> WriteResult:
        """Store the rows that are new or restate a stored one, and in the same transaction that ``covers`` is answered.

        ``received_at``: when the answer came; ``live``: whether that is the wall clock's time. ``feed_delay``: how
        long after the moment of a row the source gives it. ``asof``, for bars: the day whose companies the symbols
        mean, where a change of name before it may have given them to others. Rows are dated by the rules of this
        module. Replaying a batch changes nothing.
        """
        rows = self._checked(frame)
        if rows.is_empty() and not covers:
            return NO_ROWS
        receipt = _Receipt(received_at, live, feed_delay, self._decision_lag, asof)
        with self._transaction() as cursor:
            written = _write_rows(cursor, _OF[self.table.name], rows, receipt) if rows.height else NO_ROWS
            if covers:
                cover(cursor, covers)
            return written


def newest_version(versions: pl.DataFrame, *key: str) -> pl.DataFrame:
    """The last row of each run of equal keys."""
    superseded = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in key)
    return versions.filter(superseded.fill_null(False).not_())


def _write_rows(cursor: Cursor, raw: _Raw, frame: pl.DataFrame, receipt: _Receipt) -> WriteResult:
    table = raw.table
    frame = _without_repeats(frame, table)
    parameters = _parameters(raw, frame, receipt)
    lock_keys(cursor, table, frame)
    large = table is MARKET_BARS and frame.height >= _LARGE
    if large and _is_untouched(cursor, frame, parameters):
        moments = pl.col(raw.moment) + receipt.feed_delay
        copy_in(cursor, table.name, frame.with_columns(known_at=moments, nominal=True), binary=True)
        return WriteResult(frame.height, 0, 0)
    cursor.execute(
        f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {_list(table.columns)} FROM {table.name} WITH NO DATA"
    )
    copy_in(cursor, "incoming", frame, binary=large)
    cursor.execute("ANALYZE incoming")
    known, restated = _find_newest(cursor, table, parameters)
    if known == frame.height and not restated:
        return WriteResult(0, 0, known)
    _find_receipts(cursor, raw, parameters)
    cursor.execute(_insert(raw), parameters)
    added = cursor.rowcount
    if table is CORPORATE_ACTIONS:
        _forget_coverage(cursor)
    return WriteResult(added - restated, restated, frame.height - added)


def _without_repeats(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    if _ascends(frame, table.key) or frame.select(pl.struct(table.key).n_unique()).item() == frame.height:
        return frame
    return frame.unique([*table.key, *table.values], maintain_order=True)


def _ascends(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether each row's key is above that of the row before: the usual case, and quick to see."""
    above = pl.lit(False)
    for name in reversed(key):
        column, before = pl.col(name), pl.col(name).shift(1)
        above = (column > before) | ((column == before) & above)
    return bool(frame.select(above.slice(1).all()).item())


def _parameters(raw: _Raw, frame: pl.DataFrame, receipt: _Receipt) -> dict[str, Any]:
    partition = raw.table.partition
    earliest = frame[raw.moment].min()
    assert isinstance(earliest, datetime)  # noqa: S101
    return {
        "lowest": frame[partition].min() if partition else None,
        "highest": frame[partition].max() if partition else None,
        "decided_from": earliest + receipt.feed_delay - receipt.decision_lag,
        "received_at": receipt.at,
        "live": receipt.live,
        "delay": receipt.feed_delay,
        "decision_lag": receipt.decision_lag,
        "watching": _WATCHING,
        "asof": receipt.asof,
    }


def _find_newest(cursor: Cursor, table: Table, parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Put the newest stored version of each incoming row, and whether the row restates it, into ``newest``.

    Returns how many rows have one, and how many restate it.
    """
    # A row is named by its ctid: narrower to sort and to join by than its key.
    confirmed = " OR coalesce(s.known_at < t.since, false)" if table is MARKET_BARS else ""
    cursor.execute(
        f"""
        CREATE TEMP TABLE newest ON COMMIT DROP AS
        -- What came before the stored version did is stale, and no restatement of it.
        SELECT DISTINCT ON (i.ctid) i.ctid AS row, s.known_at,
               ({_list(table.values, "i")}) IS DISTINCT FROM ({_list(table.values, "s")})
               AND (s.nominal OR %(received_at)s >= s.known_at){confirmed} AS restated
        FROM incoming i JOIN {table.name} s ON {_same(table.key, "i", "s")} {_within(table, "s")}{_since(table)}
        ORDER BY i.ctid, s.known_at DESC
        """,
        parameters,
    )
    known = cursor.rowcount
    if not known:
        return 0, 0
    cursor.execute("ANALYZE newest")
    cursor.execute("SELECT count(*) FROM newest WHERE restated")
    row = cursor.fetchone()
    return known, int(row[0]) if row else 0


def _find_receipts(cursor: Cursor, raw: _Raw, parameters: Mapping[str, Any]) -> None:
    """Put the rows whose known_at is the moment of receipt by the rules (a) to (d) into ``receipts``."""
    cursor.execute(
        f"""
        CREATE TEMP TABLE receipts ON COMMIT DROP AS
        WITH subjects AS (SELECT DISTINCT {raw.symbol} AS symbol, {raw.kind} AS kind FROM {raw.subjects}),
        context AS MATERIALIZED (
            SELECT symbol, kind, spans, upper(spans) AS covered_to, decided
            FROM subjects
            CROSS JOIN LATERAL (
                SELECT range_agg(c.spans) AS spans FROM coverage c
                WHERE c.symbol = subjects.symbol AND c.kind = subjects.kind) covered
            CROSS JOIN LATERAL (
                SELECT max(newest.as_of) AS decided FROM unnest({raw.horizons}) AS of(horizon)
                CROSS JOIN LATERAL (
                    SELECT d.as_of FROM {raw.decisions} d
                    WHERE d.symbol = subjects.symbol AND d.horizon = of.horizon COLLATE "C"
                      AND d.as_of >= %(decided_from)s AND d.as_of <= %(received_at)s
                    ORDER BY d.as_of DESC LIMIT 1) newest) decision
            WHERE spans IS NOT NULL OR decided IS NOT NULL)
        SELECT DISTINCT i.ctid AS row
        FROM {raw.subjects} JOIN context c ON c.symbol = {raw.symbol} AND c.kind = {raw.kind}
        WHERE c.spans @> ({raw.position})
           OR (c.covered_to IS NULL OR {raw.position} >= c.covered_to)
          AND (%(live)s AND c.covered_to BETWEEN %(received_at)s - %(watching)s AND %(received_at)s + %(watching)s
               OR i.{raw.moment} + %(delay)s <= c.decided + %(decision_lag)s)
        {_edited(raw.table)}
        """,
        parameters,
    )


def _edited(table: Table) -> str:
    if table is not NEWS_ARTICLES:
        return ""
    return f"""
        UNION
        SELECT i.ctid FROM incoming i
        JOIN (SELECT s.article_id, max(s.updated_at) AS updated_at
              FROM incoming i JOIN news_articles s USING (article_id) WHERE true {_within(table, "s")}
              GROUP BY s.article_id) stored ON stored.article_id = i.article_id
        WHERE %(live)s OR i.updated_at < stored.updated_at
    """


def _insert(raw: _Raw) -> str:
    table = raw.table
    nominal = f"i.{raw.moment} + %(delay)s"
    if table is MARKET_BARS:
        nominal = f"greatest({nominal}, t.since)"
    by_receipt = "(n.row IS NOT NULL OR r.row IS NOT NULL)"
    return f"""
        INSERT INTO {table.name} ({_list(table.columns)}, known_at, nominal)
        SELECT {_list(table.columns, "i")},
               CASE WHEN {by_receipt}
                    THEN greatest(%(received_at)s, {nominal}, n.known_at + interval '1 microsecond')
                    ELSE {nominal} END,
               NOT ({by_receipt} AND %(received_at)s >= greatest({nominal}, n.known_at + interval '1 microsecond'))
        FROM incoming i
        LEFT JOIN newest n ON n.row = i.ctid
        LEFT JOIN receipts r ON r.row = i.ctid{_since(table)}
        WHERE n.row IS NULL OR n.restated
        ORDER BY i.ctid
    """


def _since(table: Table) -> str:
    """A join ``t``: when the company of an earlier bar took the ticker, or its source readjusted its history."""
    if table is not MARKET_BARS:
        return ""
    return """
        LEFT JOIN (SELECT symbol, max(effective_at) AS since FROM corporate_actions
                   WHERE kind = 'rebased' OR kind = 'name_change' AND ex_date <= %(asof)s GROUP BY symbol) t
               ON t.symbol = i.symbol AND i.bar_end <= t.since"""


def _forget_coverage(cursor: Cursor) -> None:
    """Delete the coverage of the bars of each symbol with a new change of name or readjusted history."""
    cursor.execute(
        """
        DELETE FROM coverage c USING incoming i LEFT JOIN newest n ON n.row = i.ctid
        WHERE i.kind IN ('name_change', 'rebased') AND n.row IS NULL
          AND c.symbol = i.symbol AND c.kind IN ('1Min', '1Day')
        """
    )


def _list(columns: Sequence[str], alias: str = "") -> str:
    return ", ".join(f"{alias}.{name}" if alias else name for name in columns)


def _same(columns: Sequence[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in columns)


def _within(table: Table, alias: str) -> str:
    # Constants, not a join: they let PostgreSQL leave the other months out while it plans.
    if table.partition is None:
        return ""
    return f"AND {alias}.{table.partition} BETWEEN %(lowest)s AND %(highest)s"


def _is_untouched(cursor: Cursor, bars: pl.DataFrame, parameters: Mapping[str, Any]) -> bool:
    """True where no bar is stored between the first and the last of each symbol, and every row is known at N.

    Judged by each symbol's extent, not by bar: it may be false of a batch that the full statements find new.
    """
    extents = bars.group_by("symbol", "timeframe").agg(
        pl.col("bar_start").min().alias("first"),
        pl.col("bar_start").max().alias("last"),
        # Coverage holds a bar where it holds its last microsecond.
        (pl.col("bar_end").min() - timedelta(microseconds=1)).alias("lowest_position"),
        (pl.col("bar_end").max() - timedelta(microseconds=1)).alias("highest_position"),
    )
    cursor.execute(
        """
        SELECT NOT EXISTS (
            SELECT FROM unnest(%(symbols)s::text[], %(timeframes)s::text[], %(first)s::timestamptz[],
                               %(last)s::timestamptz[], %(lowest_position)s::timestamptz[],
                               %(highest_position)s::timestamptz[])
                AS e (symbol, timeframe, first, last, lowest_position, highest_position)
            CROSS JOIN LATERAL (
                SELECT range_agg(c.spans) AS spans FROM coverage c
                WHERE c.symbol = e.symbol COLLATE "C" AND c.kind = e.timeframe COLLATE "C") covered
            WHERE EXISTS (
                    SELECT FROM market_bars m
                    WHERE m.symbol = e.symbol COLLATE "C" AND m.timeframe = e.timeframe COLLATE "C"
                      AND m.bar_start BETWEEN e.first AND e.last
                      AND m.bar_start BETWEEN %(lowest)s AND %(highest)s)
               OR EXISTS (
                    SELECT FROM corporate_actions a
                    WHERE a.symbol = e.symbol COLLATE "C"
                      AND (a.kind = 'rebased' OR a.kind = 'name_change' AND a.ex_date <= %(asof)s)
                      AND a.effective_at > e.lowest_position)
               OR covered.spans && tstzrange(e.lowest_position, e.highest_position, '[]')
               OR (upper(covered.spans) IS NULL OR e.highest_position >= upper(covered.spans))
                  AND (%(live)s AND upper(covered.spans) IS NOT NULL OR EXISTS (
                    SELECT FROM technical_indicators d
                    WHERE d.symbol = e.symbol COLLATE "C" AND d.horizon IN ('intraday', 'daily')
                      AND d.as_of BETWEEN %(decided_from)s AND %(received_at)s)))
        """,
        {
            **parameters,
            "symbols": extents["symbol"].to_list(),
            "timeframes": extents["timeframe"].to_list(),
            **{name: extents[name].to_list() for name in ("first", "last", "lowest_position", "highest_position")},
        },
    )
    row = cursor.fetchone()
    return bool(row and row[0])
