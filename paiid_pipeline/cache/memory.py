"""The first tier: final bytes in this process, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

import orjson

_ENTRY_BYTES = 200
"""Bytes of an entry beside its value: key, times, and its place in the table."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of one envelope, and its moments as seconds since 1970."""

    value: bytes
    published_at: float
    fresh_until: float
    expires_at: float

    @classmethod
    def read(cls, value: bytes, kind: str, symbol: str) -> Stored:
        """Raises ValueError where ``value`` is no envelope of this kind and symbol."""
        document = orjson.loads(value)
        try:
            if (document["kind"], document["symbol"]) != (kind, symbol):
                raise ValueError(f"the value of {kind} of {symbol} is {document['kind']} of {document['symbol']}")
            moments = (_seconds(document[name]) for name in ("published_at", "fresh_until", "expires_at"))
            return cls(value, *moments)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the value of {kind} of {symbol} is no envelope: {error}") from None


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


class MemoryTier:
    """Values by key, the least recently used dropped first. Not for several threads at once.

    A value is held for at most ``longest`` seconds, so that what another process publishes is seen no later than that;
    a fresh one at most until it is stale, a stale one until it expires. ``None`` caches the absence of a value.
    """

    def __init__(self, max_bytes: int = 64 * 2**20, longest: float = 1.0) -> None:
        self._entries: OrderedDict[str, tuple[float, Stored | None]] = OrderedDict()
        self._max_bytes, self._longest, self.bytes = max_bytes, longest, 0

    def get(self, key: str, now: float) -> tuple[bool, Stored | None]:
        """Whether there is an entry for ``key`` at ``now``, and its value."""
        entry = self._entries.get(key)
        if entry is None:
            return False, None
        if now >= entry[0]:
            self.drop(key)
            return False, None
        self._entries.move_to_end(key)
        return True, entry[1]

    def put(self, key: str, stored: Stored | None, now: float) -> None:
        """Cache a value, or the absence of one."""
        self.drop(key)
        until = now + self._longest
        if stored is not None:
            until = min(until, stored.fresh_until if now < stored.fresh_until else stored.expires_at)
        if until <= now:
            return
        self._entries[key] = (until, stored)
        self.bytes += _weight(key, stored)
        while self.bytes > self._max_bytes:
            oldest, (_, value) = self._entries.popitem(last=False)
            self.bytes -= _weight(oldest, value)

    def drop(self, key: str) -> None:
        """Remove a key."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= _weight(key, entry[1])


def _weight(key: str, stored: Stored | None) -> int:
    return _ENTRY_BYTES + len(key) + (len(stored.value) if stored else 0)
