"""The latest row is the newest run's, also where it returns to an earlier version; and no stored row is changed."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import psycopg2
import pytest

from paiid_pipeline.schemas import ARTICLE_STANDINGS
from paiid_pipeline.warehouse import Warehouse
from paiid_pipeline.warehouse.tables import WriteResult
from paiid_pipeline_tests.warehouse.rows import (
    LATER,
    MINUTE,
    T0,
    article,
    indicator,
    indicators,
    news,
    score,
    scores,
    sentiment,
    sentiments,
    signal,
    signals,
)

HOUR = timedelta(hours=1)
END = T0 + timedelta(days=1)


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@pytest.mark.parametrize("versions", ["ABA", "ABAB", "ABCA", "AABBA", "ABBA"])
def test_signals_follow_the_newest_run_there_and_back(warehouse: Warehouse, warehouse_url: str, versions: str) -> None:
    kinds = {"A": "BUY", "B": "SELL", "C": "HOLD"}
    for number, version in enumerate(versions):
        frame = signals(signal(T0, signal=kinds[version], inputs_hash=version, model_version=f"rules-{version}"))
        written = warehouse.signals.write(frame, f"run-{number}")
        again = number > 0 and versions[number - 1] == version
        assert written == (WriteResult(0, 0, 1) if again else WriteResult(1, 0, 0))
        assert warehouse.signals.write(frame, "replayed") == WriteResult(0, 0, 1)
        assert warehouse.signals.latest(["AAPL"], LATER)["model_version"].to_list() == [f"rules-{version}"]
        assert ask(warehouse_url, "SELECT signal FROM signals_latest") == [(kinds[version],)]
    steps = [version for place, version in enumerate(versions) if versions[place - 1 : place] != version]
    assert warehouse.signals.read(["AAPL"], "intraday", T0, T0)["inputs_hash"].to_list() == steps
    assert len(ask(warehouse_url, "SELECT FROM signals_history")) == len(steps)


def test_other_decisions_and_engines_are_not_touched_by_a_way_back(warehouse: Warehouse) -> None:
    others = [signal(T0, "TWX"), signal(T0, engine="ml"), signal(T0 + MINUTE), signal(T0, horizon="daily")]
    for version in "ABA":
        warehouse.signals.write(signals(signal(T0, inputs_hash=version), *others), "run")
    assert warehouse.signals.read(None, "intraday", T0, LATER).height == 3 + 3
    assert warehouse.signals.read(None, "daily", T0, LATER).height == 1


def test_indicators_and_aggregates_follow_the_newest_run_too(warehouse: Warehouse, warehouse_url: str) -> None:
    for version in "ABA":
        warehouse.indicators.write(indicators(indicator(T0, inputs_hash=version)))
        warehouse.symbol_sentiment.write(sentiments(sentiment(T0, inputs_hash=version)))
        assert ask(warehouse_url, "SELECT inputs_hash FROM indicators_latest") == [(version,)]
        assert warehouse.symbol_sentiment.latest(["AAPL"], LATER)["inputs_hash"].to_list() == [version]


def versions_read(warehouse: Warehouse, known_by: object = LATER + timedelta(days=1)) -> list[tuple[object, ...]]:
    rows = warehouse.article_sentiment.read(["AAPL"], "vader", T0, END, known_by)  # type: ignore[arg-type]
    newest = rows.sort("known_at").unique(["symbol", "article_id"], keep="last")
    return newest.sort("article_id").select("content_hash", "model_version").rows()


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("versions", ["121", "1212", "1231"])
def test_scores_follow_the_model_there_and_back(warehouse: Warehouse, versions: str, decided: bool) -> None:
    one = article()
    warehouse.news.write(news(one), LATER)
    if decided:
        warehouse.symbol_sentiment.write(sentiments(sentiment(T0 + MINUTE)))
    for number, version in enumerate(versions):
        at = LATER + number * HOUR
        assert warehouse.news.unscored_versions(T0, END, "vader", version).height == 1
        frame = scores(score(one, value=int(version) / 4, model_version=version))
        assert warehouse.article_sentiment.write(frame, at) == WriteResult(1, 0, 0)
        assert warehouse.article_sentiment.write(frame, at) == WriteResult(0, 0, 1)
        assert warehouse.news.unscored_versions(T0, END, "vader", version).is_empty()
        assert versions_read(warehouse, at + HOUR / 2) == [("hash of Up", version)]
    if decided:  # a decision reads what it has read before
        assert versions_read(warehouse, LATER + HOUR / 2) == [("hash of Up", versions[0])]


def test_a_version_that_comes_back_is_the_newest_again(warehouse: Warehouse) -> None:
    up, down = article(), article(updated=T0 + MINUTE, headline="Down")
    again = article(updated=T0 + 2 * MINUTE)
    repeated = article(updated=T0 + 3 * MINUTE)
    warehouse.news.write(news(up, down), LATER)
    warehouse.article_sentiment.write(scores(score(up), score(down)), LATER)
    assert versions_read(warehouse) == [("hash of Down", "1")]
    warehouse.news.write(news(again, repeated), LATER)
    assert warehouse.news.unscored_versions(T0, END, "vader", "1")["content_hash"].to_list() == ["hash of Up"]
    assert warehouse.article_sentiment.write(scores(score(up)), LATER) == WriteResult(1, 0, 0)
    assert versions_read(warehouse) == [("hash of Up", "1")]
    assert versions_read(warehouse, T0 + MINUTE) == [("hash of Down", "1")]
    assert warehouse.news.unscored_versions(T0, END, "vader", "1").is_empty()


def test_a_new_model_does_not_bring_an_old_version_back(warehouse: Warehouse) -> None:
    up, down = article(), article(updated=T0 + MINUTE, headline="Down")
    warehouse.news.write(news(up, down), LATER)
    warehouse.symbol_sentiment.write(sentiments(sentiment(T0 + 2 * MINUTE)))
    warehouse.article_sentiment.write(scores(score(up), score(down)), LATER)
    assert versions_read(warehouse) == [("hash of Down", "1")]
    assert warehouse.news.unscored_versions(T0, END, "vader", "2")["content_hash"].to_list() == ["hash of Down"]
    both = scores(score(up, model_version="2"), score(down, model_version="2"))
    warehouse.article_sentiment.write(both, LATER + HOUR)
    assert versions_read(warehouse) == [("hash of Down", "2")]
    warehouse.article_sentiment.write(scores(score(up, model_version="3")), LATER + 2 * HOUR)
    assert versions_read(warehouse) == [("hash of Down", "2")]


def standing(warehouse: Warehouse, symbol: str, known_by: object = LATER + timedelta(days=1)) -> list[float]:
    rows = warehouse.article_sentiment.read([symbol], "vader", T0, END, known_by)  # type: ignore[arg-type]
    return rows.sort("known_at").unique("article_id", keep="last")["confidence"].to_list()


@pytest.mark.parametrize("symbols", [["TWX"], ["TWX", "MSFT"], []])
def test_a_version_that_drops_a_symbol_ends_its_score_from_then_on(warehouse: Warehouse, symbols: list[str]) -> None:
    tagged = article(symbols=["AAPL", "TWX"])
    retagged = article(updated=T0 + HOUR, headline="Retagged", symbols=symbols)
    warehouse.news.write(news(tagged), LATER)
    warehouse.article_sentiment.write(scores(score(tagged), score(tagged, "TWX")), LATER)
    assert warehouse.article_sentiment.end_dropped(T0, END, LATER) == []
    warehouse.news.write(news(retagged), LATER)
    warehouse.article_sentiment.write(scores(*(score(retagged, symbol) for symbol in symbols)), LATER)
    assert "AAPL" in warehouse.article_sentiment.end_dropped(T0, END, LATER)
    assert warehouse.article_sentiment.end_dropped(T0, END, LATER) == []
    assert standing(warehouse, "AAPL") == [0.0]
    assert standing(warehouse, "AAPL", T0 + HOUR / 2) == [0.5]
    assert standing(warehouse, "TWX") == [0.5 if symbols else 0.0]
    assert warehouse.news.unscored_versions(T0, END, "vader", "1").is_empty()


def test_a_dropped_symbol_that_is_named_again_counts_again_and_what_was_decided_stays(warehouse: Warehouse) -> None:
    tagged, other = article(), article(updated=T0 + HOUR, headline="Retagged", symbols=["TWX"])
    back = article(updated=T0 + 2 * HOUR)
    warehouse.news.write(news(tagged), LATER)
    warehouse.article_sentiment.write(scores(score(tagged)), LATER)
    warehouse.symbol_sentiment.write(sentiments(sentiment(T0 + 90 * MINUTE)))
    warehouse.news.write(news(other), LATER)
    assert warehouse.article_sentiment.end_dropped(T0, END, LATER) == ["AAPL"]
    assert standing(warehouse, "AAPL", LATER - MINUTE) == [0.5]  # the decision of 90 minutes had been made without it
    assert standing(warehouse, "AAPL") == [0.0]
    warehouse.symbol_sentiment.write(sentiments(sentiment(T0 + 150 * MINUTE)))
    warehouse.news.write(news(back), LATER + MINUTE)
    assert "hash of Up" in warehouse.news.unscored_versions(T0, END, "vader", "1")["content_hash"]
    warehouse.article_sentiment.write(scores(score(back)), LATER + MINUTE)
    assert standing(warehouse, "AAPL") == [0.5]
    assert standing(warehouse, "AAPL", LATER + MINUTE / 2) == [0.0]
    assert warehouse.article_sentiment.end_dropped(T0, END, LATER + MINUTE) == []


def test_daily_sentiment_counts_what_stands(warehouse: Warehouse, warehouse_url: str) -> None:
    first, copy, gone = article(1), article(2, headline="Copy"), article(3, headline="Gone")
    retagged = article(3, T0 + HOUR, "Retagged", symbols=["TWX"])
    warehouse.news.write(news(first, copy, gone, retagged), LATER)
    warehouse.article_sentiment.write(scores(score(first, value=1.0), score(copy), score(gone)), LATER)
    warehouse.article_sentiment.end_dropped(T0, END, LATER)
    rows = [("AAPL", "test:1", T0, "counts", None), ("AAPL", "test:2", T0, "copy", "test:1")]
    standings = pl.DataFrame(rows, schema=ARTICLE_STANDINGS, orient="row")
    assert warehouse.article_standings.write(standings) == WriteResult(2, 0, 0)
    assert warehouse.article_standings.write(standings) == WriteResult(0, 0, 2)
    assert ask(warehouse_url, "SELECT article_count, mean_score FROM sentiment_daily") == [(1, 1.0)]
    shown = ask(
        warehouse_url, "SELECT article_id, headline, standing, instead FROM article_sentiment_latest ORDER BY 1"
    )
    assert shown == [
        ("test:1", "Up", "counts", None), ("test:2", "Copy", "copy", "test:1"), ("test:3", "Retagged", "dropped", None),
    ]  # fmt: skip
