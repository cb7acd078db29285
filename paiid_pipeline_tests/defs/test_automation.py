"""Cadences: in session only, never overlapping, and ahead of the end of freshness."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pytest
import redis

from paiid_pipeline.cache import CacheManager, Envelope
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.serving.hot_results import KINDS
from paiid_pipeline.settings import TTL, CacheKind
from paiid_pipeline_tests.defs.world import START, PipelineAt, World, defs, op_config

SCHEDULES = {
    "market_refresh_schedule": "* * * * *",
    "signals_refresh_schedule": "*/5 * * * *",
    "article_scoring_schedule": "*/15 * * * *",
    "news_refresh_schedule": "*/30 * * * *",
}


MIDWAY = datetime(2026, 3, 10, 12, 1, 10, tzinfo=UTC)
"""A moment that is near no schedule's tick."""


def tick(name: str, pipeline: PipelineAt, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    """What a schedule does: its run request, or the reason for none."""
    with dg.build_schedule_context(instance=instance, resources={"pipeline": pipeline}) as context:
        data = defs.resolve_schedule_def(name).evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else str(data.skip_message)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> dg.DagsterInstance:
    """An instance that a schedule's context can refer to; each test leaves it without runs."""
    return dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster")))


@pytest.fixture
def world(world: World, instance: dg.DagsterInstance) -> Iterator[World]:
    """The world with that instance."""
    world.instance = instance
    yield world
    for run in instance.get_runs():
        instance.delete_run(run.run_id)


@pytest.fixture
def exchange(world: World) -> World:
    """The same world on the New York calendar."""
    world.variables = {**world.variables, "PAIID_UNIVERSE": _universe(world, 'calendar = "XNYS"\n')}
    return world


@pytest.mark.parametrize(("name", "cron"), SCHEDULES.items())
def test_each_cadence_is_its_ttl_and_runs_from_the_start(name: str, cron: str) -> None:
    schedule = defs.resolve_schedule_def(name)
    assert schedule.cron_schedule == cron
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-03-07T15:00:00+00:00", "its last session ended 2026-03-06 21:00Z"),  # Saturday
        ("2026-07-03T15:00:00+00:00", "its last session ended 2026-07-02 20:00Z"),  # Independence Day, observed
        ("2026-11-27T18:10:00+00:00", "its last session ended 2026-11-27 18:00Z"),  # a half day
        ("2026-03-10T13:29:00+00:00", "its last session ended 2026-03-09 20:00Z"),  # a minute before the open
    ],
)
def test_outside_the_session_every_cadence_skips_and_says_why(exchange: World, name: str, at: str, said: str) -> None:
    outcome = tick(name, exchange.pipeline(datetime.fromisoformat(at)), exchange.instance)
    assert isinstance(outcome, str)
    assert said in outcome


@pytest.mark.parametrize("name", SCHEDULES)
def test_inside_the_session_a_run_covers_the_session_and_all_segments(exchange: World, name: str) -> None:
    at = datetime(2026, 3, 10, 15, 0, 1, tzinfo=UTC)
    outcome = tick(name, exchange.pipeline(at), exchange.instance)
    assert isinstance(outcome, dg.RunRequest)
    start = outcome.tags["dagster/asset_partition_range_start"]
    end = outcome.tags["dagster/asset_partition_range_end"]
    dates_only = name in ("news_refresh_schedule", "article_scoring_schedule")
    assert (start, end) == (
        ("2026-03-10", "2026-03-10") if dates_only else ("2026-03-10|technology", "2026-03-10|consumer")
    )


