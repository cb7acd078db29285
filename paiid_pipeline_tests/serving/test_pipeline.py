"""Sentiment on demand, over a real warehouse and a real cache: the six steps, and what each does when it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from paiid_pipeline.cache import CacheManager, cache_key
from paiid_pipeline.clock import FixedClock
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.serving.pipeline import MLDataPipeline
from paiid_pipeline.settings import TTL, load_settings
from paiid_pipeline.warehouse import Warehouse, migrate
from paiid_pipeline_tests.warehouse.rows import LATER, MINUTE, T0, article, bar, bars, news

NOW = T0 + timedelta(hours=1)
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def warehouse(postgres_url: str) -> Iterator[Warehouse]:
    migrate(postgres_url)
    with Warehouse(postgres_url) as opened:
        opened.news.write(
            news(
                article(1, headline="Great profit, excellent growth"),
                article(2, headline="Awful fraud", published_at=T0 - timedelta(days=4), updated=T0 - timedelta(days=4)),
                article(3, headline="Great success", symbols=["MSFT"]),
                article(4, headline="Not out yet", published_at=NOW + MINUTE, updated=NOW + MINUTE),
            ),
            LATER,
        )
        opened.bars.write(bars(bar(close=100.0), bar(T0 + MINUTE, close=101.0), bar(NOW, close=999.0)), LATER)
        yield opened


def opened(warehouse: Warehouse, redis_url: str, clock: FixedClock) -> MLDataPipeline:
    settings = load_settings({"PAIID_HOME": "/nonexistent"})
    cache = CacheManager.connect(redis_url, timeout_seconds=0.5)
    return MLDataPipeline(settings, clock=clock, warehouse=warehouse, cache=cache, analyzer=SentimentAnalyzer())


def test_the_articles_of_the_days_asked_for_are_scored_as_known_now(warehouse: Warehouse, redis_url: str) -> None:
    pipeline = opened(warehouse, redis_url, FixedClock(NOW))
    three = pipeline.get_sentiment_analysis_sync("AAPL", 3)
    assert (three.article_count, three.novelty, three.cached, three.as_of) == (1, 1.0, False, NOW)
    assert three.score == pytest.approx(SentimentAnalyzer().analyze_sentiment("Great profit, excellent growth").score)
    assert three.missing_members == ("custom_bert", "finbert")
    assert (three.price, three.price_at) == (101.0, T0 + 2 * MINUTE)
    seven = pipeline.get_sentiment_analysis_sync("AAPL", 7)
    assert seven.article_count == 2
    assert three.score is not None
    assert seven.score is not None
    assert seven.score < three.score


def test_what_the_graph_has_scored_is_not_scored_again(warehouse: Warehouse) -> None:
    analyzer = SentimentAnalyzer()
    scored = analyzer.score_articles(warehouse.news.unscored_versions(T0, NOW, analyzer.model, analyzer.model_version))
    warehouse.article_sentiment.write(scored, NOW - MINUTE)
    expected = opened(warehouse, NOWHERE, FixedClock(NOW)).get_sentiment_analysis_sync("AAPL")

    class Blind(SentimentAnalyzer):
        def analyze_batch(self, texts: object, *_given: object) -> list[object]:  # type: ignore[override]
            assert not texts
            return []

    blind = opened(warehouse, NOWHERE, FixedClock(NOW))
    blind._analyzer = Blind()
    assert blind.get_sentiment_analysis_sync("AAPL") == expected


def test_an_answer_is_cached_while_it_is_fresh_and_of_the_same_models(warehouse: Warehouse, redis_url: str) -> None:
    clock = FixedClock(NOW)
    pipeline = opened(warehouse, redis_url, clock)
    made = pipeline.get_sentiment_analysis_sync("AAPL", 3)
    clock.moment = NOW + TTL["sentiment"]
    assert pipeline.get_sentiment_analysis_sync("AAPL", 3) == replace(made, cached=True)
    clock.moment += timedelta(seconds=1)
    assert pipeline.get_sentiment_analysis_sync("AAPL", 3).as_of == clock.moment
    pipeline._cache._redis.set(cache_key("sentiment", "AAPL:3d"), b"rubbish")
    assert not pipeline.get_sentiment_analysis_sync("AAPL", 3).cached


def test_without_redis_the_answer_is_made_each_time(warehouse: Warehouse) -> None:
    pipeline = opened(warehouse, NOWHERE, FixedClock(NOW))
    assert [pipeline.get_sentiment_analysis_sync("AAPL").cached for _ in range(2)] == [False, False]


def test_a_symbol_without_news_or_bars_has_an_answer_without_numbers(warehouse: Warehouse, redis_url: str) -> None:
    found = opened(warehouse, redis_url, FixedClock(NOW)).get_sentiment_analysis_sync("KO")
    assert (found.score, found.confidence, found.article_count, found.price) == (None, None, 0, None)


def test_wrong_questions_are_refused_with_the_remedy(warehouse: Warehouse, redis_url: str) -> None:
    pipeline = opened(warehouse, redis_url, FixedClock(NOW))
    with pytest.raises(LookupError, match="did you mean 'AAPL'"):
        pipeline.get_sentiment_analysis_sync("AAPLE")
    for days in (0, -1, 366):
        with pytest.raises(ValueError, match=f"lookback_days={days}"):
            pipeline.get_sentiment_analysis_sync("AAPL", days)
