"""The only place that talks to Redis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from paiid_pipeline.cache.envelope import KEPT, Envelope, cache_key
from paiid_pipeline.settings import TTL, CacheKind

PUBLISH_TIMEOUT_SECONDS = 2.0
BATCH = 500


class CacheManager:
    """Publishes envelopes and reads them back. Raises ``redis.RedisError`` where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @classmethod
    def connect(cls, url: str, timeout_seconds: float = PUBLISH_TIMEOUT_SECONDS) -> CacheManager:
        """A manager of the Redis at ``url``; connects on first use, never retries behind the caller's back."""
        return cls(
            Redis.from_url(
                url,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                retry=Retry(NoBackoff(), 0),
            )
        )

    def reach(self) -> None:
        """Raises RedisError where it does not answer, or refuses the password."""
        self._redis.ping()

    def cache_results(self, envelopes: Iterable[Envelope]) -> int:
        """Store envelopes, each for as long as it is kept; the number of them."""
        waiting = list(envelopes)
        for start in range(0, len(waiting), BATCH):
            with self._redis.pipeline(transaction=False) as pipeline:
                for envelope in waiting[start : start + BATCH]:
                    kept = KEPT * TTL[envelope.kind]
                    pipeline.set(cache_key(envelope.kind, envelope.symbol), envelope.dumps(), ex=kept)
                pipeline.execute()
        return len(waiting)

    def get_cached_result(
        self, kind: CacheKind, symbol: str, now: datetime, *, allow_stale: bool = False
    ) -> Envelope | None:
        """The hot result of a symbol, or None where there is none or, unless allowed, none fresh at ``now``."""
        return self.get_cached_results(kind, [symbol], now, allow_stale=allow_stale)[0]

    def get_cached_results(
        self, kind: CacheKind, symbols: Sequence[str], now: datetime, *, allow_stale: bool = False
    ) -> list[Envelope | None]:
        """The hot results of several symbols, in their order, in one round trip."""
        if not symbols:
            return []
        values = cast("list[bytes | None]", self._redis.mget([cache_key(kind, symbol) for symbol in symbols]))
        found = [Envelope.loads(value) if value is not None else None for value in values]
        return [e if e is not None and (allow_stale or e.staleness(now) is None) else None for e in found]
