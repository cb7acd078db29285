"""Writes of what the pipeline computed: scores, aggregates, indicators, signals; and of what was refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.warehouse.article_versions import versions_query
from paiid_pipeline.warehouse.bitemporal import lock_keys
from paiid_pipeline.warehouse.bulk_copy import copy_in
from paiid_pipeline.warehouse.tables import ARTICLE_SENTIMENT, Table, WriteResult


def upsert(cursor: Cursor, table: Table, frame: pl.DataFrame) -> WriteResult:
    """Store rows by their key; a stored row changes only where a value is distinct."""
    _stage(cursor, table, frame)
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    values = [name for name in table.columns if name not in table.key]
    cursor.execute(
        f"SELECT count(*) FROM incoming JOIN {table.name} USING ({key}) WHERE {_between(table)}", _ends(table, frame)
    )
    known = _count(cursor)
    cursor.execute(
        f"""
        INSERT INTO {table.name} AS t ({columns}) SELECT {columns} FROM incoming ORDER BY {key}
        ON CONFLICT ({key}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in values)}
        WHERE ({", ".join(f"t.{name}" for name in values)})
            IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in values)})
        """
    )
    inserted = frame.height - known
    return WriteResult(inserted, cursor.rowcount - inserted, frame.height - cursor.rowcount)


def append(cursor: Cursor, table: Table, frame: pl.DataFrame) -> WriteResult:
    """Add the rows whose key is not stored yet."""
    _stage(cursor, table, frame)
    columns = ", ".join(table.columns)
    cursor.execute(
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM incoming "
        f"ORDER BY {', '.join(table.key)} ON CONFLICT DO NOTHING"
    )
    return WriteResult(cursor.rowcount, 0, frame.height - cursor.rowcount)


def append_newest(cursor: Cursor, table: Table, frame: pl.DataFrame, version: str, order: str) -> WriteResult:
    """Add the rows that say something else than the newest stored row, by ``order``, of their key without ``version``.

    ``version``: the column of the key that tells. What an earlier row said is said again, as by a run that goes back.
    """
    _stage(cursor, table, frame)
    # Of two writers of one decision the second must see what the first has written.
    lock_keys(cursor, table, frame)
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    same = " AND ".join(f"s.{name} = i.{name}" for name in table.key if name != version)
    cursor.execute(
        f"""
        INSERT INTO {table.name} ({columns}) SELECT {columns} FROM incoming i
        WHERE {version} IS DISTINCT FROM (
            SELECT s.{version} FROM {table.name} s
            WHERE {same} AND s.{table.partition} BETWEEN %(low)s AND %(high)s ORDER BY s.{order} DESC LIMIT 1)
        ORDER BY {key}
        """,
        _ends(table, frame),
    )
    return WriteResult(cursor.rowcount, 0, frame.height - cursor.rowcount)


_OBSERVED = """
    %(live)s AND NOT w.nominal OR EXISTS (
        SELECT FROM symbol_sentiment d
        WHERE d.symbol = i.symbol AND d.as_of >= w.known_at - %(settle)s AND d.as_of <= %(scored_at)s
          AND (%(lookback)s IS NULL OR d.as_of < i.published_at + %(lookback)s)
          AND d.as_of >= %(low)s - %(settle)s)"""
"""Whether a score i of a wording w is known when it is made, and not when its article is."""
_INSTANT = "interval '1 microsecond'"


def write_article_sentiment(
    cursor: Cursor,
    frame: pl.DataFrame,
    scored_at: datetime,
    live: bool,
    decision_lag: timedelta,
    lookback: timedelta | None = None,
) -> WriteResult:
    """Add the scores that say something else than the newest of their wording, each known from its article on.

    Known from ``scored_at`` instead where the article was received live (and this is live too), or where
    a decision that should have seen the score is stored already, which is one until ``lookback`` after its publication;
    and after the score that it takes the place of. One that a newer wording's score had outdated by then is left out.
    Raises LookupError for the score of a wording that is not stored.
    """
    _stage(cursor, ARTICLE_SENTIMENT, frame)
    lock_keys(cursor, ARTICLE_SENTIMENT, frame)
    ends = _ends(ARTICLE_SENTIMENT, frame)
    of_these = versions_query(f"{_between(ARTICLE_SENTIMENT)} AND article_id IN (SELECT article_id FROM incoming)")
    cursor.execute(f"CREATE TEMP TABLE wordings ON COMMIT DROP AS {of_these}", ends)
    _refuse_unknown_wordings(cursor, ends)
    columns = ", ".join(ARTICLE_SENTIMENT.columns)
    same = "s.article_id = i.article_id AND s.symbol = i.symbol AND s.model = i.model"
    stored = f"FROM article_sentiment s WHERE {same} AND s.published_at BETWEEN %(low)s AND %(high)s"
    cursor.execute(
        f"""
        INSERT INTO article_sentiment ({columns}, known_at, nominal)
        SELECT {columns}, moment, NOT observed FROM (
            SELECT *, max(earliest - place * {_INSTANT}) OVER (PARTITION BY article_id, symbol, model ORDER BY place)
                      + place * {_INSTANT} AS moment
            FROM (
                SELECT i.*, w.place, o.observed, greatest(
                    CASE WHEN o.observed THEN greatest(w.known_at, %(scored_at)s) ELSE w.known_at END,
                    n.known_at + {_INSTANT}) AS earliest
                FROM incoming i JOIN wordings w USING (article_id, content_hash, published_at)
                CROSS JOIN LATERAL (SELECT {_OBSERVED} AS observed) o
                LEFT JOIN LATERAL (
                    SELECT s.known_at, s.model_version {stored}
                    AND s.content_hash = i.content_hash AND s.known_at >= w.known_at
                    ORDER BY s.known_at DESC LIMIT 1) n ON true
                WHERE n.model_version IS DISTINCT FROM i.model_version) dated) i
        WHERE NOT EXISTS (
            SELECT {stored} AND s.known_at <= i.moment AND EXISTS (
                SELECT FROM wordings l WHERE l.article_id = i.article_id AND l.place > i.place
                AND l.content_hash = s.content_hash AND l.known_at <= s.known_at))
        ORDER BY {", ".join(ARTICLE_SENTIMENT.key)}
        """,
        {**ends, "scored_at": scored_at, "live": live, "settle": decision_lag, "lookback": lookback},
    )
    return WriteResult(cursor.rowcount, 0, frame.height - min(cursor.rowcount, frame.height))


def end_dropped_scores(
    cursor: Cursor,
    start: datetime,
    end: datetime,
    scored_at: datetime,
    live: bool,
    decision_lag: timedelta,
    lookback: timedelta | None = None,
) -> list[str]:
    """End the scores of articles published in [start, end) for symbols that a newer wording is not about any more.

    Each gets a row with confidence 0 and the flag ``dropped``, known as a score of the newer wording would be.
    Returns the symbols, in order.
    """
    columns = ", ".join(ARTICLE_SENTIMENT.columns)
    values = {"score": "0", "p_negative": "0", "p_neutral": "1", "p_positive": "0", "confidence": "0"}
    values |= {"flags": "ARRAY['dropped']", "content_hash": "content_hash", "fingerprint": "NULL"}
    cursor.execute(
        f"""
        INSERT INTO article_sentiment ({columns}, known_at, nominal)
        SELECT {", ".join(values.get(name, name) for name in ARTICLE_SENTIMENT.columns)}, moment, NOT observed
        FROM (
            SELECT i.article_id, w.content_hash, i.symbol, i.model, i.model_version, i.published_at, w.until,
                   o.observed,
                   greatest(CASE WHEN o.observed THEN greatest(w.known_at, %(scored_at)s) ELSE w.known_at END,
                            i.known_at + {_INSTANT}) AS moment
            FROM ({versions_query("published_at >= %(low)s AND published_at < %(high)s")}) w
            CROSS JOIN LATERAL (
                SELECT DISTINCT ON (s.symbol, s.model) s.* FROM article_sentiment s
                WHERE s.article_id = w.article_id AND s.published_at >= %(low)s AND s.published_at < %(high)s
                  AND s.known_at < coalesce(w.until, 'infinity')
                ORDER BY s.symbol, s.model, s.known_at DESC) i
            CROSS JOIN LATERAL (SELECT {_OBSERVED} AS observed) o
            WHERE w.place > 1 AND NOT i.symbol = ANY(w.symbols) AND NOT 'dropped' = ANY(i.flags)) ended
        WHERE until IS NULL OR moment < until
        ORDER BY {", ".join(ARTICLE_SENTIMENT.key)}
        ON CONFLICT DO NOTHING RETURNING symbol
        """,
        {"low": start, "high": end, "scored_at": scored_at, "live": live, "settle": decision_lag, "lookback": lookback},
    )
    return sorted({symbol for (symbol,) in cursor.fetchall()})


def quarantine(cursor: Cursor, frame: pl.DataFrame, received_at: datetime) -> int:
    """Keep what was refused, once; how many rows are new."""
    cursor.execute(
        "CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT source, reason, payload FROM quarantine WITH NO DATA"
    )
    copy_in(cursor, "incoming", frame)
    cursor.execute(
        r"""
        INSERT INTO quarantine (digest, source, received_at, reason, payload)
        SELECT DISTINCT ON (digest) digest, source, %s, reason, payload FROM (
            SELECT *, encode(sha256(convert_to(concat_ws(E'\x1f', source, reason, payload), 'UTF8')), 'hex') AS digest
            FROM incoming) digested
        ORDER BY digest ON CONFLICT DO NOTHING
        """,
        (received_at,),
    )
    return int(cursor.rowcount)


def _stage(cursor: Cursor, table: Table, frame: pl.DataFrame) -> None:
    if frame.select(pl.struct(table.key).n_unique()).item() != frame.height:
        raise ValueError(f"{table.name}: two rows of the batch have the same ({', '.join(table.key)})")
    cursor.execute(
        f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {', '.join(table.columns)} FROM {table.name} WITH NO DATA"
    )
    copy_in(cursor, "incoming", frame)
    cursor.execute("ANALYZE incoming")


def _refuse_unknown_wordings(cursor: Cursor, ends: dict[str, object]) -> None:
    cursor.execute(
        "SELECT count(*), min(article_id) FROM incoming i WHERE NOT EXISTS (SELECT FROM news_articles n WHERE "
        "(n.article_id, n.content_hash, n.published_at) = (i.article_id, i.content_hash, i.published_at)"
        f" AND n.{_between(ARTICLE_SENTIMENT)})",
        ends,
    )
    row = cursor.fetchone()
    if row and row[0]:
        raise LookupError(
            f"article_sentiment: {row[0]} scores are of articles that are not stored, such as {row[1]!r}: "
            "write the articles first, and score what news_to_score gives"
        )


def _between(table: Table) -> str:
    return f"{table.partition} BETWEEN %(low)s AND %(high)s"


def _ends(table: Table, frame: pl.DataFrame) -> dict[str, object]:
    moments = frame[table.partition or ""]
    return {"low": moments.min(), "high": moments.max()}


def _count(cursor: Cursor) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0
