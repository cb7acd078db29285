"""Housekeeping: old runs are forgotten, failed ones later, and one that is still going never."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

import dagster as dg

from paiid_pipeline.clock import SystemClock
from paiid_pipeline.defs.operations.assets import KEPT, KEPT_FAILED, retention
from paiid_pipeline_tests.defs.world import defs


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
