"""The wordings of an article in the order in which each was its newest, as SQL."""

from __future__ import annotations

from paiid_pipeline.warehouse.tables import NEWS_ARTICLES

_COLUMNS = ", ".join((*NEWS_ARTICLES.columns, "known_at", "nominal"))


def versions_query(which: str) -> str:
    """A query for the wordings of the articles that the condition ``which`` on news_articles selects.

    Columns: those of news_articles; ``place``, their number in the article, from 1; and ``until``, since when a newer
    one is known, null for the newest. A version that was outdated when it became known is none, nor is one that says
    what the one before said; one that says again what an earlier one said is.
    """
    return f"""
        SELECT {_COLUMNS}, row_number() OVER article AS place, lead(known_at) OVER article AS until
        FROM (SELECT *, lag(content_hash) OVER article AS said_before
              FROM (SELECT *, max(updated_at) OVER (article ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest
                    FROM news_articles WHERE {which} WINDOW article AS (PARTITION BY article_id
                                                                        ORDER BY known_at, updated_at)) dated
              WHERE newest IS NULL OR updated_at >= newest
              WINDOW article AS (PARTITION BY article_id ORDER BY known_at, updated_at)) current
        WHERE said_before IS DISTINCT FROM content_hash
        WINDOW article AS (PARTITION BY article_id ORDER BY known_at, updated_at)
    """
