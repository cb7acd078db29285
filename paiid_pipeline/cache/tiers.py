"""Hot results from the nearest tier that has them fresh: memory, Redis, the warehouse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from paiid_pipeline.cache.envelope import cache_key
from paiid_pipeline.cache.memory import MemoryTier, Stored
from paiid_pipeline.cache.redis_tier import RedisTier, UnavailableError
from paiid_pipeline.settings import CacheKind

Tier = Literal["memory", "redis", "warehouse"]
Load = Callable[[CacheKind, Sequence[str]], Awaitable[Mapping[str, bytes]]]
"""The last tier: the envelopes of some symbols as the warehouse has them now; none for a symbol without any."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The hot result of a symbol: bytes to send, their tier, and whether they are stale."""

    stored: Stored
    tier: Tier
    stale: bool


class HotResults:
    """Reads hot results by kind and symbol through three tiers. For one event loop.

    A fresh value is returned from the nearest tier that has one. Where none has, the warehouse is queried, once for
    all concurrent requests of a symbol, and its fresh values are put into Redis. A stale value is returned marked so,
    and never past its ``expires_at``. While Redis is down, the warehouse is read; while the warehouse is down, Redis.
    """

    def __init__(self, memory: MemoryTier, redis: RedisTier, load: Load, now: Callable[[], float]) -> None:
        """``now``: seconds since 1970 on the clock by which results are published."""
        self._memory, self._redis, self._load, self._now = memory, redis, load, now
        self._loading: dict[str, asyncio.Future[Answer | None]] = {}

    async def get(self, kind: CacheKind, symbols: Sequence[str]) -> dict[str, Answer | None]:
        """The hot result of each symbol, None where it has none. Raises UnavailableError where no tier is up."""
        now, found, waited = self._now(), dict[str, Answer | None](), dict[str, asyncio.Future[Answer | None]]()
        missing: list[str] = []
        for symbol in dict.fromkeys(symbols):
            key = cache_key(kind, symbol)
            held, stored = self._memory.get(key, now)
            if held:
                found[symbol] = Answer(stored, "memory", stale=now >= stored.fresh_until) if stored else None
            elif key in self._loading:
                waited[symbol] = self._loading[key]
            else:
                missing.append(symbol)
                waited[symbol] = self._loading[key] = asyncio.get_running_loop().create_future()
        if missing:
            # A task of its own: one request that is cancelled must not cancel the others that wait for it.
            task = asyncio.create_task(self._fill(kind, missing))
            await asyncio.shield(task)
        for symbol, future in waited.items():
            found[symbol] = await asyncio.shield(future)
        return found

    async def _fill(self, kind: CacheKind, symbols: Sequence[str]) -> None:
        """Resolve the futures of some symbols, by a value or by the error."""
        futures = {symbol: self._loading[cache_key(kind, symbol)] for symbol in symbols}
        try:
            found = await self._from_below(kind, symbols)
            for symbol, future in futures.items():
                future.set_result(found.get(symbol))
        except Exception as error:  # noqa: BLE001 - every waiting request must get it, whatever it is
            for future in futures.values():
                future.set_exception(error)
                future.exception()  # retrieved: no request may be waiting any more
        finally:
            for symbol in symbols:
                self._loading.pop(cache_key(kind, symbol), None)

    async def _from_below(self, kind: CacheKind, symbols: Sequence[str]) -> dict[str, Answer]:
        now = self._now()
        cached, failure = await self._from_redis(kind, symbols, now)
        found = {s: Answer(stored, "redis", stale=False) for s, stored in cached.items() if now < stored.fresh_until}
        others = [symbol for symbol in symbols if symbol not in found]
        loaded: dict[str, Stored] = {}
        try:
            values = await self._load(kind, others) if others else {}
            loaded = {symbol: Stored.read(value, kind, symbol) for symbol, value in values.items()}
        except Exception as error:
            stale = [symbol for symbol in others if symbol in cached]
            if len(stale) < len(others):
                raise UnavailableError(f"neither Redis nor the warehouse responds: {error}") from error
        else:
            await self._publish(kind, loaded, now, redis_answers=failure is None)
        for symbol in others:
            stored = _newer(loaded.get(symbol), cached.get(symbol))
            if stored is not None:
                tier: Tier = "warehouse" if stored is loaded.get(symbol) else "redis"
                found[symbol] = Answer(stored, tier, stale=now >= stored.fresh_until)
        for symbol in symbols:
            answer = found.get(symbol)
            self._memory.put(cache_key(kind, symbol), answer.stored if answer else None, now)
        return found

    async def _from_redis(
        self, kind: CacheKind, symbols: Sequence[str], now: float
    ) -> tuple[dict[str, Stored], UnavailableError | None]:
        """The values of this kind and symbols in Redis that have not expired; an invalid envelope counts as none."""
        try:
            values = await self._redis.get([cache_key(kind, symbol) for symbol in symbols])
        except UnavailableError as error:
            return {}, error
        found = {}
        for symbol, value in zip(symbols, values, strict=True):
            if value is not None:
                with suppress(ValueError):
                    stored = Stored.read(value, kind, symbol)
                    if now < stored.expires_at:
                        found[symbol] = stored
        return found, None

    async def _publish(self, kind: CacheKind, loaded: Mapping[str, Stored], now: float, *, redis_answers: bool) -> None:
        fresh = {
            cache_key(kind, symbol): (stored.value, stored.expires_at - now)
            for symbol, stored in loaded.items()
            if now < stored.fresh_until
        }
        if fresh and redis_answers:
            with suppress(UnavailableError):
                await self._redis.put(fresh)


def _newer(one: Stored | None, other: Stored | None) -> Stored | None:
    """Of a value from the warehouse and one from Redis, the one fresh for longer."""
    known = [stored for stored in (one, other) if stored is not None]
    return max(known, key=lambda stored: stored.fresh_until, default=None)
