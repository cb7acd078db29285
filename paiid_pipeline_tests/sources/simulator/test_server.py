"""The simulator answers as Alpaca does: pages, tokens, errors, and the rate limit's headers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.clock import FixedClock
from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import DataRequest, fetch
from paiid_pipeline.sources.simulator.server import application
from paiid_pipeline.sources.simulator.synthetic_exchange import SyntheticExchange
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline_tests.sources.fake_vendor import serving

NOW = datetime(2026, 3, 2, 10, 30, 30, tzinfo=UTC)
APP = application(SyntheticExchange(), FixedClock(NOW))
ALWAYS = TradingCalendar("24/7")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(APP) as address:
        yield address


def get(path: str, **params: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://x") as client:
            return await client.get(path, params=params)

    return asyncio.run(ask())


def pages(path: str, **params: Any) -> list[dict[str, Any]]:
    found, token = [], None
    while True:
        page = get(path, **params, **({"page_token": token} if token else {})).json()
        found.append(page)
        token = page["next_page_token"]
        if token is None:
            return found


def flat(found: list[dict[str, Any]], field: str) -> list[Any]:
    rows: list[Any] = []
    for page in found:
        body = page[field]
        rows += body if isinstance(body, list) else [(key, row) for key, listed in body.items() for row in listed]
    return rows


SPAN = {"start": "2026-03-02T09:55:00Z", "end": "2026-03-02T10:30:00Z", "symbols": "KO,AAPL,MSFT"}


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 130))
def test_any_page_size_gives_the_same_bars(limit: int) -> None:
    whole = flat(pages("/v2/stocks/bars", timeframe="1Min", **SPAN), "bars")
    cut = pages("/v2/stocks/bars", timeframe="1Min", limit=limit, **SPAN)
    assert flat(cut, "bars") == whole
    assert all(len(flat([page], "bars")) <= limit for page in cut)
    assert [symbol for symbol, _ in whole] == sorted(symbol for symbol, _ in whole)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 50), st.sampled_from(["asc", "desc"]))
def test_any_page_size_gives_the_same_news(limit: int, sort: str) -> None:
    span = {**SPAN, "start": "2026-02-25T00:00:00Z", "sort": sort}
    whole = flat(pages("/v1beta1/news", **span, limit=50), "news")
    assert flat(pages("/v1beta1/news", **span, limit=limit), "news") == whole
    updates = [article["updated_at"] for article in whole]
    assert updates == sorted(updates, reverse=sort == "desc")
    assert len(whole) > 20


def test_any_page_size_gives_the_same_actions() -> None:
    span = {"start": "2018-01-01", "end": "2026-03-01", "symbols": "AAPL,KO,NVDA,MSFT"}
    whole = flat(pages("/v1/corporate-actions", **span), "corporate_actions")
    assert whole
    assert flat(pages("/v1/corporate-actions", **span, limit=3), "corporate_actions") == whole
    splits = flat(pages("/v1/corporate-actions", **span, types="forward_split"), "corporate_actions")
    assert splits == [(kind, row) for kind, row in whole if kind == "forward_splits"]


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("/v2/stocks/bars", {**SPAN, "timeframe": "1Min", "symbols": "AAPL,^BAD"}, "invalid symbol: ^BAD"),
        ("/v2/stocks/bars", {**SPAN, "timeframe": "1Min", "symbols": ""}, "symbols is required"),
        ("/v2/stocks/bars", {**SPAN, "timeframe": "5Min"}, "invalid timeframe"),
        ("/v2/stocks/bars", {**SPAN, "timeframe": "1Min", "start": "monday"}, "invalid start"),
        ("/v2/stocks/bars", {**SPAN, "timeframe": "1Min", "limit": "0"}, "invalid limit"),
        ("/v2/stocks/bars", {**SPAN, "timeframe": "1Min", "limit": "ten"}, "invalid limit"),
        ("/v2/stocks/bars", {**SPAN, "timeframe": "1Min", "asof": "then"}, "invalid asof"),
        ("/v2/stocks/bars", {**SPAN, "timeframe": "1Min", "page_token": "é"}, "invalid page_token"),
        ("/v1beta1/news", {**SPAN, "page_token": "AAAA"}, "invalid page_token"),
    ],
)
def test_a_bad_request_says_what_is_bad(path: str, params: dict[str, str], message: str) -> None:
    response = get(path, **params)
    assert response.status_code == 400
    assert message in response.json()["message"]


def test_every_answer_carries_the_rate_limit_and_health_names_the_source() -> None:
    response = get("/health")
    assert response.json() == {"status": "ok", "source": "synthetic", "now": "2026-03-02T10:30:30Z"}
    assert int(response.headers["X-RateLimit-Reset"]) > 0
    assert int(get("/v1beta1/news", **SPAN).headers["X-RateLimit-Remaining"]) > 0


def test_the_client_gets_every_kind_from_it_over_the_wire(url: str) -> None:
    """Bars, news and actions over real HTTP: complete, without refusals, and the same twice."""
    settings_ = load_settings({"PAIID_SOURCE_URL": url})
    symbols = ("AAPL", "KO", "NVDA")
    wanted = [
        DataRequest("1Min", symbols, NOW - timedelta(days=4), NOW),  # 17,000 bars: two pages
        DataRequest("1Day", symbols, NOW - timedelta(days=100), NOW),
        DataRequest("news", symbols, NOW - timedelta(days=10), NOW),
        DataRequest("actions", symbols, NOW - timedelta(days=3000), NOW),
    ]
    first, second = fetch(settings_, wanted, ALWAYS, NOW), fetch(settings_, wanted, ALWAYS, NOW)
    for one, again in zip(first, second, strict=True):
        assert (one.failed_symbols, one.errors, one.in_progress) == ((), (), 0)
        assert one.refusals.is_empty()
        assert one.rows.height > 0
        assert one.rows.equals(again.rows)
    assert first[0].pages == 2
    assert first[1].rows["bar_end"].max() == datetime(2026, 3, 2, tzinfo=UTC)
    ids = first[2].rows.group_by("article_id").agg(pl.len(), pl.col("content_hash").n_unique().alias("contents"))
    assert ids["len"].max() == 2
    assert ids["contents"].max() == 2


def test_a_proxy_of_the_machine_is_not_used_for_a_local_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (got,) = fetch(
        load_settings({"PAIID_SOURCE_URL": url}),
        [DataRequest("1Day", ("KO",), NOW - timedelta(days=9), NOW)],
        ALWAYS,
        NOW,
    )
    assert (got.failed_symbols, got.rows.height) == ((), 8)


def test_it_runs_as_a_module_on_the_clock_of_its_environment() -> None:
    """A process of its own, under a replay clock, answers as of that clock and stops when told."""
    script = [sys.executable, "-m", "paiid_pipeline.sources.simulator.server", "--source", "synthetic", "--port"]
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "PAIID_CLOCK": "replay:2020-05-05T12:00:00+00:00@1"}
    process = subprocess.Popen([*script, str(port)], env=env)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
            health = client.get(f"http://127.0.0.1:{port}/health").json()
        assert health["now"].startswith("2020-05-05T12:")
    finally:
        process.terminate()
        assert process.wait(10) is not None
