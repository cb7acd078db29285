"""Articles to scores: one row a version, symbol and model; odd articles."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from paiid_pipeline.contracts import ARTICLE_SENTIMENT, NEWS, empty
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer

AT = datetime(2014, 6, 9, 14, tzinfo=UTC)


def article(
    name: str, headline: str | None, summary: str | None, symbols: list[str] | None, content: str = "c"
) -> pl.DataFrame:
    row = (name, AT, AT, "test", headline, summary, "", symbols, content)
    return pl.DataFrame([row], schema=NEWS, orient="row")


def test_one_row_a_version_and_symbol() -> None:
    news = pl.concat(
        [
            article("a", "Great profit", "", ["AAPL", "TWX", "AAPL"], "v1"),
            article("a", "Great loss", "", ["AAPL"], "v2"),
            article("a", "Great loss", "", ["AAPL"], "v2"),
            article("b", "Nothing", "", []),
            article("c", "Nothing", "", None),
        ]
    )
    got = SentimentAnalyzer().score_articles(news)
    assert got.schema == pl.Schema(ARTICLE_SENTIMENT)
    assert got.select("article_id", "content_hash", "symbol").rows() == [
        ("a", "v1", "AAPL"),
        ("a", "v1", "TWX"),
        ("a", "v2", "AAPL"),
    ]
    assert set(got["model"]) == {"vader"}
    assert got["score"][0] == got["score"][1] > 0


def test_headline_and_summary_are_each_read_once() -> None:
    analyzer = SentimentAnalyzer()
    parts = [
        ("Great profit", "Terrible fraud and loss"),
        ("Great profit", "Great profit was made"),
        (None, "Great profit"),
        ("Great profit", None),
    ]
    got = [analyzer.score_articles(article("a", h, s, ["X"]))["score"][0] for h, s in parts]
    texts = ["Great profit Terrible fraud and loss", "Great profit was made", "Great profit", "Great profit"]
    assert got == [analyzer.analyze_sentiment(text).score for text in texts]


def test_an_article_without_words_is_neutral_without_confidence() -> None:
    row = SentimentAnalyzer().score_articles(article("a", None, None, ["X"])).row(0, named=True)
    assert (row["score"], row["confidence"], row["flags"]) == (0.0, 0.0, ["empty"])


def test_no_articles_give_no_rows() -> None:
    assert SentimentAnalyzer().score_articles(empty(NEWS)).schema == pl.Schema(ARTICLE_SENTIMENT)


def test_one_text_gives_the_same_as_an_article() -> None:
    result = SentimentAnalyzer().analyze_sentiment("Terrible fraud")
    row = SentimentAnalyzer().score_articles(article("a", "Terrible fraud", "", ["X"])).row(0, named=True)
    assert (result.model, result.model_version, result.score) == (row["model"], row["model_version"], row["score"])
    assert result.p_negative == row["p_negative"] > 0.5
