"""Rows that say again what an earlier one said, and which articles count as of now."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEY = 'text COLLATE "C" NOT NULL'

_STANDINGS: Mapping[str, tuple[str, str]] = {
    "symbol": (_KEY, "The ticker that the article is about."),
    "article_id": (_KEY, "The article, as in news_articles."),
    "published_at": ("timestamptz NOT NULL", "When the article first appeared."),
    "standing": (
        _KEY,
        "counts, copy (of an older article), replaced (by a correction or an update) or withdrawn: as all stands now.",
    ),
    "instead": ('text COLLATE "C"', "The article because of which it does not count; null where it does."),
}
_SCORES: Mapping[str, str] = {
    "symbol": "The ticker that the score is about.",
    "article_id": "The article.",
    "published_at": "When the article first appeared.",
    "headline": "Headline of the wording that was scored.",
    "source": "Who supplied the article.",
    "model": "Which model scored it, or ensemble.",
    "model_version": "Version of that model.",
    "score": "p_positive - p_negative, in [-1, 1].",
    "confidence": "In [0, 1].",
    "flags": "What the reader of the score should know, such as a missing member.",
    "known_at": "Since when the score may be used.",
    "standing": "counts, copy, replaced, withdrawn, or dropped (no longer about the symbol, or without content).",
    "instead": "The article because of which it does not count; null where it does.",
}
_DAILY: Mapping[str, str] = {
    "symbol": "Ticker, as the vendor writes it.",
    "day": "Day of publication, UTC.",
    "model": "Which model scored the articles, or ensemble.",
    "model_version": "Version of that model.",
    "article_count": "Articles about the symbol that day that count: no copies, nothing replaced or withdrawn.",
    "mean_score": "Mean of their scores, in [-1, 1].",
    "lowest_score": "Lowest of their scores.",
    "highest_score": "Highest of their scores.",
    "mean_confidence": "Mean of the scores' confidence, in [0, 1].",
    "newest_published_at": "When the newest of them appeared.",
}

_ARTICLE_SENTIMENT_LATEST = """
    CREATE VIEW article_sentiment_latest AS
    SELECT s.symbol, s.article_id, s.published_at, n.headline, n.source, s.model, s.model_version, s.score,
           s.confidence, s.flags, s.known_at,
           CASE WHEN s.confidence > 0 THEN coalesce(t.standing, 'counts') ELSE 'dropped' END AS standing, t.instead
    FROM (SELECT DISTINCT ON (article_id, symbol, model) * FROM article_sentiment
          ORDER BY article_id, symbol, model, known_at DESC) s
    LEFT JOIN article_standings t USING (symbol, article_id, published_at)
    LEFT JOIN LATERAL (SELECT headline, source FROM news_articles w
                       WHERE w.article_id = s.article_id AND w.content_hash = s.content_hash
                         AND w.published_at = s.published_at LIMIT 1) n ON true
"""
_SENTIMENT_DAILY = """
    CREATE VIEW sentiment_daily AS
    SELECT s.symbol, (s.published_at AT TIME ZONE 'UTC')::date AS day, s.model, s.model_version,
           count(*) AS article_count, avg(s.score) AS mean_score, min(s.score) AS lowest_score,
           max(s.score) AS highest_score, avg(s.confidence) AS mean_confidence,
           max(s.published_at) AS newest_published_at
    FROM (SELECT DISTINCT ON (article_id, symbol, model) * FROM article_sentiment
          ORDER BY article_id, symbol, model, known_at DESC) s
    LEFT JOIN article_standings t USING (symbol, article_id, published_at)
    WHERE s.confidence > 0 AND coalesce(t.standing, 'counts') = 'counts'
    GROUP BY 1, 2, 3, 4
"""
_SENTIMENT_DAILY_BEFORE = """
    CREATE VIEW sentiment_daily AS
    SELECT symbol, (published_at AT TIME ZONE 'UTC')::date AS day, model, model_version,
           count(*) AS article_count, avg(score) AS mean_score, min(score) AS lowest_score,
           max(score) AS highest_score, avg(confidence) AS mean_confidence,
           max(published_at) AS newest_published_at
    FROM (SELECT DISTINCT ON (article_id, symbol, model, model_version) *
          FROM article_sentiment
          ORDER BY article_id, symbol, model, model_version, known_at DESC, content_hash) newest
    GROUP BY 1, 2, 3, 4
"""

_SCORE = "article_id, content_hash, symbol, model, model_version, published_at"
_SIGNAL = "symbol, horizon, engine, as_of"


def upgrade() -> None:
    """Let a score and a signal be said again, make the table of standings, and count by it."""
    _rekey("signals", f"{_SIGNAL}, seq")
    _rekey("article_sentiment", f"{_SCORE}, known_at")
    op.execute(
        "COMMENT ON TABLE article_sentiment IS 'Scores of the wordings of articles by symbol, model and version of it."
        " Never changed; of one article and model the score known last stands.'"
    )
    body = ", ".join(f"{name} {kind}" for name, (kind, _) in _STANDINGS.items())
    key = "PRIMARY KEY (symbol, article_id, published_at)"
    op.execute(f"CREATE TABLE article_standings ({body}, {key}) PARTITION BY RANGE (published_at)")
    comment = "Which articles about a symbol count, as all that is known now says; decisions go by what they knew."
    _comment("TABLE", "article_standings", comment, {name: text for name, (_, text) in _STANDINGS.items()})
    op.execute("DROP VIEW sentiment_daily")
    op.execute(_SENTIMENT_DAILY)
    op.execute(_ARTICLE_SENTIMENT_LATEST)
    _comment(
        "VIEW", "sentiment_daily", "Sentiment of the articles of one day (UTC) about a symbol, by model: of those that"
        " count, each by its newest score.", _DAILY,
    )  # fmt: skip
    _comment(
        "VIEW", "article_sentiment_latest", "Each article about a symbol by its newest score, whether it counts, and"
        " why not.", _SCORES,
    )  # fmt: skip
    for view in ("sentiment_daily", "article_sentiment_latest"):
        op.execute(f"GRANT SELECT ON {view} TO paiid_analyst")


def downgrade() -> None:
    """Go back, and keep of what was said twice the last."""
    op.execute("DROP VIEW article_sentiment_latest")
    op.execute("DROP VIEW sentiment_daily")
    op.execute("DROP TABLE article_standings")
    _keep_last("signals", f"{_SIGNAL}, inputs_hash", "seq")
    _keep_last("article_sentiment", _SCORE, "known_at")
    _rekey("signals", f"{_SIGNAL}, inputs_hash")
    _rekey("article_sentiment", _SCORE)
    op.execute(_SENTIMENT_DAILY_BEFORE)
    op.execute("GRANT SELECT ON sentiment_daily TO paiid_analyst")


def _rekey(table: str, columns: str) -> None:
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY ({columns})")


def _keep_last(table: str, key: str, order: str) -> None:
    same = " AND ".join(f"t.{name} = later.{name}" for name in key.split(", "))
    op.execute(f"DELETE FROM {table} t USING {table} later WHERE {same} AND t.{order} < later.{order}")


def _comment(what: str, name: str, comment: str, columns: Mapping[str, str]) -> None:
    quoted = {f"{what} {name}": comment, **{f"COLUMN {name}.{column}": text for column, text in columns.items()}}
    for target, text in quoted.items():
        op.execute(f"COMMENT ON {target} IS '{text.replace(chr(39), chr(39) * 2)}'".replace(":", r"\:"))
