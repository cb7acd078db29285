"""The one door to the warehouse: frames in, frames out, moments of knowledge kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from types import TracebackType

import polars as pl

from paiid_pipeline import schemas
from paiid_pipeline.decisions import ReadRange
from paiid_pipeline.trading_calendar import Horizon, Timeframe
from paiid_pipeline.universe import DECISION_LAG
from paiid_pipeline.warehouse import coverage, decision_inputs, partitions, readers, upserts
from paiid_pipeline.warehouse.bitemporal import Receipt, write_raw
from paiid_pipeline.warehouse.bulk_copy import validated
from paiid_pipeline.warehouse.connections import ConnectionPool
from paiid_pipeline.warehouse.coverage import CoveredRange, DataKind
from paiid_pipeline.warehouse.readers import DecisionTable
from paiid_pipeline.warehouse.tables import (
    ARTICLE_SENTIMENT,
    ARTICLE_STANDINGS,
    CORPORATE_ACTIONS,
    MARKET_BARS,
    MODEL_EVALUATIONS,
    NEWS_ARTICLES,
    PARTITIONED,
    SIGNALS,
    SYMBOL_SENTIMENT,
    TECHNICAL_INDICATORS,
    Table,
    WriteResult,
)

_NOTHING = WriteResult(0, 0, 0)


class Warehouse:
    """The warehouse in the schema that comes first in the search_path of ``url``.

    Safe to use from several threads. Every method is one transaction: whole or not at all. All moments
    are timezone-aware. Raises WarehouseError, naming the table, for what PostgreSQL refuses, and
    ValueError for a frame that does not have the columns of its contract or holds NaN.
    """

    def __init__(self, url: str, decision_lag: timedelta = DECISION_LAG) -> None:
        self._connections = ConnectionPool(url)
        self._decision_lag = decision_lag

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; the next call opens one again."""
        self._connections.close()

    # Raw data

    def write_bars(
        self,
        frame: pl.DataFrame,
        received_at: datetime,
        live: bool = False,
        feed_delay: timedelta = timedelta(0),
        covers: Sequence[CoveredRange] = (),
        asof: date | None = None,
    ) -> WriteResult:
        """Store bars (schema BARS), and in the same transaction that ``covers`` has been answered.

        ``received_at``: when the answer came. ``live``: whether that moment is the wall's own.
        ``feed_delay``: how long after a bar's end the source gives it. ``asof``: the day whose companies the
        symbols mean, where a change of name before it may have given them to others. When a row becomes known is
        decided by the rules of ``warehouse.raw``. Replaying a batch changes nothing.
        """
        return self._write_raw(MARKET_BARS, frame, received_at, live, feed_delay, covers, asof)

    def write_news(
        self,
        frame: pl.DataFrame,
        received_at: datetime,
        live: bool = False,
        feed_delay: timedelta = timedelta(0),
        covers: Sequence[CoveredRange] = (),
    ) -> WriteResult:
        """Store versions of articles (schema NEWS); as :meth:`write_bars`."""
        return self._write_raw(NEWS_ARTICLES, frame, received_at, live, feed_delay, covers)

    def write_corporate_actions(
        self,
        frame: pl.DataFrame,
        received_at: datetime,
        live: bool = False,
        feed_delay: timedelta = timedelta(0),
        covers: Sequence[CoveredRange] = (),
    ) -> WriteResult:
        """Store corporate actions (schema CORPORATE_ACTIONS); as :meth:`write_bars`."""
        return self._write_raw(CORPORATE_ACTIONS, frame, received_at, live, feed_delay, covers)

    def quarantine(self, refusals: pl.DataFrame, received_at: datetime) -> int:
        """Keep what a source refused (schema REFUSALS); how many rows are new. What is kept keeps its first receipt."""
        frame = validated(refusals, schemas.REFUSALS, "quarantine")
        if frame.is_empty():
            return 0
        with self._connections.transaction("quarantine") as cursor:
            return upserts.quarantine(cursor, frame, received_at)

    def cover(self, spans: Sequence[CoveredRange]) -> None:
        """Note that spans have been asked for and answered in full."""
        with self._connections.transaction("coverage") as cursor:
            coverage.cover(cursor, spans)

    def missing(
        self, source: str, kind: DataKind, symbols: Sequence[str], start: datetime, end: datetime
    ) -> list[CoveredRange]:
        """The parts of [start, end) that a source has not answered yet; symbols with the same gap together."""
        with self._connections.transaction("coverage") as cursor:
            return coverage.missing(cursor, source, kind, symbols, start, end)

    def covered_to(self, *kinds: DataKind) -> dict[str, datetime]:
        """Of each symbol that was asked for the end of the newest span answered, of any of some kinds."""
        with self._connections.transaction("coverage") as cursor:
            return coverage.covered_to(cursor, kinds)

    def bars(
        self, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, known_by: datetime
    ) -> pl.DataFrame:
        """STORED_BARS: each bar that ends in (start, end], in the newest version known by ``known_by``."""
        with self._connections.transaction("market_bars") as cursor:
            return readers.bars(cursor, symbols, timeframe, start, end, known_by)

    def bar_versions(
        self, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, known_by: datetime
    ) -> pl.DataFrame:
        """STORED_BARS: all versions known by ``known_by`` of the bars that end in (start, end]."""
        with self._connections.transaction("market_bars") as cursor:
            return readers.bar_versions(cursor, symbols, timeframe, start, end, known_by)

    def bars_to_decide(self, span: ReadRange, horizon: Horizon, end: datetime, known_by: datetime) -> pl.DataFrame:
        """STORED_BARS: all that decisions of one horizon may read of bars, of those that end by ``end``.

        Daily bars, and the minutes that settle what is questionable in one.
        """
        with self._connections.transaction("market_bars") as cursor:
            return decision_inputs.bars_to_decide(cursor, span, horizon, end, known_by)

    def newest_bars(
        self, symbols: Sequence[str], timeframe: Timeframe, ended_by: datetime, known_by: datetime
    ) -> pl.DataFrame:
        """STORED_BARS: of each symbol the newest bar ended by ``ended_by``, as known by ``known_by``.

        With ``ended_by`` the open of a session, the close is the previous session's: raw, so adjust it
        for an action between the two before comparing.
        """
        with self._connections.transaction("market_bars") as cursor:
            return readers.newest_bars(cursor, symbols, timeframe, ended_by, known_by)

    def corporate_actions(self, symbols: Sequence[str], known_by: datetime) -> pl.DataFrame:
        """STORED_CORPORATE_ACTIONS: each action in the newest version known by ``known_by``."""
        with self._connections.transaction("corporate_actions") as cursor:
            return readers.corporate_actions(cursor, symbols, known_by)

    def corporate_action_versions(self, symbols: Sequence[str], known_by: datetime) -> pl.DataFrame:
        """STORED_CORPORATE_ACTIONS: all versions known by ``known_by``."""
        with self._connections.transaction("corporate_actions") as cursor:
            return readers.corporate_action_versions(cursor, symbols, known_by)

    def news(self, symbols: Sequence[str] | None, start: datetime, end: datetime, known_by: datetime) -> pl.DataFrame:
        """STORED_NEWS: each article published in [start, end), in the newest version known by ``known_by``.

        ``symbols``: only those about one of them; None: all.
        """
        with self._connections.transaction("news_articles") as cursor:
            return readers.news(cursor, symbols, start, end, known_by)

    def article_versions(self, articles: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        """STORED_NEWS: every version of some articles (ids) published in [start, end)."""
        with self._connections.transaction("news_articles") as cursor:
            return readers.article_versions(cursor, articles, start, end)

    def newest_articles(self, symbols: Sequence[str], count: int, start: datetime, known_by: datetime) -> pl.DataFrame:
        """STORED_NEWS and ``symbol``: of each symbol the ``count`` newest articles published since ``start``."""
        about = pl.col("symbol").is_in(list(symbols))
        found = self.news(symbols, start, known_by + timedelta(microseconds=1), known_by)
        rows = found.with_columns(symbol=pl.col("symbols").list.unique()).explode("symbol").filter(about)
        newest_first = rows.sort("symbol", "published_at", "article_id", descending=[False, True, False])
        return newest_first.group_by("symbol", maintain_order=True).head(count).select(*schemas.STORED_NEWS, "symbol")

    # What is computed

    def unscored_versions(
        self, start: datetime, end: datetime, model: str, model_version: str, followed: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """STORED_NEWS: each wording published in [start, end) whose newest score is not of this model version.

        Its score for some of its symbols that are ``followed``; for any symbol by default.
        """
        with self._connections.transaction("news_articles") as cursor:
            return readers.unscored_versions(cursor, start, end, model, model_version, followed)

    def write_article_sentiment(
        self, frame: pl.DataFrame, scored_at: datetime, live: bool = False, lookback: timedelta | None = None
    ) -> WriteResult:
        """Store scores (schema ARTICLE_SENTIMENT); what is stored never changes.

        A score is known when its article is; or, where a decision was made without it or both came live,
        when it was made. ``lookback``: how far back decisions hear articles; None: for ever. One by another version
        than the newest of its wording is added, also where that version has scored it before. Raises LookupError for
        a score of a wording that is not stored.
        """
        rows = self._prepared(ARTICLE_SENTIMENT, frame)
        if rows.is_empty():
            return _NOTHING
        with self._connections.transaction(ARTICLE_SENTIMENT.name) as cursor:
            return upserts.write_article_sentiment(cursor, rows, scored_at, live, self._decision_lag, lookback)

    def end_dropped_scores(
        self,
        start: datetime,
        end: datetime,
        scored_at: datetime,
        live: bool = False,
        lookback: timedelta | None = None,
    ) -> list[str]:
        """End the scores of articles published in [start, end) for symbols that their newest wording has dropped.

        Known as a score of that wording would be: see :meth:`write_article_sentiment`. Returns the symbols.
        """
        with self._connections.transaction(ARTICLE_SENTIMENT.name) as cursor:
            return upserts.end_dropped_scores(cursor, start, end, scored_at, live, self._decision_lag, lookback)

    def write_article_standings(self, frame: pl.DataFrame) -> WriteResult:
        """Store which articles count now (schema ARTICLE_STANDINGS); a row changes only where a value is distinct."""
        return self._upsert(ARTICLE_STANDINGS, frame)

    def article_sentiment(
        self, symbols: Sequence[str], model: str, start: datetime, end: datetime, known_by: datetime
    ) -> pl.DataFrame:
        """STORED_ARTICLE_SENTIMENT: all scores known by ``known_by`` of articles published in [start, end)."""
        with self._connections.transaction("article_sentiment") as cursor:
            return readers.article_sentiment(cursor, symbols, model, start, end, known_by)

    def write_symbol_sentiment(self, frame: pl.DataFrame) -> WriteResult:
        """Store aggregates (schema SYMBOL_SENTIMENT); a stored row changes only where a value is distinct."""
        return self._upsert(SYMBOL_SENTIMENT, frame)

    def write_indicators(self, frame: pl.DataFrame) -> WriteResult:
        """Store indicators (schema INDICATORS); a stored row changes only where a value is distinct."""
        return self._upsert(TECHNICAL_INDICATORS, frame)

    def write_signals(self, frame: pl.DataFrame, run_id: str) -> WriteResult:
        """Add signals (schema SIGNALS) made by a run, but for those that rest on the same inputs as the newest stored.

        What an earlier run said is said again, where a later one said something else in between.
        """
        rows = self._prepared(
            SIGNALS, validated(frame, schemas.SIGNALS, SIGNALS.name).with_columns(run_id=pl.lit(run_id))
        )
        if rows.is_empty():
            return _NOTHING
        with self._connections.transaction(SIGNALS.name) as cursor:
            return upserts.append_newest(cursor, SIGNALS, rows, "inputs_hash", "seq")

    def write_evaluations(self, frame: pl.DataFrame) -> WriteResult:
        """Keep measurements of models (schema MODEL_EVALUATIONS); one whose key is stored is left as it is."""
        rows = self._prepared(MODEL_EVALUATIONS, frame)
        if rows.is_empty():
            return _NOTHING
        with self._connections.transaction(MODEL_EVALUATIONS.name) as cursor:
            return upserts.append(cursor, MODEL_EVALUATIONS, rows)

    def model_performance(self) -> pl.DataFrame:
        """MODEL_EVALUATIONS: the newest of each model, version and metric."""
        with self._connections.transaction("model_performance") as cursor:
            return readers.model_performance(cursor)

    def symbol_sentiment(
        self, symbols: Sequence[str] | None, horizon: Horizon, first: datetime, last: datetime
    ) -> pl.DataFrame:
        """SYMBOL_SENTIMENT of the decision times in [first, last], by symbol and time; of all symbols for None."""
        with self._connections.transaction("symbol_sentiment") as cursor:
            return readers.symbol_sentiment(cursor, symbols, horizon, first, last)

    def indicators(
        self, symbols: Sequence[str] | None, horizon: Horizon, first: datetime, last: datetime
    ) -> pl.DataFrame:
        """INDICATORS of the decision times in [first, last], by symbol and time; of all symbols for None."""
        with self._connections.transaction("technical_indicators") as cursor:
            return readers.indicators(cursor, symbols, horizon, first, last)

    def signals(self, symbols: Sequence[str] | None, horizon: Horizon, first: datetime, last: datetime) -> pl.DataFrame:
        """STORED_SIGNALS of the decision times in [first, last]; of two for one moment the last written is last.

        ``symbols``: None for all that there are, followed today or not.
        """
        with self._connections.transaction("signals") as cursor:
            return readers.signals(cursor, symbols, horizon, first, last)

    def prior_positions(
        self, symbols: Sequence[str], horizon: Horizon, engine: str, after: datetime, before: datetime
    ) -> pl.DataFrame:
        """STAKES: what an engine's signals with a decision time in (after, before] staked, oldest writing first."""
        with self._connections.transaction("signals") as cursor:
            return readers.prior_positions(cursor, symbols, horizon, engine, after, before)

    def quarantined_bars(self, symbols: Sequence[str], after: datetime, before: datetime) -> pl.DataFrame:
        """HALTS: the bars that were refused in (after, before], but for copies of good ones."""
        with self._connections.transaction("quarantine") as cursor:
            return readers.quarantined_bars(cursor, symbols, after, before)

    def decided(
        self, table: DecisionTable, symbols: Sequence[str], horizon: Horizon, first: datetime, last: datetime
    ) -> pl.DataFrame:
        """symbol, horizon, as_of of the decisions stored in a table with a time in [first, last]."""
        with self._connections.transaction(table) as cursor:
            return readers.decided(cursor, table, symbols, horizon, first, last)

    def newest_decided(self, table: DecisionTable, symbols: Sequence[str], by: datetime) -> dict[Horizon, datetime]:
        """Of each horizon the newest decision time at or before ``by`` that is stored for any of some symbols."""
        with self._connections.transaction(table) as cursor:
            return readers.newest_decided(cursor, table, symbols, by)

    def latest_signals(self, symbols: Sequence[str], now: datetime, engine: str = "rules") -> pl.DataFrame:
        """STORED_SIGNALS: of each symbol and horizon an engine's newest with a decision time at or before ``now``."""
        with self._connections.transaction("signals") as cursor:
            return readers.latest_signals(cursor, symbols, now, engine)

    def latest_sentiment(self, symbols: Sequence[str], now: datetime) -> pl.DataFrame:
        """SYMBOL_SENTIMENT: of each symbol and horizon the newest with a decision time at or before ``now``."""
        with self._connections.transaction("symbol_sentiment") as cursor:
            return readers.latest_sentiment(cursor, symbols, now)

    def extents(self, table: str, symbols: Sequence[str], spans: Sequence[tuple[datetime, datetime]]) -> pl.DataFrame:
        """span (its number), symbol, rows, first, last: what a table partitioned by time holds of some spans."""
        found = next(one for one in PARTITIONED if one.name == table)
        starts, ends = [start for start, _ in spans], [end for _, end in spans]
        with self._connections.transaction(table) as cursor:
            return readers.extents(cursor, found, symbols, starts, ends)

    def comments(self, table: str) -> dict[str, str]:
        """What each column of a table means."""
        with self._connections.transaction(table) as cursor:
            return readers.comments(cursor, table)

    # Upkeep

    def ensure_partitions(self, moment: datetime) -> None:
        """Make the partitions of the month of ``moment`` and of the next, so that no write has to."""
        month = moment.astimezone(UTC).date().replace(day=1)
        for table in PARTITIONED:
            self._ensure(table, [month, partitions.month_after(month)])

    def _write_raw(
        self,
        table: Table,
        frame: pl.DataFrame,
        received_at: datetime,
        live: bool,
        feed_delay: timedelta,
        covers: Sequence[CoveredRange],
        asof: date | None = None,
    ) -> WriteResult:
        rows = self._prepared(table, frame)
        if rows.is_empty() and not covers:
            return _NOTHING
        receipt = Receipt(received_at, live, feed_delay, self._decision_lag, asof)
        with self._connections.transaction(table.name) as cursor:
            return write_raw(cursor, table, rows, receipt, covers)

    def _upsert(self, table: Table, frame: pl.DataFrame) -> WriteResult:
        rows = self._prepared(table, frame)
        if rows.is_empty():
            return _NOTHING
        with self._connections.transaction(table.name) as cursor:
            return upserts.upsert(cursor, table, rows)

    def _prepared(self, table: Table, frame: pl.DataFrame) -> pl.DataFrame:
        rows = validated(frame, table.schema, table.name, table.never_null)
        if table.partition and rows.height:
            self._ensure(table, partitions.months_of(rows, table.partition))
        return rows

    def _ensure(self, table: Table, months: Sequence[date]) -> None:
        # In a transaction of its own: an empty partition left behind by a failed write does no harm.
        with self._connections.transaction(table.name) as cursor:
            partitions.ensure(cursor, table, months)