@pytest.mark.parametrize(
    ("at", "delay", "through"),
    [
        ("2026-03-10T20:10:00+00:00", 900, "2026-03-10T19:55:00+00:00"),
        ("2026-03-10T20:15:00+00:00", 900, "2026-03-10T20:00:00+00:00"),
        ("2026-03-10T20:00:00+00:00", 0, "2026-03-10T20:00:00+00:00"),
        ("2026-03-10T20:01:00+00:00", 37.5, "2026-03-10T20:00:00+00:00"),
    ],
)
def test_a_late_feed_is_asked_for_what_it_has_until_it_has_the_close(
    exchange: World, at: str, delay: float, through: str
) -> None:
    exchange.variables = {**exchange.variables, "PAIID_FEED_DELAY_SECONDS": str(delay)}
    pipeline = exchange.pipeline(datetime.fromisoformat(at))
    request = tick("signals_refresh_schedule", pipeline, exchange.instance)
    assert not isinstance(request, str), request
    assert request.run_config["ops"]["trading_signals"]["config"]["through"] == through
    assert not isinstance(tick("market_refresh_schedule", pipeline, exchange.instance), str)


def test_the_decision_at_midnight_of_a_market_that_never_closes_goes_to_the_day_that_ended(world: World) -> None:
    at = datetime(2026, 3, 11, 0, 0, 1, tzinfo=UTC)
    outcome = tick("signals_refresh_schedule", world.pipeline(at), world.instance)
    assert isinstance(outcome, dg.RunRequest)
    assert outcome.tags["dagster/asset_partition_range_start"].startswith("2026-03-10|")
    assert outcome.run_config["ops"]["trading_signals"]["config"]["through"] == "2026-03-11T00:00:00+00:00"


def test_a_signal_is_published_every_minute_for_as_long_as_it_holds(world: World) -> None:
    """Its TTL is over before the next one is made."""
    outcome = tick("market_refresh_schedule", world.pipeline(START), world.instance)
    assert isinstance(outcome, dg.RunRequest)
    assert outcome.run_config == op_config(hot_results={"kinds": ["market", "signals"]})


def test_a_cadence_never_overlaps_itself(world: World) -> None:
    job = defs.resolve_job_def("market_refresh")
    run = world.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    pipeline = world.pipeline(START)
    outcome = tick("market_refresh_schedule", pipeline, world.instance)
    assert isinstance(outcome, str)
    assert run.run_id in outcome
    assert isinstance(tick("signals_refresh_schedule", pipeline, world.instance), dg.RunRequest)


def sense(
    world: World, at: datetime, cursor: str | None = None, wall: datetime = MIDWAY
) -> tuple[set[str], str, str | None]:
    """What the expiry sensor does at a moment of the wall's clock: jobs asked for, the reason for none, its cursor."""
    resources = {"pipeline": world.pipeline(at)}
    with (
        dg.build_sensor_context(world.instance, cursor, resources=resources, definitions=defs) as context,
        patch.object(SystemClock, "now", lambda _self: wall),
    ):
        data: Any = defs.resolve_sensor_def("keys_expiring").evaluate_tick(context)
    return {str(one.job_name) for one in data.run_requests or ()}, str(data.skip_message), data.cursor


def test_a_key_is_refreshed_before_its_freshness_ends_and_only_once(world: World) -> None:
    at = START + timedelta(seconds=20)
    world.everything(at, at.date())
    assert sense(world, at + timedelta(seconds=50)) == (set(), "no key is about to expire", None)
    asked, _, cursor = sense(world, at + TTL["market"] - timedelta(seconds=3))
    assert asked == {"market_refresh"}
    again, _, _ = sense(world, at + TTL["market"] - timedelta(seconds=2), cursor)
    assert again == set()
    near, said, _ = sense(world, at + TTL["market"], wall=MIDWAY.replace(second=45))
    assert near == set()
    assert "market_refresh ticks in 15 s" in said
    asked, _, _ = sense(world, at + TTL["news"] - timedelta(seconds=60), cursor)
    assert asked == {"market_refresh", "signals_refresh", "news_refresh"}


