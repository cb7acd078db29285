"""Housekeeping: old runs are forgotten, failed ones later; what is going or was made stays; months are made ahead."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import dagster as dg
import psycopg2
import pytest

from paiid_pipeline.clock import SystemClock
from paiid_pipeline.defs.operations import assets as operations
from paiid_pipeline.defs.operations.assets import KEPT, KEPT_FAILED, months_ahead, retention
from paiid_pipeline_tests.defs.world import START, World, defs
from paiid_pipeline_tests.warehouse.rows import PARTITIONED

DAILY = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-12-01")


def tidy(instance: dg.DagsterInstance, after: timedelta) -> Mapping[str, Any]:
    """What `retention` reports, some time from now."""
    later = SystemClock().now() + after
    with patch.object(SystemClock, "now", lambda _self: later):
        result = dg.materialize([retention], instance=instance)
    (event,) = result.asset_materializations_for_node("retention")
    return {name: value.value for name, value in event.metadata.items()}


def test_the_newest_run_of_an_asset_stays_with_its_report() -> None:
    @dg.asset
    def seldom() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"accuracy": 0.9})

    with dg.DagsterInstance.ephemeral() as instance:
        old, new = (dg.materialize([seldom], instance=instance).run_id for _ in range(2))
        later = SystemClock().now() + KEPT_FAILED + timedelta(hours=1)
        with patch.object(SystemClock, "now", lambda _self: later):
            assert dg.materialize([retention], instance=instance).success
        assert {run.run_id for run in instance.get_runs()} >= {new}
        assert old not in {run.run_id for run in instance.get_runs()}
        event = instance.get_latest_materialization_event(seldom.key)
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["accuracy"].value == 0.9


def test_runs_are_forgotten_when_their_time_is_over() -> None:
    job = defs.resolve_job_def("market_refresh")
    now = SystemClock().now()
    with dg.DagsterInstance.ephemeral() as instance:
        done, failed, going = (
            instance.create_run_for_job(job, status=status).run_id
            for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)
        )

        def left(after: timedelta) -> set[str]:
            with patch.object(SystemClock, "now", lambda _self: now + after):
                result = dg.materialize([retention], instance=instance)
            assert result.success
            return {run.run_id for run in instance.get_runs()} - {result.run_id}

        assert left(KEPT - timedelta(hours=1)) == {done, failed, going}
        assert done not in left(KEPT + timedelta(hours=1))
        assert {failed, going} <= left(KEPT + timedelta(hours=1))
        assert going in left(KEPT_FAILED + timedelta(hours=1))
        assert failed not in left(KEPT_FAILED + timedelta(hours=1))


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED])
def test_runs_that_stay_longer_never_hide_those_behind_them(
    monkeypatch: pytest.MonkeyPatch, status: dg.DagsterRunStatus
) -> None:
    monkeypatch.setattr(operations, "BATCH", 5)
    monkeypatch.setattr(operations, "PAGE", 2)
    job = defs.resolve_job_def("market_refresh")
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(12):
            instance.create_run_for_job(job, status=status)
        good = {instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS).run_id for _ in range(7)}
        deleted = [tidy(instance, KEPT + timedelta(days=2))["runs deleted"] for _ in range(3)]
        assert deleted == [5, 2, 0]
        assert not good & {run.run_id for run in instance.get_runs()}


@pytest.mark.parametrize("dimensions", [1, 2])
def test_what_was_made_is_never_shown_as_missing(monkeypatch: pytest.MonkeyPatch, dimensions: int) -> None:
    """The newest run of each partition stays, and keeps no other from being looked at."""
    monkeypatch.setattr(operations, "BATCH", 3)
    segments = dg.StaticPartitionsDefinition(["energy", "retail"])
    of = dg.MultiPartitionsDefinition({"date": DAILY, "segment": segments}) if dimensions == 2 else DAILY
    keys = list(of.get_partition_keys())[:4]

    @dg.asset(partitions_def=of)
    def made() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        runs = [dg.materialize([made], instance=instance, partition_key=key).run_id for key in keys * 3]
        for _ in range(5):
            tidy(instance, KEPT + timedelta(hours=1))
        assert {run.run_id for run in instance.get_runs()} & set(runs) == set(runs[-4:])
        assert instance.get_materialized_partitions(made.key) == set(keys)


def test_a_range_made_in_one_run_and_partly_again_keeps_both_runs() -> None:
    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def made() -> None: ...

    tags = {
        "dagster/asset_partition_range_start": "2026-11-02",
        "dagster/asset_partition_range_end": "2026-11-05",
    }
    with dg.DagsterInstance.ephemeral() as instance:
        whole = dg.materialize([made], instance=instance, tags=tags).run_id
        again = dg.materialize([made], instance=instance, partition_key="2026-11-03").run_id
        tidy(instance, KEPT_FAILED + timedelta(hours=1))
        assert {whole, again} <= {run.run_id for run in instance.get_runs()}
        assert len(instance.get_materialized_partitions(made.key)) == 4


def test_results_of_checks_go_but_for_the_newest_of_each() -> None:
    @dg.asset
    def checked() -> None: ...

    @dg.asset_check(asset=checked)
    def sound() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            dg.materialize([checked, sound], instance=instance)
        assert tidy(instance, KEPT - timedelta(hours=1))["results of checks deleted"] == 0
        assert tidy(instance, KEPT + timedelta(hours=1))["results of checks deleted"] == 2
        (key,) = sound.check_keys
        assert len(instance.event_log_storage.get_asset_check_execution_history(key, limit=10)) == 1


def test_the_next_months_tables_are_made_ahead(world: World) -> None:
    december = START.replace(month=12, day=31, hour=23)
    months_ahead(pipeline=world.pipeline(december))
    with psycopg2.connect(world.postgres_url) as connection, connection.cursor() as cursor:
        for table in PARTITIONED:
            cursor.execute(
                "select inhrelid::regclass::text from pg_inherits where inhparent = %s::regclass", (table.name,)
            )
            assert {name for (name,) in cursor.fetchall()} >= {f"{table.name}_2026_12", f"{table.name}_2027_01"}
    connection.close()
