"""Three tiers answer as one: the nearest fresh value, one load for all who wait, no error while one of them is well."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import redis

from paiid_pipeline.cache import CacheManager, Envelope
from paiid_pipeline.cache.memory import MemoryTier
from paiid_pipeline.cache.redis_tier import OPEN_SECONDS, RedisTier, UnavailableError
from paiid_pipeline.cache.tiers import Answer, HotResults
from paiid_pipeline.settings import CacheKind

NOW = datetime(2014, 6, 9, 19, 0, 20, tzinfo=UTC)
TTL = timedelta(minutes=5)


def envelope(symbol: str = "AAPL", price: float = 93.7, published: datetime = NOW) -> Envelope:
    return Envelope("signals", symbol, published, published, "rules-1", {"price": price})


@dataclass
class LastTier:
    """The warehouse, as far as the tiers know it: what it has, how often it was asked, and whether it is there."""

    has: dict[str, Envelope] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    there: bool = True

    async def load(self, _kind: CacheKind, symbols: Sequence[str]) -> Mapping[str, bytes]:
        self.asked += symbols
        await asyncio.sleep(0)
        if not self.there:
            raise ConnectionError("the warehouse is gone")
        return {symbol: self.has[symbol].dumps() for symbol in symbols if symbol in self.has}


def hot(url: str, last: LastTier, now: list[datetime] | None = None, **redis_options: float) -> HotResults:
    moments = now or [NOW]
    return HotResults(MemoryTier(), RedisTier(url, **redis_options), last.load, lambda: moments[-1].timestamp())


def nobody() -> str:
    """An address at which nothing listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{closed.getsockname()[1]}/0"


def price(answer: Answer | None) -> tuple[float, str, bool]:
    assert answer is not None
    return Envelope.loads(answer.stored.value).data["price"], answer.tier, answer.stale


def test_the_nearest_fresh_value_is_answered_and_every_tier_above_learns_it(redis_url: str) -> None:
    last = LastTier({"AAPL": envelope(price=1.0), "TWX": envelope("TWX", 2.0)})
    CacheManager.connect(redis_url).cache_results([envelope(price=3.0)])

    async def session() -> None:
        tiers = hot(redis_url, last)
        found = await tiers.get("signals", ["AAPL", "TWX", "NONE"])
        assert price(found["AAPL"]) == (3.0, "redis", False)
        assert price(found["TWX"]) == (2.0, "warehouse", False)
        assert found["NONE"] is None
        again = await tiers.get("signals", ["TWX", "AAPL", "NONE"])
        assert [price(again[symbol])[1] for symbol in ("AAPL", "TWX")] == ["memory", "memory"]
        assert again["NONE"] is None
        assert price((await hot(redis_url, last).get("signals", ["TWX"]))["TWX"]) == (2.0, "redis", False)

    asyncio.run(session())
    assert last.asked == ["TWX", "NONE"]


def test_a_thousand_who_ask_at_once_load_once(redis_url: str) -> None:
    last = LastTier({"AAPL": envelope()})

    async def session() -> list[dict[str, Answer | None]]:
        tiers = hot(redis_url, last)
        return await asyncio.gather(*(tiers.get("signals", ["AAPL"]) for _ in range(1000)))

    assert {price(found["AAPL"])[0] for found in asyncio.run(session())} == {93.7}
    assert last.asked == ["AAPL"]


def test_one_who_goes_away_takes_nothing_from_the_others(redis_url: str) -> None:
    last = LastTier({"AAPL": envelope()})

    async def session() -> Answer | None:
        tiers = hot(redis_url, last)
        first = asyncio.create_task(tiers.get("signals", ["AAPL"]))
        await asyncio.sleep(0)
        second = asyncio.create_task(tiers.get("signals", ["AAPL"]))
        await asyncio.sleep(0)
        first.cancel()
        return (await second)["AAPL"]

    assert price(asyncio.run(session()))[0] == 93.7
    assert last.asked == ["AAPL"]


def test_what_is_stale_everywhere_is_answered_as_stale_and_never_past_its_end(redis_url: str) -> None:
    last = LastTier()
    CacheManager.connect(redis_url).cache_results([envelope()])

    async def session(now: datetime) -> Answer | None:
        return (await hot(redis_url, last, [now]).get("signals", ["AAPL"]))["AAPL"]

    assert price(asyncio.run(session(NOW + TTL - timedelta(seconds=1)))) == (93.7, "redis", False)
    assert price(asyncio.run(session(NOW + TTL))) == (93.7, "redis", True)
    assert asyncio.run(session(NOW + 4 * TTL)) is None


@pytest.mark.parametrize("value", [b"no json", b"{}", envelope("TWX").dumps()], ids=["no JSON", "empty", "another's"])
def test_what_is_no_envelope_of_the_key_counts_as_none(redis_url: str, value: bytes) -> None:
    redis.Redis.from_url(redis_url).set("signals:v1:AAPL", value)
    last = LastTier({"AAPL": envelope(price=5.0)})
    found = asyncio.run(hot(redis_url, last).get("signals", ["AAPL"]))
    assert price(found["AAPL"]) == (5.0, "warehouse", False)


def test_without_redis_the_warehouse_answers_and_redis_is_left_alone_for_a_while() -> None:
    last, elapsed = LastTier({"AAPL": envelope()}), [100.0]

    async def session() -> None:
        tier = RedisTier(nobody(), monotonic=lambda: elapsed[-1])
        tiers = HotResults(MemoryTier(longest=0.0), tier, last.load, NOW.timestamp)
        for _ in range(3):
            assert price((await tiers.get("signals", ["AAPL"]))["AAPL"]) == (93.7, "warehouse", False)
        with pytest.raises(UnavailableError, match="a moment ago"):
            await tier.ping()
        elapsed.append(100.0 + OPEN_SECONDS)
        with pytest.raises(UnavailableError, match="does not answer"):
            await tier.ping()

    asyncio.run(session())


def test_a_black_hole_costs_a_timeout_and_no_error() -> None:
    last = LastTier({"AAPL": envelope()})
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()  # takes the connection, and says nothing
        url = f"redis://127.0.0.1:{hole.getsockname()[1]}/0"
        found = asyncio.run(hot(url, last).get("signals", ["AAPL"]))
    assert price(found["AAPL"]) == (93.7, "warehouse", False)


def test_without_the_warehouse_redis_answers_stale_too_and_else_it_raises(redis_url: str) -> None:
    last = LastTier(there=False)
    CacheManager.connect(redis_url).cache_results([envelope()])

    async def session(symbols: Sequence[str]) -> dict[str, Answer | None]:
        return await hot(redis_url, last, [NOW + 2 * TTL]).get("signals", symbols)

    assert price(asyncio.run(session(["AAPL"]))["AAPL"]) == (93.7, "redis", True)
    with pytest.raises(UnavailableError, match="the warehouse is gone"):
        asyncio.run(session(["AAPL", "TWX"]))
