"""Articles in, scores out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from paiid_pipeline.contracts import ARTICLE_SENTIMENT
from paiid_pipeline.sentiment import vader


@dataclass(frozen=True)
class SentimentResult:
    """What one model reads in one text; the fields are those of `contracts.ARTICLE_SENTIMENT`."""

    model: str
    model_version: str
    score: float
    p_negative: float
    p_neutral: float
    p_positive: float
    confidence: float
    flags: tuple[str, ...]


class SentimentAnalyzer:
    """Scores texts and articles. VADER is its only member so far."""

    model: ClassVar[str] = vader.MODEL

    @property
    def model_version(self) -> str:
        """What the scores of a text depend on besides the text."""
        return vader.model_version()

    def analyze_sentiment(self, text: str) -> SentimentResult:
        """Score one raw text, of any length and content."""
        row = vader.score([text]).row(0, named=True)
        flags = tuple(row.pop("flags"))
        return SentimentResult(self.model, self.model_version, flags=flags, **row)

    def score_articles(self, news: pl.DataFrame) -> pl.DataFrame:
        """Score articles: `contracts.ARTICLE_SENTIMENT`, one row an article version, symbol and model.

        ``news`` has the columns of `contracts.NEWS` (more do not matter). What is scored is the headline
        followed by the summary, each once. An article without symbols gives no rows; a version that
        comes twice gives its rows once. Nothing depends on the other articles.
        """
        versions = news.unique(["article_id", "content_hash"], keep="first", maintain_order=True)
        texts = [_text(h, s) for h, s in zip(versions["headline"], versions["summary"], strict=True)]
        scored = versions.select("article_id", "content_hash", "symbols", "published_at").hstack(vader.score(texts))
        return (
            scored.with_columns(
                symbol=pl.col("symbols").list.unique(maintain_order=True),
                model=pl.lit(self.model),
                model_version=pl.lit(self.model_version),
            )
            .explode("symbol", empty_as_null=False)
            .drop_nulls("symbol")
            .select(ARTICLE_SENTIMENT.keys())
        )


def _text(headline: str | None, summary: str | None) -> str:
    head, tail = (headline or "").strip(), (summary or "").strip()
    return tail if tail.startswith(head) else f"{head}\n{tail}"
