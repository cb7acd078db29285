"""Writes of what the pipeline computed: scores, aggregates, indicators, signals; and of what was refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.warehouse.tables import ARTICLE_SENTIMENT, Table
from paiid_pipeline.warehouse.transfer import copy_in
from paiid_pipeline.warehouse.written import Written


def upsert(cursor: Cursor, table: Table, frame: pl.DataFrame) -> Written:
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
    return Written(inserted, cursor.rowcount - inserted, frame.height - cursor.rowcount)


def append(cursor: Cursor, table: Table, frame: pl.DataFrame) -> Written:
    """Add the rows whose key is not stored yet."""
    _stage(cursor, table, frame)
    columns = ", ".join(table.columns)
    cursor.execute(
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM incoming "
        f"ORDER BY {', '.join(table.key)} ON CONFLICT DO NOTHING"
    )
    return Written(cursor.rowcount, 0, frame.height - cursor.rowcount)


def write_article_sentiment(
    cursor: Cursor,
    frame: pl.DataFrame,
    scored_at: datetime,
    live: bool,
    settle: timedelta,
    lookback: timedelta | None = None,
) -> Written:
    """Add the scores whose key is not stored yet, each known from its article on.

    Known from ``scored_at`` instead where the article was received live (and this is live too), or where
    a decision that should have seen the score is stored already, which is one until ``lookback`` after its publication.
    Raises LookupError for the score of a wording that is not stored.
    """
    _stage(cursor, ARTICLE_SENTIMENT, frame)
    ends = _ends(ARTICLE_SENTIMENT, frame)
    cursor.execute(
        f"""
        CREATE TEMP TABLE wordings ON COMMIT DROP AS
        SELECT DISTINCT ON (article_id, content_hash, published_at)
               article_id, content_hash, published_at, known_at, nominal
        FROM news_articles WHERE {_between(ARTICLE_SENTIMENT)}
             AND article_id IN (SELECT article_id FROM incoming)
        ORDER BY article_id, content_hash, published_at, known_at
        """,
        ends,
    )
    _refuse_unknown_wordings(cursor)
    columns = ", ".join(ARTICLE_SENTIMENT.columns)
    cursor.execute(
        f"""
        INSERT INTO article_sentiment ({columns}, known_at, nominal)
        SELECT {columns}, CASE WHEN observed THEN greatest(known_at, %(scored_at)s) ELSE known_at END, NOT observed
        FROM (
            SELECT i.*, w.known_at, %(live)s AND NOT w.nominal OR EXISTS (
                SELECT FROM symbol_sentiment d
                WHERE d.symbol = i.symbol AND d.as_of >= w.known_at - %(settle)s AND d.as_of <= %(scored_at)s
                  AND (%(lookback)s IS NULL OR d.as_of < i.published_at + %(lookback)s)
                  AND d.as_of >= %(low)s - %(settle)s) AS observed
            FROM incoming i JOIN wordings w USING (article_id, content_hash, published_at)) dated
        ORDER BY {", ".join(ARTICLE_SENTIMENT.key)}
        ON CONFLICT DO NOTHING
        """,
        {**ends, "scored_at": scored_at, "live": live, "settle": settle, "lookback": lookback},
    )
    return Written(cursor.rowcount, 0, frame.height - cursor.rowcount)


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


def _refuse_unknown_wordings(cursor: Cursor) -> None:
    cursor.execute(
        "SELECT count(*), min(article_id) FROM incoming i WHERE NOT EXISTS (SELECT FROM wordings w WHERE "
        "(w.article_id, w.content_hash, w.published_at) = (i.article_id, i.content_hash, i.published_at))"
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
