"""news_articles: every version of every article."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from paiid_pipeline.schemas import STORED_NEWS
from paiid_pipeline.warehouse.bitemporal import BitemporalStore, newest_version
from paiid_pipeline.warehouse.tables import NEWS_ARTICLES


class News(BitemporalStore):
    """Frames of NEWS in, of STORED_NEWS out."""

    table = NEWS_ARTICLES

    def read(self, symbols: Sequence[str] | None, start: datetime, end: datetime, known_by: datetime) -> pl.DataFrame:
        """Each article published in [start, end) in the newest version known by ``known_by``, by time and id.

        With ``symbols``, the articles whose newest version is about one of them. The newest version is the one
        updated last, and of two with one ``updated_at`` the one known last.
        """
        about = "AND article_id IN (SELECT article_id FROM news_articles WHERE {} AND symbols && %(symbols)s)"
        within = "published_at >= %(start)s AND published_at < %(end)s AND known_at <= %(known_by)s"
        found = self._rows(
            f"SELECT * FROM news_articles WHERE {within} {about.format(within) if symbols is not None else ''}",
            {"symbols": list(symbols or ()), "start": start, "end": end, "known_by": known_by},
            STORED_NEWS,
        )
        newest = newest_version(found.sort("article_id", "updated_at", "known_at"), "article_id")
        if symbols is not None:
            newest = newest.filter(pl.col("symbols").list.set_intersection(list(symbols)).list.len() > 0)
        return newest.sort("published_at", "article_id")

    def versions(self, articles: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        """Every version of some articles (ids) published in [start, end), by id and known_at."""
        return self._rows(
            "SELECT * FROM news_articles WHERE article_id = ANY(%(articles)s)"
            " AND published_at >= %(start)s AND published_at < %(end)s",
            {"articles": list(articles), "start": start, "end": end},
            STORED_NEWS,
        ).sort("article_id", "known_at", "updated_at")

    def newest(self, symbols: Sequence[str], count: int, start: datetime, known_by: datetime) -> pl.DataFrame:
        """STORED_NEWS and ``symbol``: of each symbol the ``count`` newest articles published since ``start``."""
        found = self.read(symbols, start, known_by + timedelta(microseconds=1), known_by)
        rows = found.with_columns(symbol=pl.col("symbols").list.unique()).explode("symbol")
        newest_first = rows.filter(pl.col("symbol").is_in(list(symbols))).sort(
            "symbol", "published_at", "article_id", descending=[False, True, False]
        )
        return newest_first.group_by("symbol", maintain_order=True).head(count).select(*STORED_NEWS, "symbol")

    def unscored_versions(
        self, start: datetime, end: datetime, model: str, model_version: str, followed: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The versions published in [start, end) whose newest score for a followed symbol is not of this model version.

        ``followed``: None for all symbols. One row an article and content hash, the first known of it, by time and
        id. Without those that were outdated when a newer version of the article was scored: no decision would read
        their scores.
        """
        scored = (
            "SELECT s.model_version FROM article_sentiment s WHERE s.article_id = n.article_id AND s.model = %(model)s"
            " AND s.published_at >= %(start)s AND s.published_at < %(end)s"
        )
        return self._rows(
            f"""
            WITH versions AS ({versions_query("published_at >= %(start)s AND published_at < %(end)s")})
            SELECT DISTINCT ON (article_id, content_hash) {", ".join(STORED_NEWS)} FROM versions n
            WHERE EXISTS (
                SELECT FROM unnest(n.symbols) AS about(symbol)
                WHERE (%(followed)s::text[] IS NULL OR about.symbol = ANY(%(followed)s))
                  AND %(model_version)s IS DISTINCT FROM (
                    {scored} AND s.symbol = about.symbol AND s.content_hash = n.content_hash
                    AND s.known_at >= n.known_at ORDER BY s.known_at DESC LIMIT 1))
              AND NOT EXISTS ({scored} AND EXISTS (
                SELECT FROM versions l WHERE l.article_id = n.article_id AND l.place > n.place
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


def versions_query(which: str) -> str:
    """A query for the successive contents of the articles that the condition ``which`` on news_articles selects.

    Columns: those of news_articles; ``place``, the number of the content in the article, from 1; and ``until``, the
    known_at of the next, null for the newest. Left out are versions that were outdated when they became known and
    those with the content hash of the one before; a return to an earlier content is a row of its own.
    """
    return f"""
        SELECT {", ".join(STORED_NEWS)}, row_number() OVER article AS place, lead(known_at) OVER article AS until
        FROM (SELECT *, lag(content_hash) OVER article AS hash_before
              FROM (SELECT *, max(updated_at) OVER (article ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest
                    FROM news_articles WHERE {which} WINDOW article AS (PARTITION BY article_id
                                                                        ORDER BY known_at, updated_at)) dated
              WHERE newest IS NULL OR updated_at >= newest
              WINDOW article AS (PARTITION BY article_id ORDER BY known_at, updated_at)) current
        WHERE hash_before IS DISTINCT FROM content_hash
        WINDOW article AS (PARTITION BY article_id ORDER BY known_at, updated_at)
    """
