"""article_sentiment: the scores of article versions by symbol and model, every score kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.schemas import STORED_ARTICLE_SENTIMENT
from paiid_pipeline.warehouse.connections import ConnectionPool
from paiid_pipeline.warehouse.news import versions_query
from paiid_pipeline.warehouse.store import TableStore
from paiid_pipeline.warehouse.tables import ARTICLE_SENTIMENT, Table, WriteResult
from paiid_pipeline.warehouse.upserts import between, extent, lock_keys, stage

_OBSERVED = """
    %(live)s AND NOT v.nominal OR EXISTS (
        SELECT FROM symbol_sentiment d
        WHERE d.symbol = i.symbol AND d.as_of >= v.known_at - %(decision_lag)s AND d.as_of <= %(scored_at)s
          AND (%(lookback)s IS NULL OR d.as_of < i.published_at + %(lookback)s)
          AND d.as_of >= %(low)s - %(decision_lag)s)"""
"""Whether a score i of an article version v is known when it is made, instead of when the version is."""
_INSTANT = "interval '1 microsecond'"
_COLUMNS = ", ".join(ARTICLE_SENTIMENT.columns)
_KEY = ", ".join(ARTICLE_SENTIMENT.key)


class ArticleSentiment(TableStore):
    """Frames of ARTICLE_SENTIMENT in, of STORED_ARTICLE_SENTIMENT out."""

    table = ARTICLE_SENTIMENT

    def __init__(self, connections: ConnectionPool, decision_lag: timedelta) -> None:
        super().__init__(connections)
        self._decision_lag = decision_lag

    def read(
        self, symbols: Sequence[str], model: str, start: datetime, end: datetime, known_by: datetime
    ) -> pl.DataFrame:
        """All scores known by ``known_by`` of articles published in [start, end), by symbol, time and id."""
        return self._rows(
            "SELECT * FROM article_sentiment WHERE symbol = ANY(%(symbols)s) AND model = %(model)s"
            " AND published_at >= %(start)s AND published_at < %(end)s AND known_at <= %(known_by)s",
            {"symbols": list(symbols), "model": model, "start": start, "end": end, "known_by": known_by},
            STORED_ARTICLE_SENTIMENT,
        ).sort("symbol", "published_at", "article_id", "known_at", "content_hash", "model_version")

    def write(
        self, frame: pl.DataFrame, scored_at: datetime, live: bool = False, lookback: timedelta | None = None
    ) -> WriteResult:
        """Add the scores by another model version than the newest stored of their article version; none ever changes.

        A score is known when its article version is. It is known at ``scored_at`` instead, where the version was
        received live and ``live`` is true, or where a decision that should have read the score, one less than
        ``lookback`` after the publication (None: any), is stored already. In either case after the score that it
        replaces. A score that a newer version's had outdated by then is left out. Raises LookupError for a score of
        an article version that is not stored.
        """
        parameters = self._parameters(scored_at, live, lookback)

        def add(cursor: Cursor, table: Table, rows: pl.DataFrame) -> WriteResult:
            stage(cursor, table, rows)
            lock_keys(cursor, table, rows)
            return _add(cursor, rows.height, {**parameters, **extent(table, rows)})

        return self._write(frame, add)

    def end_dropped(
        self, start: datetime, end: datetime, scored_at: datetime, live: bool = False, lookback: timedelta | None = None
    ) -> list[str]:
        """End the scores of articles published in [start, end) for symbols that a newer version is not about any more.

        Each gets a row with confidence 0 and the flag ``dropped``, known as a score of the newer version would be:
        see :meth:`write`. Returns the symbols, in order.
        """
        with self._transaction() as cursor:
            parameters = self._parameters(scored_at, live, lookback)
            cursor.execute(_end_dropped(), {**parameters, "low": start, "high": end})
            return sorted({symbol for (symbol,) in cursor.fetchall()})

    def _parameters(self, scored_at: datetime, live: bool, lookback: timedelta | None) -> dict[str, object]:
        return {"scored_at": scored_at, "live": live, "decision_lag": self._decision_lag, "lookback": lookback}


def _add(cursor: Cursor, height: int, parameters: dict[str, object]) -> WriteResult:
    """Add the scores of the temporary table ``incoming``, which has ``height`` rows."""
    of_these = versions_query(f"{between(ARTICLE_SENTIMENT)} AND article_id IN (SELECT article_id FROM incoming)")
    cursor.execute(f"CREATE TEMP TABLE versions ON COMMIT DROP AS {of_these}", parameters)
    _refuse_unknown_versions(cursor, parameters)
    same = "s.article_id = i.article_id AND s.symbol = i.symbol AND s.model = i.model"
    stored = f"FROM article_sentiment s WHERE {same} AND s.published_at BETWEEN %(low)s AND %(high)s"
    cursor.execute(
        f"""
        INSERT INTO article_sentiment ({_COLUMNS}, known_at, nominal)
        SELECT {_COLUMNS}, moment, NOT observed FROM (
            SELECT *, max(earliest - place * {_INSTANT}) OVER (PARTITION BY article_id, symbol, model ORDER BY place)
                      + place * {_INSTANT} AS moment
            FROM (
                SELECT i.*, v.place, o.observed, greatest(
                    CASE WHEN o.observed THEN greatest(v.known_at, %(scored_at)s) ELSE v.known_at END,
                    n.known_at + {_INSTANT}) AS earliest
                FROM incoming i JOIN versions v USING (article_id, content_hash, published_at)
                CROSS JOIN LATERAL (SELECT {_OBSERVED} AS observed) o
                LEFT JOIN LATERAL (
                    SELECT s.known_at, s.model_version {stored}
                    AND s.content_hash = i.content_hash AND s.known_at >= v.known_at
                    ORDER BY s.known_at DESC LIMIT 1) n ON true
                WHERE n.model_version IS DISTINCT FROM i.model_version) dated) i
        WHERE NOT EXISTS (
            SELECT {stored} AND s.known_at <= i.moment AND EXISTS (
                SELECT FROM versions l WHERE l.article_id = i.article_id AND l.place > i.place
                AND l.content_hash = s.content_hash AND l.known_at <= s.known_at))
        ORDER BY {_KEY}
        """,
        parameters,
    )
    return WriteResult(cursor.rowcount, 0, height - min(cursor.rowcount, height))


def _end_dropped() -> str:
    values = {"score": "0", "p_negative": "0", "p_neutral": "1", "p_positive": "0", "confidence": "0"}
    values |= {"flags": "ARRAY['dropped']", "content_hash": "content_hash", "fingerprint": "NULL"}
    return f"""
        INSERT INTO article_sentiment ({_COLUMNS}, known_at, nominal)
        SELECT {", ".join(values.get(name, name) for name in ARTICLE_SENTIMENT.columns)}, moment, NOT observed
        FROM (
            SELECT i.article_id, v.content_hash, i.symbol, i.model, i.model_version, i.published_at, v.until,
                   o.observed,
                   greatest(CASE WHEN o.observed THEN greatest(v.known_at, %(scored_at)s) ELSE v.known_at END,
                            i.known_at + {_INSTANT}) AS moment
            FROM ({versions_query("published_at >= %(low)s AND published_at < %(high)s")}) v
            CROSS JOIN LATERAL (
                SELECT DISTINCT ON (s.symbol, s.model) s.* FROM article_sentiment s
                WHERE s.article_id = v.article_id AND s.published_at >= %(low)s AND s.published_at < %(high)s
                  AND s.known_at < coalesce(v.until, 'infinity')
                ORDER BY s.symbol, s.model, s.known_at DESC) i
            CROSS JOIN LATERAL (SELECT {_OBSERVED} AS observed) o
            WHERE v.place > 1 AND NOT i.symbol = ANY(v.symbols) AND NOT 'dropped' = ANY(i.flags)) ended
        WHERE until IS NULL OR moment < until
        ORDER BY {_KEY}
        ON CONFLICT DO NOTHING RETURNING symbol
    """


def _refuse_unknown_versions(cursor: Cursor, parameters: dict[str, object]) -> None:
    cursor.execute(
        "SELECT count(*), min(article_id) FROM incoming i WHERE NOT EXISTS (SELECT FROM news_articles n WHERE "
        "(n.article_id, n.content_hash, n.published_at) = (i.article_id, i.content_hash, i.published_at)"
        f" AND n.{between(ARTICLE_SENTIMENT)})",
        parameters,
    )
    row = cursor.fetchone()
    if row and row[0]:
        raise LookupError(
            f"article_sentiment: {row[0]} scores are of articles that are not stored, such as {row[1]!r}: "
            "write the articles first, and score what news.unscored_versions gives"
        )
