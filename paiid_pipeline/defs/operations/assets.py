from datetime import timedelta

import dagster as dg

from paiid_pipeline.clock import SystemClock
from paiid_pipeline.defs.asset import OWNERS
from paiid_pipeline.defs.cadence import ACTIVE

KEPT = timedelta(days=3)
KEPT_FAILED = timedelta(days=30)
"""How long Dagster remembers runs: an event log has no retention of its own, and grows by about 30 KB a run."""
BATCH = 2000


@dg.asset(group_name="operations", owners=OWNERS, kinds={"dagster"}, tags={"layer": "operations"})
def retention(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Forgets Dagster runs after 3 days, failed ones after 30; the warehouse keeps all it knows.

    The newest run of each asset stays, with its report, however seldom it is made.
    """
    now = SystemClock().now()
    newest = {
        record.asset_entry.last_materialization_record.run_id
        for record in context.instance.get_asset_records()
        if record.asset_entry.last_materialization_record
    }
    deleted = 0
    for record in context.instance.get_run_records(
        dg.RunsFilter(created_before=now - KEPT), limit=BATCH, ascending=True
    ):
        run = record.dagster_run
        kept = KEPT_FAILED if run.status == dg.DagsterRunStatus.FAILURE else KEPT
        if run.status not in ACTIVE and run.run_id not in newest and record.create_timestamp < now - kept:
            context.instance.delete_run(run.run_id)
            deleted += 1
    return dg.MaterializeResult(metadata={"runs deleted": deleted})


retention_job = dg.define_asset_job("retention_job", selection=[retention], executor_def=dg.in_process_executor)
retention_schedule = dg.ScheduleDefinition(
    job=retention_job,
    cron_schedule="10 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour: forgets old runs.",
)
