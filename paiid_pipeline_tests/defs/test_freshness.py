"""Stale is never called fresh: what is published again without anything new is not fresh again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from paiid_pipeline.cache import Envelope
from paiid_pipeline.defs.decision_assets import alike
from paiid_pipeline.schemas import WITHHELD
from paiid_pipeline.serving.hot_results import KINDS, PUBLICATION_DELAY, envelopes, replaced_after
from paiid_pipeline.settings import TTL, CacheKind, load_settings
from paiid_pipeline.trading_calendar import INTRADAY_STEP
from paiid_pipeline.universe import DECISION_LAG
from paiid_pipeline_tests.defs.world import START, World
from paiid_pipeline_tests.warehouse.rows import signal, signals

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)
SYMBOLS = ["AAPL", "MSFT", "JPM", "KO"]
SOON = timedelta(seconds=1)


def published(world: World, at: datetime) -> dict[str, list[Envelope]]:
    """What would be in Redis, had all been published at a moment."""
    return {kind: envelopes(kind, SYMBOLS, world.warehouse, at) for kind in KINDS}


def test_nothing_is_fresh_past_what_it_rests_on_whenever_it_is_published(world: World) -> None:
    world.everything(NOW, DAY - timedelta(days=1), DAY)
    now = published(world, NOW)
    assert all(envelope.staleness(NOW) is None for kind in KINDS for envelope in now[kind])
    assert {kind: len(found) for kind, found in now.items()} == dict.fromkeys(KINDS, len(SYMBOLS))
    ends: dict[CacheKind, datetime] = {
        "market": START + timedelta(minutes=1) + TTL["market"],
        "signals": START + timedelta(minutes=5) + replaced_after(timedelta(0)),
        "sentiment": START + TTL["sentiment"],
        "news": NOW + TTL["news"],
    }
    for kind, end in ends.items():
        for at in (end - SOON, end + SOON, end + timedelta(minutes=7), end + timedelta(hours=2)):
            for envelope in published(world, at)[kind]:
                assert envelope.fresh_until == min(at + TTL[kind], end), (kind, at)
                assert (envelope.staleness(at) is None) == (at <= end), (kind, at)


STOPPED: Mapping[int, set[CacheKind]] = {
    3: {"signals", "sentiment", "news"},
    6: {"sentiment", "news"},
    12: {"sentiment", "news"},
    24: {"news"},
    70: set(),
}
"""Minutes since a vendor has stopped, and what is still fresh."""


def test_a_vendor_that_has_stopped_shows_in_every_key_and_in_the_check(world: World) -> None:
    """All is published again, and nothing new was had since."""
    world.everything(NOW, DAY)
    for minutes, fresh in STOPPED.items():
        later = NOW + timedelta(minutes=minutes)
        again = [envelope for kind in KINDS for envelope in envelopes(kind, SYMBOLS, world.warehouse, later)]
        assert {e.kind for e in again if e.staleness(later) is None} == fresh
        assert {e.kind for e in again if e.staleness(later)} == set(KINDS) - fresh
    for minutes, late in ((3, False), (12, True)):
        config = {
            "symbol_sentiment": {"only_new": True, "through": START.isoformat()},
            "hot_results": {"kinds": list(KINDS)},
        }
        result = world.run("sentiment_refresh", NOW + timedelta(minutes=minutes), DAY, **config)
        assert result.success
        [check, *_] = [one for one in result.get_asset_check_evaluations() if one.check_name == "readable_keys"]
        assert check.passed is not late
        assert check.severity == dg.AssetCheckSeverity.WARN
        assert ("of market are stale, the oldest since 2026-03-10 12:02:00Z" in str(check.description)) is late


@pytest.mark.parametrize("delay", [0, 1, 60, 90, 299, 300, 900, 901])
def test_a_signal_holds_until_a_pipeline_that_is_well_has_published_the_next(delay: int) -> None:
    """And, where the next one does not come, no longer than a refresh takes."""
    late, decision_lag = timedelta(seconds=delay), load_settings({"PAIID_FEED_DELAY_SECONDS": str(delay)}).decision_lag
    ticks = [START + INTRADAY_STEP * step for step in range(9)]
    asked = next(tick for tick in ticks if tick - late >= START)
    published = max(asked, START + decision_lag) + PUBLICATION_DELAY
    valid_until = START + decision_lag - DECISION_LAG
    assert valid_until + replaced_after(late) >= published
    assert replaced_after(late) <= INTRADAY_STEP + DECISION_LAG + PUBLICATION_DELAY
    if late % INTRADAY_STEP == timedelta(0):
        assert valid_until + replaced_after(late) == published


def test_an_expired_horizon_does_not_stand_beside_one_that_holds(world: World) -> None:
    yesterday = START - timedelta(hours=12)
    daily = signal(yesterday, horizon="daily", valid_until=yesterday + timedelta(hours=1))
    world.warehouse.signals.write(signals(daily, signal(START)), "run")
    [envelope] = envelopes("signals", SYMBOLS, world.warehouse, NOW)
    assert set(envelope.data) == {"intraday"}
    assert envelope.staleness(NOW) is None


def test_reasons_keep_their_words_and_numbers_when_they_are_counted() -> None:
    rows = [("A", 1), ("B", 1), ("C", 3)]
    texts = {
        1: "newest bar ended 2026-03-10 11:40:00 UTC, 1200 s before",
        3: "newest bar ended 2026-03-10 11:45:00 UTC, 900 s before",
    }
    withheld = pl.DataFrame(
        [(symbol, "intraday", START + timedelta(minutes=minute), texts[minute]) for symbol, minute in rows]
        + [("D", "daily", START, "no bars since 2024-01-01 00:00:00 UTC")],
        schema=WITHHELD,
        orient="row",
    )
    shown = alike(withheld)
    assert shown["reason"].to_list() == [f"{texts[3]} (and 1 like it)"] * 3 + ["no bars since 2024-01-01 00:00:00 UTC"]
    assert alike(withheld.clear()).is_empty()
