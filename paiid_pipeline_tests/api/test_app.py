"""Applications ask over HTTP: a real server on real PostgreSQL and Redis, filled as the graph fills them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from paiid_pipeline.api.app import create_app
from paiid_pipeline.cache import CacheManager
from paiid_pipeline.serving import answers
from paiid_pipeline.serving.hot_results import envelopes
from paiid_pipeline.settings import load_settings
from paiid_pipeline.warehouse import Warehouse, migrate
from paiid_pipeline_tests.conftest import fresh_schema
from paiid_pipeline_tests.sources.fake_vendor import serving
from paiid_pipeline_tests.warehouse.rows import (
    MINUTE,
    T0,
    bar,
    bars,
    indicator,
    indicators,
    sentiment,
    sentiments,
    signal,
    signals,
)

NOW = T0 + timedelta(minutes=1)


@pytest.fixture(scope="module")
def filled(postgres_server_url: str) -> Iterator[str]:
    """A warehouse with a decision on AAPL, and nothing on TWX; no test writes to it."""
    with fresh_schema(postgres_server_url) as url:
        migrate(url)
        _fill(url)
        yield url


def _fill(url: str) -> None:
    with Warehouse(url) as opened:
        opened.bars.write(bars(bar(T0 - MINUTE, 92.5)), T0)
        opened.indicators.write(indicators(indicator(T0, rsi_14=28.0, macd=0.1, bb_position="lower", regime="range")))
        opened.symbol_sentiment.write(sentiments(sentiment(T0, score=0.4, confidence=0.5, model="ensemble")))
        opened.signals.write(signals(signal(T0)), "run")


@pytest.fixture
def variables(filled: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """The settings of an API beside these servers, at a moment that stands almost still."""
    universe = tmp_path / "universe.toml"
    universe.write_text('calendar = "24/7"\n[segments]\ntechnology = ["AAPL"]\nmedia = ["TWX", "BRK.B"]\n')
    return {
        "PAIID_HOME": str(tmp_path / "home"),
        "PAIID_POSTGRES_URL": filled,
        "PAIID_REDIS_URL": redis_url,
        "PAIID_UNIVERSE": str(universe),
        "PAIID_CLOCK": f"replay:{NOW.isoformat()}@0.001",
    }


@pytest.fixture
def client(variables: dict[str, str]) -> Iterator[httpx.Client]:
    with serving(create_app(load_settings(variables))) as url, httpx.Client(base_url=url, trust_env=False) as opened:
        yield opened


def error(response: httpx.Response, status: int, code: str) -> str:
    document = response.json()
    assert (response.status_code, document["error"]) == (status, code)
    assert set(document) == {"error", "message", "details", "timestamp"}
    message: str = document["message"]
    return message


def test_a_hot_result_is_the_bytes_that_redis_holds_with_its_age(
    client: httpx.Client, filled: str, redis_url: str
) -> None:
    with Warehouse(filled) as warehouse:
        CacheManager.connect(redis_url).cache_results(envelopes("signals", ["AAPL"], warehouse, NOW))
    answer = client.get("/api/signals/AAPL")
    assert answer.status_code == 200
    assert answer.content == redis.Redis.from_url(redis_url).get("signals:v1:AAPL")
    assert answer.headers["x-cache"] == "redis"
    assert answer.headers["content-type"] == "application/json"
    fresh = answer.headers["cache-control"]
    assert fresh == f"private, max-age={4 * 60 + 45}"  # until its valid_until and the 45 s in which the next is made
    again = client.get("/api/signals/aapl", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-cache"] == "memory"


def test_what_redis_has_not_the_warehouse_answers_and_redis_learns(client: httpx.Client, redis_url: str) -> None:
    answer = client.get("/api/market/AAPL")
    assert (answer.headers["x-cache"], answer.json()["data"]["close"]) == ("warehouse", 92.5)
    assert redis.Redis.from_url(redis_url).get("market:v1:AAPL") == answer.content, "the next process finds it there"


def test_what_is_stale_is_sent_as_stale(variables: dict[str, str]) -> None:
    late = (NOW + timedelta(minutes=30)).isoformat()
    app = create_app(load_settings({**variables, "PAIID_CLOCK": f"replay:{late}@0.001"}))
    with serving(app) as url:
        answer = httpx.get(f"{url}/api/signals/AAPL", trust_env=False)
    assert answer.json()["data"]["intraday"]["signal"] == "BUY"
    assert answer.headers["x-stale-seconds"] == str(25 * 60 + 15)
    assert answer.headers["cache-control"] == "no-store"


def test_several_symbols_are_one_answer_and_null_where_there_is_nothing(client: httpx.Client) -> None:
    answer = client.get("/api/signals", params={"symbols": "AAPL,BRK-B,AAPL"})
    assert list(answer.json()) == ["AAPL", "BRK.B"]
    assert answer.json()["AAPL"]["data"]["intraday"]["signal"] == "BUY"
    assert answer.json()["BRK.B"] is None


def test_what_is_not_followed_or_not_there_is_said_with_the_remedy(client: httpx.Client) -> None:
    assert "did you mean 'AAPL'" in error(client.get("/api/signals/AAPLE"), 404, "SYMBOL_NOT_FOUND")
    assert "no signals of TWX yet" in error(client.get("/api/signals/TWX"), 404, "NOT_FOUND")
    assert "/api/nothing" in error(client.get("/api/nothing"), 404, "NOT_FOUND")
    assert "symbols=0" in error(client.get("/api/news?symbols=,"), 422, "INVALID_PARAMETERS")
    assert "lookback_days" in error(client.get("/api/sentiment/AAPL?lookback_days=31"), 422, "INVALID_PARAMETERS")
    assert "technology" in error(client.get("/api/signals?segment=tecnology"), 422, "INVALID_PARAMETERS")
    assert "2014-06-09T15:00" in error(client.get("/api/signals/AAPL/explain?as_of=noon"), 422, "INVALID_PARAMETERS")


def test_the_clients_of_the_earlier_system_find_its_fields(client: httpx.Client) -> None:
    found = client.get("/api/sentiment/AAPL", params={"include_news": True}).json()
    assert (found["symbol"], found["sentiment_label"], found["news_count"]) == ("AAPL", "neutral", 0)
    assert set(found) >= {"sentiment_score", "confidence", "analysis_timestamp", "cached", "news"}
    assert found["technical_indicators"] == {
        "rsi": 28.0, "macd": 0.1, "bollinger_position": "lower", "as_of": "2014-06-09T13:30:00Z", "horizon": "intraday",
    }  # fmt: skip
    found = client.get("/api/sentiment/AAPL/signals").json()
    assert (found["overall_sentiment"], found["market_regime"]) == ("positive", "range")
    (one,) = found["signals"]
    assert (one["signal_type"], one["confidence"], one["reasoning"]) == ("BUY", 0.6, ["RSI 14 is 28"])
    assert set(one) >= {"timestamp", "price_target", "stop_loss"}
    for query in ("signal_type=SELL", "confidence_threshold=0.61"):
        assert client.get(f"/api/sentiment/AAPL/signals?{query}").json()["signals"] == []


def test_signals_of_the_universe_a_segment_and_an_engine(client: httpx.Client) -> None:
    def symbols(query: str) -> list[Any]:
        return [row["symbol"] for row in client.get(f"/api/signals?{query}").json()["signals"]]

    assert symbols("") == symbols("segment=technology") == symbols("limit=1") == ["AAPL"]
    assert symbols("segment=media") == symbols("engine=ml") == []
    assert client.get("/api/universe").json()["segments"] == {"technology": ["AAPL"], "media": ["TWX", "BRK.B"]}


def test_a_signal_is_explained_as_on_the_command_line(client: httpx.Client) -> None:
    found = client.get("/api/signals/AAPL/explain").json()
    assert found["signal"]["reasons"][0]["text"] == "RSI 14 is 28"
    assert found["indicators"]["rsi_14"] == 28.0
    assert "no signal of AAPL" in error(client.get("/api/signals/AAPL/explain?as_of=2014-06-01"), 404, "NOT_FOUND")


def test_it_is_ready_while_either_store_answers(client: httpx.Client, variables: dict[str, str]) -> None:
    assert client.get("/healthz").json()["status"] == "alive"
    assert client.get("/readyz").json()["status"] == "ready"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
        app = create_app(load_settings({**variables, "PAIID_REDIS_URL": nobody}))
        with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as lame:
            assert lame.get("/readyz").json()["status"] == "degraded"
            assert lame.get("/api/signals/AAPL").headers["x-cache"] == "warehouse"


def test_a_page_of_another_site_reaches_nothing(client: httpx.Client) -> None:
    """A name that somebody else points at this machine is no name of it."""
    assert client.get("/api/signals/AAPL", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/api/signals/AAPL", headers={"host": "localhost"}).status_code == 200


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_only_dev_answers_without_asking_who_calls(variables: dict[str, str], environment: str) -> None:
    settings = load_settings({**variables, "PAIID_ENV": environment, "PAIID_MODEL_KEY": "ab" * 32})
    with pytest.raises(LookupError, match=f"PAIID_ENV={environment}.*has no authentication yet"):
        create_app(settings)


def test_an_unexpected_error_has_the_form_of_the_others_and_tells_nothing_of_itself(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(answers, "newest_signals", fails)
    assert "secret" not in error(client.get("/api/signals"), 500, "INTERNAL_ERROR")


def test_the_schema_describes_the_routes(client: httpx.Client) -> None:
    paths = json.loads(client.get("/api/openapi.json").content)["paths"]
    assert set(paths) >= {"/api/sentiment/{symbol}", "/api/sentiment/{symbol}/signals", "/api/signals", "/readyz"}