def test_an_emptied_redis_is_refreshed_at_once_and_what_cannot_be_mended_only_now_and_then(world: World) -> None:
    everyone = {"market_refresh", "signals_refresh", "news_refresh"}
    asked, _, cursor = sense(world, START)
    assert asked == everyone
    for seconds in (5, 50, 240):
        assert sense(world, START + timedelta(seconds=seconds), cursor)[0] == set()
    assert sense(world, START + timedelta(minutes=5), cursor)[0] == everyone
    # Emptied once more after all had been mended: it is missing anew.
    at = START + timedelta(seconds=60)
    mended = [envelope(kind, symbol, at) for kind in KINDS for symbol in ("AAPL", "MSFT", "JPM", "KO")]
    cache = CacheManager.connect(world.redis_url)
    cache.cache_results(mended)
    asked, _, cursor = sense(world, at, cursor)
    assert asked == set()
    redis.Redis.from_url(world.redis_url).flushdb()
    assert sense(world, at + timedelta(seconds=5), cursor)[0] == everyone


@pytest.mark.parametrize("kind", KINDS)
def test_one_missing_key_among_fresh_ones_is_an_expired_one(world: World, kind: CacheKind) -> None:
    cache = CacheManager.connect(world.redis_url)
    fresh = [envelope(each, symbol, START) for each in KINDS for symbol in ("AAPL", "MSFT", "JPM", "KO")]
    cache.cache_results(one for one in fresh if (one.kind, one.symbol) != (kind, "JPM"))
    job = {"market": "market_refresh", "news": "news_refresh"}.get(kind, "signals_refresh")
    assert sense(world, START)[0] == {job}


def envelope(kind: CacheKind, symbol: str, at: datetime) -> Envelope:
    return Envelope(kind, symbol, at, at, None, {})


LANDINGS = [
    ("news_articles", "news_landed", "article_scoring"),
    ("article_sentiment", "articles_scored", "sentiment_refresh"),
]


def landed(
    instance: dg.DagsterInstance, world: World, sensor: str, cursor: str | None = None, at: datetime = MIDWAY
) -> tuple[list[str | None], str | None]:
    """What a sensor of landings does: the jobs it asks for, and its cursor."""
    resources = {"pipeline": world.pipeline(at)}
    with dg.build_sensor_context(instance, cursor, resources=resources, definitions=defs) as context:
        data: Any = defs.resolve_sensor_def(sensor).evaluate_tick(context)
    return [one.job_name for one in data.run_requests or ()], data.cursor


@pytest.mark.parametrize(("asset", "sensor", "job"), LANDINGS)
def test_news_is_scored_as_soon_as_it_lands_and_published_once_scored(
    world: World, asset: str, sensor: str, job: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert landed(instance, world, sensor) == ([], None)
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="2026-03-10"))
        asked, cursor = landed(instance, world, sensor)
        assert asked == [job]
        assert landed(instance, world, sensor, cursor)[0] == []
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="2026-03-09"))
        assert landed(instance, world, sensor, cursor)[0] == [job]


@pytest.mark.parametrize(("asset", "sensor", "job"), LANDINGS)
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_what_lands_while_its_run_is_active_is_acted_on_afterwards(
    world: World, asset: str, sensor: str, job: str, status: dg.DagsterRunStatus
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(defs.resolve_job_def(job), status=status)
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="2026-03-10"))
        asked, cursor = landed(instance, world, sensor)
        assert asked == []
        instance.report_run_failed(run)
        asked, cursor = landed(instance, world, sensor, cursor)
        assert asked == [job]
        assert landed(instance, world, sensor, cursor)[0] == []


@pytest.mark.parametrize(("asset", "sensor", "job"), LANDINGS)
def test_what_lands_after_the_session_is_acted_on_in_the_next(
    exchange: World, asset: str, sensor: str, job: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="2026-03-10"))
        asked, cursor = landed(instance, exchange, sensor, at=datetime(2026, 3, 10, 23, tzinfo=UTC))
        assert asked == []
        assert landed(instance, exchange, sensor, cursor, datetime(2026, 3, 11, 15, tzinfo=UTC))[0] == [job]


def _universe(world: World, prefix: str) -> str:
    path = Path(world.variables["PAIID_UNIVERSE"])
    path.write_text(prefix + path.read_text())
    return str(path)
