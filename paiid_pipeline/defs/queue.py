"""The queue of runs, with a lane for refreshes that nothing else can fill."""

from typing import Any

import dagster as dg

BULK_TAG = "paiid/bulk"
_AHEAD = "dagster/priority"


class LanedRunCoordinator(dg.QueuedRunCoordinator):
    """`QueuedRunCoordinator` that marks every run which is no refresh: backfills, trainings, what people start.

    ``dagster.yaml`` lets fewer of them run at a time than there is room for, whatever they were started from.
    """

    def submit_run(self, context: Any) -> dg.DagsterRun:
        """Mark the run where it is no refresh, and queue it."""
        run = context.dagster_run
        if _AHEAD not in run.tags:
            self._instance.add_run_tags(run.run_id, {BULK_TAG: "true"})
        return super().submit_run(context)
