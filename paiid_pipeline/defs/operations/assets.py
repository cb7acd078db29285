"""Housekeeping."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

import dagster as dg

from paiid_pipeline.clock import SystemClock
from paiid_pipeline.defs.cadence import ACTIVE
from paiid_pipeline.defs.factories import OWNERS, background_job, scheduled
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.storage import delete_check_results

KEPT = timedelta(days=3)
KEPT_FAILED = timedelta(days=30)
"""How long Dagster keeps runs: an event log has no retention of its own, and grows by about 30 KB a run."""
BATCH = 1000
"""Runs examined at most each time, at about 20 ms each; an hour adds about a hundred."""
PAGE = 500

KEPT_TAG = "paiid/kept"
"""On an old run that stays: the newest of a partition of an asset when it was looked at."""
_ENDED = [status for status in dg.DagsterRunStatus if status not in ACTIVE]
_FAILED = [dg.DagsterRunStatus.FAILURE]


@dg.asset(group_name="operations", owners=OWNERS, kinds={"dagster"}, tags={"layer": "operations"})
def retention(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Deletes Dagster runs after 3 days, failed ones after 30; the warehouse is not touched.

    The newest run of each partition of each asset is kept, so that no materialized partition is shown as
    missing. Check results are deleted after 3 days too, except the newest of each partition.
    """
    instance, now = context.instance, SystemClock().now()
    newest = _newest_materializations(instance)
    deleted = kept = 0
    old = list(islice(_old_runs(instance, now), BATCH))
    for run in old:
        if _made(instance, run.run_id, newest):
            instance.add_run_tags(run.run_id, {KEPT_TAG: "the newest of a partition"})
            kept += 1
        else:
            instance.delete_run(run.run_id)
            deleted += 1
    return dg.MaterializeResult(
        metadata={
            "runs deleted": deleted,
            "runs kept as the newest of a partition": kept,
            "perhaps more to delete": len(old) == BATCH,
            "results of checks deleted": delete_check_results(instance, now - KEPT),
        }
    )


def _old_runs(instance: dg.DagsterInstance, now: datetime) -> Iterator[dg.DagsterRun]:
    """Ended runs past their retention, oldest first; runs tagged as kept are skipped."""
    ended = [status for status in _ENDED if status not in _FAILED]
    for statuses, age in ((ended, KEPT), (_FAILED, KEPT_FAILED)):
        wanted = dg.RunsFilter(statuses=statuses, created_before=now - age)
        cursor = None
        while records := instance.get_run_records(wanted, limit=PAGE, ascending=True, cursor=cursor):
            cursor = records[-1].dagster_run.run_id
            yield from (record.dagster_run for record in records if KEPT_TAG not in record.dagster_run.tags)


def _newest_materializations(instance: dg.DagsterInstance) -> set[int]:
    """The ids in the event log of the newest materialization of each asset, and of each partition of one."""
    found: set[int] = set()
    for record in instance.get_asset_records():
        last = record.asset_entry.last_materialization_record
        if last is not None:
            found.add(last.storage_id)
        found.update(
            instance.get_latest_storage_id_by_partition(
                record.asset_entry.asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION
            ).values()
        )
    return found


def _made(instance: dg.DagsterInstance, run_id: str, materializations: set[int]) -> bool:
    """Whether one of some materializations is this run's."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    return any(record.storage_id in materializations for record in records)


@dg.asset(group_name="operations", owners=OWNERS, kinds={"postgres"}, tags={"layer": "operations"})
def months_ahead(pipeline: PipelineResource) -> dg.MaterializeResult[None]:
    """The tables' partitions of this month and the next, created before the first row that needs them."""
    now = pipeline.clock.now()
    pipeline.warehouse.ensure_partitions(now)
    return dg.MaterializeResult(metadata={"made for": f"the month of {now:%Y-%m-%d} and the next"})


_HOURLY = "Every hour: deletes old runs, and creates next month's partitions of the tables."
retention_job = background_job("retention_job", retention, months_ahead, description=_HOURLY)
retention_schedule = scheduled(retention_job, "10 * * * *", _HOURLY)
