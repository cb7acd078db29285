"""The value of a hot key: JSON bytes that carry their own freshness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from paiid_pipeline.settings import TTL, CacheKind

SCHEMA_VERSION = 1
KEPT = 4
"""A value is kept for this many TTLs: fresh for the first, then stale and served only on request."""


def cache_key(kind: CacheKind, symbol: str) -> str:
    """``{kind}:v{schema}:{SYMBOL}``."""
    return f"{kind}:v{SCHEMA_VERSION}:{symbol}"


@dataclass(frozen=True)
class Envelope:
    """One hot result. ``as_of`` is the moment that the data describes; freshness counts from publication.

    ``holds_until`` ends freshness earlier: what was known holds no longer, however often it is published.
    """

    kind: CacheKind
    symbol: str
    as_of: datetime
    published_at: datetime
    model_version: str | None
    data: Any
    holds_until: datetime | None = None

    @property
    def fresh_until(self) -> datetime:
        ttl_end = self.published_at + TTL[self.kind]
        return ttl_end if self.holds_until is None else min(ttl_end, self.holds_until)

    @property
    def expires_at(self) -> datetime:
        return self.published_at + KEPT * TTL[self.kind]

    def dumps(self) -> bytes:
        """The final bytes, as an application reads them."""
        return orjson.dumps(
            {
                "kind": self.kind,
                "symbol": self.symbol,
                "as_of": self.as_of,
                "published_at": self.published_at,
                "fresh_until": self.fresh_until,
                "expires_at": self.expires_at,
                "model_version": self.model_version,
                "data": self.data,
            },
            option=orjson.OPT_UTC_Z,
        )

    @classmethod
    def loads(cls, value: bytes) -> Envelope:
        """Read back what :meth:`dumps` wrote. Raises ValueError for anything else."""
        document = orjson.loads(value)
        try:
            envelope = cls(
                document["kind"],
                document["symbol"],
                datetime.fromisoformat(document["as_of"]),
                datetime.fromisoformat(document["published_at"]),
                document["model_version"],
                document["data"],
            )
            fresh_until = datetime.fromisoformat(document["fresh_until"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"a cached value is no envelope: {error}") from None
        return envelope if fresh_until == envelope.fresh_until else replace(envelope, holds_until=fresh_until)

    def staleness(self, now: datetime) -> timedelta | None:
        """None while fresh; past that, how long ago freshness ended."""
        return None if now <= self.fresh_until else now - self.fresh_until
