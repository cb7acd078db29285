"""The queue of the configured instance: whatever is backfilled or started by hand, a refresh is next."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from paiid_pipeline.defs.queue import BULK_TAG
from paiid_pipeline_tests.defs.world import defs

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def instance(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance that `paiid up` has."""
    shutil.copyfile(PROJECT / "dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("PAIID_DAGSTER_POSTGRES_URL", postgres_url)
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def submitted(instance: dg.DagsterInstance, job: str, **tags: str) -> str:
    """The id of a run of a job that was put into the queue, with the job's tags and some of its own."""
    own = {name.replace("_", "/", 1): value for name, value in tags.items()}
    server = GrpcServerCodeLocationOrigin(host="localhost", port=1, location_name="here")
    run = create_run_for_test(
        instance,
        job,
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags={**defs.resolve_job_def(job).tags, **own},
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(server, "all"), job),
        job_code_origin=JobPythonOrigin(job, RepositoryPythonOrigin("python", ModuleCodePointer("here", "all"))),
    )
    instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=MagicMock()))
    return str(run.run_id)


def next_runs(instance: dg.DagsterInstance) -> list[str]:
    """The runs that the daemon would launch now, in order."""
    config = instance.get_concurrency_config()
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    return [run.run_id for run in daemon._get_runs_to_dequeue(instance, config, fixed_iteration_time=None)]


@pytest.mark.parametrize(
    ("job", "tags", "most"),
    [
        ("all_decisions", {"dagster_backfill": "abc"}, 1),
        ("all_decisions", {"dagster_asset_partition_range_start": "x"}, 2),
        ("signal_training_job", {}, 1),  # one at a time, as a cadence of its own
        ("backtest_job", {"dagster_partition": "2026-01-01"}, 2),
    ],
)
def test_a_refresh_goes_before_whatever_fills_the_queue(
    instance: dg.DagsterInstance, job: str, tags: dict[str, str], most: int
) -> None:
    bulk = [submitted(instance, job, **tags) for _ in range(6)]
    refresh, signals = submitted(instance, "market_refresh"), submitted(instance, "signals_refresh")
    found = next_runs(instance)
    assert set(found[:2]) == {refresh, signals}
    assert found[2:] == bulk[:most]
    assert all(BULK_TAG in (instance.get_run_by_id(run_id) or MagicMock()).tags for run_id in bulk)


def test_where_as_many_run_as_may_a_refresh_still_finds_room(instance: dg.DagsterInstance) -> None:
    for number in range(6):
        submitted(instance, "all_decisions", **({"dagster_backfill": "abc"} if number % 2 else {}))
    for run_id in next_runs(instance):
        instance.run_storage.handle_run_event(
            run_id, dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "all_decisions")
        )
    assert next_runs(instance) == []
    refreshes = [submitted(instance, job) for job in ("market_refresh", "signals_refresh")]
    assert set(next_runs(instance)) == set(refreshes)


def test_a_hung_worker_is_given_up_within_the_ttl_of_what_it_publishes() -> None:
    longest = {
        "market_refresh": 60,
        "signals_refresh": 300,
        "sentiment_refresh": 300,
        "article_scoring": 900,
        "news_refresh": 1800,
    }
    for job, seconds in longest.items():
        assert int(defs.resolve_job_def(job).tags["dagster/max_runtime"]) <= seconds, job
