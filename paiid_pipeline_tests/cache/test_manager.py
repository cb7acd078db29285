"""Hot results: fresh for the TTL, kept a little longer, and then marked stale with their age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.cache import CacheManager, Envelope, cache_key
from paiid_pipeline.settings import TTL, CacheKind

NOW = datetime(2014, 6, 9, 19, 0, 20, tzinfo=UTC)


def envelope(kind: CacheKind = "signals", symbol: str = "AAPL", published_at: datetime = NOW) -> Envelope:
    return Envelope(kind, symbol, published_at - timedelta(seconds=5), published_at, "rules-1", {"price": 93.7})


@pytest.mark.parametrize("kind", get_args(CacheKind))
def test_a_key_is_fresh_for_its_ttl_and_kept_for_four(redis_url: str, kind: CacheKind) -> None:
    cache = CacheManager.connect(redis_url)
    cache.cache_results([envelope(kind)])
    assert cache.get_cached_result(kind, "AAPL", NOW + TTL[kind]) == envelope(kind)
    late = NOW + TTL[kind] + timedelta(seconds=1)
    assert cache.get_cached_result(kind, "AAPL", late) is None
    stale = cache.get_cached_result(kind, "AAPL", late, allow_stale=True)
    assert stale is not None
    assert stale.staleness(late) == timedelta(seconds=1)
    left = redis.Redis.from_url(redis_url).ttl(f"{kind}:v1:AAPL")
    assert 4 * TTL[kind].total_seconds() - 5 < left <= 4 * TTL[kind].total_seconds()


def test_an_application_reads_plain_json_that_says_how_fresh_it_is(redis_url: str) -> None:
    import json

    CacheManager.connect(redis_url).cache_results([envelope()])
    value = redis.Redis.from_url(redis_url).get("signals:v1:AAPL")
    assert isinstance(value, bytes)
    assert json.loads(value) == {
        "kind": "signals",
        "symbol": "AAPL",
        "as_of": "2014-06-09T19:00:15Z",
        "published_at": "2014-06-09T19:00:20Z",
        "fresh_until": "2014-06-09T19:05:20Z",
        "expires_at": "2014-06-09T19:20:20Z",
        "model_version": "rules-1",
        "data": {"price": 93.7},
    }


def test_many_symbols_come_back_in_their_order_with_none_for_the_absent(redis_url: str) -> None:
    cache = CacheManager.connect(redis_url)
    symbols = [f"S{number}" for number in range(1200)]
    assert cache.cache_results(envelope(symbol=symbol) for symbol in symbols) == 1200
    found = cache.get_cached_results("signals", ["S7", "NONE", "S1199"], NOW)
    assert [one.symbol if one else None for one in found] == ["S7", None, "S1199"]
    assert cache.get_cached_results("signals", [], NOW) == []


def test_what_is_no_envelope_is_refused_not_served(redis_url: str) -> None:
    redis.Redis.from_url(redis_url).set(cache_key("market", "AAPL"), b'{"price": 1}')
    with pytest.raises(ValueError, match="no envelope"):
        CacheManager.connect(redis_url).get_cached_result("market", "AAPL", NOW)


def test_a_redis_that_is_down_is_an_error_at_once() -> None:
    with pytest.raises(redis.ConnectionError):
        CacheManager.connect("redis://127.0.0.1:1/0").cache_results([envelope()])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values.filter(lambda v: "\ud800" not in repr(v)), st.sampled_from(get_args(CacheKind)))
def test_an_envelope_reads_back_as_it_was_written(data: object, kind: CacheKind) -> None:
    written = Envelope(kind, "BRK.B", NOW, NOW, None, data)
    assert Envelope.loads(written.dumps()) == written
