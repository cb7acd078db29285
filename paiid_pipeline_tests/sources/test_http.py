"""The HTTP client keeps asking where that can help, stops where it cannot, and never tells a secret."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from paiid_pipeline.sources.http import (
    BadRequestError,
    DeniedError,
    MalformedError,
    RateLimiter,
    RequestStats,
    UnavailableError,
    parse_json,
)
from paiid_pipeline_tests.sources.fake_vendor import SECRET, Asking, FakeTime, Reply, Vendor, client, serving


def get(answer: Callable[[Asking], Reply], time: FakeTime, times: int = 1, **policy: float) -> tuple[Any, RequestStats]:
    """Ask a scripted vendor; the last answer and the tally."""

    async def ask(url: str) -> Any:
        async with client(url, time, **policy) as asking:
            for _ in range(times - 1):
                with pytest.raises(UnavailableError):
                    await asking.get("/x", {}, tally)
            return await asking.get("/x", {}, tally)

    tally = RequestStats()
    with serving(Vendor(answer)) as url:
        return asyncio.run(ask(url)), tally


def script(*replies: Reply) -> Callable[[Asking], Reply]:
    """These replies, the last one for ever."""
    return lambda asking: replies[min(asking.number, len(replies) - 1)]


GOOD = Reply({"fine": True})


@pytest.mark.parametrize(
    ("failure", "attempt"),
    [
        (Reply(status=500), 30.0),
        (Reply(status=503), 30.0),
        (Reply(status=408), 30.0),
        (Reply({"half": 1}, cut=True), 30.0),
        (Reply(hang=True), 0.2),
        (Reply(raw=b"{", status=200), 30.0),
        (Reply(raw=b"<html>busy</html>"), 30.0),
        (Reply(raw=b"\x1f\x8bno", headers={"content-encoding": "gzip"}), 30.0),
    ],
    ids=["500", "503", "408", "cut", "hang", "malformed", "html", "bad gzip"],
)
def test_a_passing_failure_is_retried(failure: Reply, attempt: float) -> None:
    body, tally = get(script(failure, failure, GOOD), FakeTime(), attempt=attempt)
    assert body == {"fine": True}
    assert (tally.requests, tally.retries) == (3, 2)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Reset": "1704207642"}, 42.0),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Tue, 02 Jan 2024 15:00:09 GMT"}, 9.0),
        ({"X-Ratelimit-Expiry": "1704207605500"}, 5.5),
        ({"X-RateLimit-Reset": "1704207642", "Date": "Tue, 02 Jan 2024 15:00:32 GMT"}, 10.0),
        ({"Retry-After": "soon"}, 1.0),
        ({"Retry-After": "nan"}, 1.0),
        ({}, 1.0),
    ],
)
def test_a_429_waits_for_the_reset_that_its_header_names(headers: dict[str, str], seconds: float) -> None:
    time = FakeTime()
    body, _ = get(script(Reply(status=429, headers=headers), GOOD), time)
    assert body == {"fine": True}
    assert sum(time.slept) == pytest.approx(seconds + 0.25)


def test_a_reset_beyond_the_budget_is_given_up_at_once() -> None:
    time = FakeTime()
    with pytest.raises(UnavailableError, match=r"429.*given up after 1 attempts.* 75 s"):
        get(script(Reply(status=429, headers={"Retry-After": "3600"})), time)
    assert time.slept == []


def test_backoff_doubles_with_full_jitter_and_ends_with_the_budget() -> None:
    time = FakeTime()
    with pytest.raises(UnavailableError, match="HTTP 500"):
        get(script(Reply(status=500)), time, budget=20.0, longest_backoff=4.0)
    assert time.slept == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert sum(time.slept) <= 20.0


def test_a_source_that_is_down_is_not_asked_for_ever() -> None:
    time, vendor = FakeTime(), Vendor(script(Reply(status=500)))

    async def ask(url: str) -> None:
        async with client(url, time, budget=1.0) as asking:
            for _ in range(3):
                with pytest.raises(UnavailableError, match="HTTP 500"):
                    await asking.get("/x", {}, RequestStats())
            before = len(vendor.asked)
            with pytest.raises(UnavailableError, match="not tried"):
                await asking.get("/x", {}, RequestStats())
            assert len(vendor.asked) == before

    with serving(vendor) as url:
        asyncio.run(ask(url))


def test_a_closed_port_is_unavailable() -> None:
    async def ask() -> None:
        async with client("http://127.0.0.1:1", FakeTime(), budget=1.0) as asking:
            await asking.get("/x", {}, RequestStats())

    with pytest.raises(UnavailableError, match="ConnectError"):
        asyncio.run(ask())


@pytest.mark.parametrize("status", [401, 403])
def test_denial_names_the_variables_and_is_not_retried(status: int) -> None:
    vendor = Vendor(script(Reply({"message": "forbidden."}, status=status)))

    async def ask(url: str) -> None:
        async with client(url, FakeTime()) as asking:
            await asking.get("/x", {}, RequestStats())

    with serving(vendor) as url, pytest.raises(DeniedError, match=f"{status}.*forbidden.*PAIID_TEST_TOKEN"):
        asyncio.run(ask(url))
    assert len(vendor.asked) == 1


def test_a_bad_request_is_not_retried_and_keeps_the_vendors_words() -> None:
    with pytest.raises(BadRequestError, match="invalid symbol: XX"):
        get(script(Reply({"message": "invalid symbol: XX"}, status=400), GOOD), FakeTime())


def test_what_is_never_json_is_handed_over_whole() -> None:
    text = "<?xml version='1.0'?><quotes>" + "x" * 100_000 + "</quotes>"
    with pytest.raises(MalformedError, match="markup instead of JSON") as caught:
        get(script(Reply(raw=text.encode())), FakeTime())
    assert caught.value.body == text


def test_no_secret_in_any_error_repr_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for reply in (Reply(status=500), Reply(status=401), Reply(status=400), Reply(raw=b"["), Reply(cut=True)):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever it is
            get(script(reply), FakeTime(), budget=1.0)
        said.append(f"{caught.value!r} {caught.value} {caught.value.__cause__!r}")
    said += [repr(client("http://localhost", FakeTime())), caplog.text]
    assert "/x" in caplog.text
    assert not [text for text in said if SECRET in text]


def test_the_pace_keeps_to_the_minute_after_a_burst_of_a_tenth() -> None:
    time = FakeTime()
    pace = RateLimiter(120, time.monotonic)
    started = time.now

    async def go() -> list[float]:
        return [await pace.turn() or time.now - started for _ in range(132)]

    with time.passing():
        at = asyncio.run(go())
    assert at[11] == 0.0
    assert at[12] == pytest.approx(0.5)
    assert at[131] == pytest.approx(60.0)


def test_a_held_pace_holds_everyone() -> None:
    time = FakeTime()
    pace = RateLimiter(None, time.monotonic)
    pace.hold(30.0)

    async def go() -> None:
        await asyncio.gather(pace.turn(), pace.turn())

    with time.passing():
        asyncio.run(go())
    assert time.now == pytest.approx(1030.0, abs=31.0)
    assert min(time.slept) > 0


def test_json_with_nan_big_numbers_and_lone_surrogates_is_read() -> None:
    read = parse_json(b'{"a": NaN, "b": 123456789012345678901234567890, "c": "\\ud800"}')
    assert read["a"] != read["a"]
    assert read["b"] == 123456789012345678901234567890
    assert read["c"] == "\ud800"


@pytest.mark.parametrize("body", [b"", b"{", b"[1,]", b"\xff\xfe", b"[" * 100_000, b"<a/>", b'{"a": 1} trailing'])
def test_anything_else_is_not_json(body: bytes) -> None:
    with pytest.raises(ValueError, match="JSON"):
        parse_json(body)
