"""What the UI says of a check: of each partition what it came to, and none planned and left open."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionResolvedStatus as Status

from paiid_pipeline.defs.partitions import UNIVERSE
from paiid_pipeline_tests.defs.world import START, World, defs

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)


def statuses(world: World, asset: str, check: str) -> dict[str, set[str]]:
    """The partitions of each status, as the UI reads them."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    graph = defs.resolve_asset_graph()
    found: Any = world.instance.event_log_storage.get_asset_check_state([(key, graph.get(key).partitions_def)])
    return {
        status.value: set(subset.subset_value.get_partition_keys())
        for status, subset in found[key].subsets.items()
        if not subset.is_empty
    }


@pytest.mark.parametrize("days", [1, 2])
def test_a_check_that_passed_reads_as_passed_in_every_partition_and_again_after_a_refresh(
    world: World, days: int
) -> None:
    first = DAY - timedelta(days=days - 1)
    segments = len(UNIVERSE.segments)
    world.everything(NOW, first, DAY)
    assert world.run("market_refresh", NOW + timedelta(minutes=1), DAY, hot_results={"kinds": ["market"]}).success
    for asset, check, each in (
        ("news_articles", "sound_rows", 1),
        ("article_sentiment", "sound_rows", 1),
        ("market_bars", "sound_rows", segments),
        ("trading_signals", "sound_rows", segments),
        ("hot_results", "readable_keys", segments),
    ):
        found = statuses(world, asset, check)
        assert set(found) == {Status.SUCCEEDED.value}, (asset, found)
        assert len(found[Status.SUCCEEDED.value]) == days * each, asset
    key = dg.AssetCheckKey(dg.AssetKey("news_articles"), "sound_rows")
    history = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=50)
    assert all(record.partition for record in history)
    assert {record.status.value for record in history} == {"SUCCEEDED"}
