"""Comments in the words of the field: versions of articles, near-duplicates, price basis, requests."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "0009"
down_revision = "0008"

_PRICE = (
    "Close of the newest bar on the footing of the values: restated for actions since.",
    "Close of the newest bar on the price basis of the values: adjusted for actions since.",
)
_COMMENTS: Mapping[str, tuple[str, str]] = {
    "COLUMN article_sentiment.content_hash": (
        "The wording that was scored.",
        "The version of the article that was scored.",
    ),
    "COLUMN article_sentiment.fingerprint": (
        "MinHash of the text in hex: near copies of a story have nearly the same; null in rows from before.",
        "MinHash of the text in hex: nearly equal for near-duplicates; null in rows from before there was one.",
    ),
    "TABLE article_sentiment": (
        "Scores of the wordings of articles by symbol, model and version of it. Never changed; of one article and model"
        " the score known last stands.",
        "Scores of the versions of articles by symbol, model and model version. Never changed; of one article and model"
        " the score known last counts.",
    ),
    "COLUMN article_sentiment_latest.headline": (
        "Headline of the wording that was scored.",
        "Headline of the version that was scored.",
    ),
    "TABLE article_standings": (
        "Which articles about a symbol count, as all that is known now says; decisions go by what they knew.",
        "Which articles about a symbol count, by all that is known now; decisions use what was known at their time.",
    ),
    "TABLE coverage": (
        "Which spans of time each source has been asked for and has answered.",
        "The time ranges that were requested of each source and received in full.",
    ),
    "COLUMN coverage.source": ("Who was asked.", "The source of the data."),
    "COLUMN coverage.symbol": ("Ticker that was asked about.", "Ticker that was requested."),
    "COLUMN coverage.spans": (
        "The spans [start, end) that were asked for and answered in full.",
        "The time ranges [start, end) that were requested and received in full.",
    ),
    "COLUMN indicators_latest.price": _PRICE,
    "COLUMN technical_indicators.price": _PRICE,
    "COLUMN news_articles.content_hash": (
        "sha256 of headline, summary and symbols: names this wording.",
        "sha256 of headline, summary and symbols: identifies this version.",
    ),
    "COLUMN symbol_sentiment.novelty": (
        "Stories / articles, in (0, 1]: 0.1 where one story came ten times; null without articles.",
        "Articles without near-duplicates / all articles, in (0, 1]; null without articles.",
    ),
}
"""By object, its comment until now and from now on."""


def upgrade() -> None:
    """Set the new comments."""
    _set(1)


def downgrade() -> None:
    """Set the comments of before."""
    _set(0)


def _set(which: int) -> None:
    for place, texts in _COMMENTS.items():
        op.execute(f"COMMENT ON {place} IS '{texts[which]}'")
