"""The second tier: Redis, with a short timeout and a circuit breaker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

TIMEOUT_SECONDS = 0.05
"""Longer than a healthy Redis takes to respond, and short beside a request."""
OPEN_SECONDS = 0.5
"""How long the breaker stays open after a failure, so that a timeout costs one request, not each."""


class UnavailableError(RuntimeError):
    """The tier does not respond, or its breaker is open."""


class RedisTier:
    """Values by key. Every method raises UnavailableError, at once while the breaker is open."""

    def __init__(
        self, url: str, timeout_seconds: float = TIMEOUT_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._monotonic, self._closed_until = monotonic, 0.0

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """One value a key, in order; None where there is none."""
        self._check()
        try:
            return cast("list[bytes | None]", await self._redis.mget(list(keys)))
        except (RedisError, OSError) as error:
            raise self._failed(error) from None

    async def put(self, values: Mapping[str, tuple[bytes, float]]) -> None:
        """Store values, each with the seconds for which it is kept (above 0)."""
        self._check()
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, (value, seconds) in values.items():
                    pipeline.set(key, value, px=max(1, int(seconds * 1000)))
                await pipeline.execute()
        except (RedisError, OSError) as error:
            raise self._failed(error) from None

    async def ping(self) -> None:
        """Whether it responds now."""
        self._check()
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise self._failed(error) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _check(self) -> None:
        if self._monotonic() < self._closed_until:
            raise UnavailableError("Redis did not answer a moment ago")

    def _failed(self, error: Exception) -> UnavailableError:
        self._closed_until = self._monotonic() + OPEN_SECONDS
        return UnavailableError(f"Redis does not answer: {type(error).__name__}")
