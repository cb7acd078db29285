"""One pass: which partitions it makes, and what it does about runs that a killed process left behind."""

from __future__ import annotations

from datetime import date, datetime

import dagster as dg
import pytest

from paiid_pipeline.first_pass import fail_orphans, main, newest_partitions
from paiid_pipeline_tests.defs.world import ENVIRONMENT, START, World, defs


def test_it_makes_the_newest_daily_and_the_newest_intraday_decision(world: World) -> None:
    assert newest_partitions(world.pipeline(START)) == (date(2026, 3, 9), date(2026, 3, 10), START)
    midnight = datetime.fromisoformat("2026-03-11T00:00:00+00:00")
    assert newest_partitions(world.pipeline(midnight)) == (date(2026, 3, 10), date(2026, 3, 10), midnight)


def test_runs_left_in_progress_are_ended_and_hold_nothing_up(world: World) -> None:
    job = defs.resolve_job_def("market_refresh")
    left = [
        world.instance.create_run_for_job(job, status=status)
        for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.SUCCESS)
    ]
    assert fail_orphans(world.instance) == 2
    statuses = [world.instance.get_run_by_id(run.run_id).status for run in left]  # type: ignore[union-attr]
    assert statuses == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    assert fail_orphans(world.instance) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1999-01-04", "1999-01-08"], "PAIID_PARTITIONS_START sets the first"),
        (["2026-03-10", "2026-03-09"], "there is no session from 2026-03-10 to 2026-03-09"),
    ],
)
def test_a_history_that_cannot_be_made_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert main(words) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
