"""The whole graph through real parts: what it makes, that it repeats itself, and that live equals backfill."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg
import polars as pl
import pytest

from paiid_pipeline.cache import CacheManager
from paiid_pipeline.defs.partitions import UNIVERSE
from paiid_pipeline_tests.defs.conftest import MakeWorld
from paiid_pipeline_tests.defs.world import DATA, DERIVED, START, World, metadata

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)


def test_one_pass_fills_every_table_and_every_hot_key(world: World) -> None:
    world.everything(NOW, DAY - timedelta(days=1), DAY)
    counts = {table: len(rows) for table, rows in world.snapshot().items()}
    assert all(counts[table] for table in ("market_bars", "news_articles", "coverage", *DERIVED)), counts
    newest = world.warehouse.signals.latest(["AAPL", "MSFT", "JPM", "KO"], NOW)
    assert newest.filter(pl.col("horizon") == "intraday")["as_of"].unique().to_list() == [START]
    assert newest.filter(pl.col("horizon") == "daily")["as_of"].unique().to_list() == [START.replace(hour=0)]
    cache = CacheManager.connect(world.redis_url)
    for kind in ("market", "signals", "sentiment", "news"):
        assert all(cache.get_cached_results(kind, ["AAPL", "MSFT", "JPM", "KO"], NOW)), kind  # type: ignore[arg-type]


def test_a_market_refresh_publishes_the_bars_that_it_has_just_fetched(world: World) -> None:
    world.everything(NOW, DAY)
    minute = timedelta(minutes=1)
    assert world.run("market_refresh", NOW + minute, DAY, hot_results={"kinds": ["market"]}).success
    hot = CacheManager.connect(world.redis_url).get_cached_result("market", "AAPL", NOW + minute)
    assert hot is not None
    assert hot.as_of == START + minute


def test_every_materialization_reports_rows_time_range_and_schema(world: World) -> None:
    assert world.run("all_news", NOW, DAY, by_segment=False).success
    result = world.run("all_decisions", NOW, DAY)
    for asset in ("market_bars", "symbol_sentiment", "technical_indicators", "trading_signals"):
        reported = metadata(result, asset)
        assert reported["dagster/row_count"] > 0, asset
        assert reported["first"] <= reported["last"], asset
        columns = reported["dagster/column_schema"].columns
        assert columns, asset
        assert all(column.description for column in columns), asset
    evaluations = result.get_asset_check_evaluations()
    assert len({evaluation.asset_check_key for evaluation in evaluations}) == 5
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())


def test_what_a_partition_holds_is_told_apart_from_what_a_run_gave_it(world: World) -> None:
    world.everything(NOW, DAY)
    later = NOW + timedelta(minutes=5)
    refresh = {"only_new": True}
    again = world.run(
        "signals_refresh", later, DAY, symbol_sentiment=refresh, technical_indicators=refresh, trading_signals=refresh
    )
    assert again.success
    held = {event.partition: event.metadata for event in again.asset_materializations_for_node("symbol_sentiment")}
    for segment, members in UNIVERSE.segments.items():
        metadata_of = held[dg.MultiPartitionKey({"date": f"{DAY}", "segment": segment})]
        where = f"symbol = any(array{list(members)!r}) and as_of > '{DAY}'"
        assert metadata_of["dagster/row_count"].value == len(world.rows("symbol_sentiment", where=where))
        assert metadata_of["rows of this run"].value == len(members)


def test_running_everything_twice_changes_no_row(world: World) -> None:
    world.everything(NOW, DAY - timedelta(days=1), DAY)
    before = world.snapshot()
    world.everything(NOW, DAY - timedelta(days=1), DAY)
    assert world.snapshot() == before
    world.everything(NOW + timedelta(seconds=7), DAY - timedelta(days=1), DAY)
    assert world.snapshot(*DATA) == {table: before[table] for table in DATA}


@pytest.mark.parametrize("real_time", [False, True])
def test_recomputing_the_day_after_minute_by_minute_refreshes_changes_no_row(
    make_world: MakeWorld, real_time: bool
) -> None:
    world = make_world(real_time)
    live(world, minutes=11)
    before = world.snapshot()
    assert world.run("all_decisions", START + timedelta(minutes=11), DAY).success
    assert world.snapshot(*DERIVED) == {table: before[table] for table in DERIVED}


def test_live_refreshes_and_one_backfill_of_an_empty_warehouse_make_the_same_rows(make_world: MakeWorld) -> None:
    lived, filled = make_world(), make_world()
    live(lived, minutes=11)
    filled.everything(START + timedelta(minutes=10, seconds=16), DAY)
    for table in DERIVED:
        assert lived.rows(table) == filled.rows(table), table


def test_a_restated_bar_is_a_new_row_and_no_decision_before_it_was_known_moves(world: World) -> None:
    assert world.run("market_refresh", NOW, DAY, hot_results={"kinds": ["market"]}).success
    world.execute(
        "update market_bars set close = high + 1, high = high + 1"
        " where symbol = 'AAPL' and timeframe = '1Min' and bar_end = '2026-03-10 11:58Z'"
    )
    world.everything(NOW, DAY)
    before = world.snapshot(*DERIVED)
    later = START + timedelta(minutes=5, seconds=20)
    result = world.run("all_decisions", later, DAY)
    assert metadata(result, "market_bars")["restated"] == 1
    assert len(world.rows("market_bars", where="symbol = 'AAPL' and bar_end = '2026-03-10 11:58Z'")) == 2
    for table in DERIVED:
        assert world.rows(table, where=f"as_of <= '{START.isoformat()}'") == before[table], table
    seen = world.rows("technical_indicators", where=f"as_of > '{START.isoformat()}' and symbol = 'AAPL'")
    clean = world.rows("technical_indicators", where=f"as_of > '{START.isoformat()}' and symbol = 'MSFT'")
    assert len(seen) == len(clean) == 1


def live(world: World, minutes: int) -> None:
    """The cadences from START on: a pass at first, then bars a minute, news and decisions every five."""
    world.everything(NOW, DAY)
    for minute in range(1, minutes + 1):
        at = START + timedelta(minutes=minute, seconds=4)
        if minute % 5 == 0:
            assert world.run("all_news", at, DAY, by_segment=False).success
        world.refresh(at, DAY)
