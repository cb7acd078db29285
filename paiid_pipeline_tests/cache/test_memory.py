"""The first tier holds what it was given, for no longer than it may, and never weighs more than it may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.cache import Envelope
from paiid_pipeline.cache.memory import MemoryTier, Stored

NOW = datetime(2014, 6, 9, 19, 0, 20, tzinfo=UTC)
START = NOW.timestamp()


def stored(fresh: float = 60.0, expires: float = 240.0, size: int = 10) -> Stored:
    return Stored(b"x" * size, START, START + fresh, START + expires)


def test_a_value_is_held_for_so_long_and_never_past_its_freshness() -> None:
    tier = MemoryTier(longest=5.0)
    tier.put("long", long := stored(), START)
    tier.put("short", short := stored(fresh=2.0), START)
    tier.put("none", None, START)
    assert [tier.get(key, START + 1.9) for key in ("long", "short", "none")] == [
        (True, long),
        (True, short),
        (True, None),
    ]
    assert tier.get("short", START + 2.0) == (False, None)
    assert tier.get("long", START + 5.0) == (False, None)
    assert tier.get("none", START + 5.0) == (False, None)
    assert tier.bytes == 0


def test_a_stale_value_is_held_but_not_past_its_end() -> None:
    tier = MemoryTier(longest=5.0)
    tier.put("stale", value := stored(fresh=-1.0, expires=3.0), START)
    assert tier.get("stale", START + 2.9) == (True, value)
    assert tier.get("stale", START + 3.0) == (False, None)
    tier.put("gone", stored(fresh=-9.0, expires=-1.0), START)
    assert tier.get("gone", START) == (False, None)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400)), max_size=60))
def test_it_never_weighs_more_than_it_may_and_keeps_what_was_used_last(writes: list[tuple[int, int]]) -> None:
    tier = MemoryTier(max_bytes=2000, longest=5.0)
    for key, size in writes:
        tier.put(str(key), value := stored(size=size), START)
        assert tier.bytes <= 2000
        assert tier.get(str(key), START) == (True, value)


def test_bytes_are_read_as_the_envelope_of_one_kind_and_symbol() -> None:
    value = Envelope("signals", "AAPL", NOW, NOW, "rules-1", {"price": 93.7}, NOW + timedelta(seconds=45)).dumps()
    assert Stored.read(value, "signals", "AAPL") == Stored(value, START, START + 45, START + 1200)
    for kind, symbol in (("news", "AAPL"), ("signals", "TWX")):
        with pytest.raises(ValueError, match="signals of AAPL"):
            Stored.read(value, kind, symbol)
    for other in (b"{}", b"[]", b"nothing", b'{"kind":"signals","symbol":"AAPL","published_at":1}'):
        with pytest.raises(ValueError, match=r"no envelope|expected|unexpected"):
            Stored.read(other, "signals", "AAPL")
