"""The whole graph once, in this process: ``python -m paiid_pipeline.first_pass``.

Makes the partitions of the newest daily and the newest intraday decision, prints a line an asset, and
exits 0 only if every run succeeded. With two dates, the partitions from the one to the other instead.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import dagster as dg

from paiid_pipeline.defs.cadence import ACTIVE, op_config
from paiid_pipeline.defs.jobs import MARKET_JOB, NEWS_JOB
from paiid_pipeline.defs.missed_sessions import missed_since
from paiid_pipeline.defs.partitions import DATE, run_tags
from paiid_pipeline.defs.resources import PipelineResource

DECIDED = ("symbol_sentiment", "technical_indicators", "trading_signals")


def newest_partitions(pipeline: PipelineResource) -> tuple[date, date, datetime]:
    """The dates of the newest daily and the newest intraday decision, and the moment of the latter.

    The first is earlier where sessions were missed since something was decided last.
    """
    calendar, now = pipeline.calendar, pipeline.clock.now() - pipeline.settings.feed_delay
    newest = {horizon: calendar.latest_decision(now, horizon) for horizon in ("daily", "intraday")}
    sessions = {horizon: calendar.session_of(moment) for horizon, moment in newest.items()}
    days = [session.day for session in sessions.values() if session is not None]
    return min([*days, *filter(None, [missed_since(pipeline)])]), max(days), newest["intraday"]


def fail_orphans(instance: dg.DagsterInstance) -> int:
    """End the runs that a killed process left in progress: they would hold up their cadence until they time out."""
    orphans = instance.get_runs(dg.RunsFilter(statuses=ACTIVE))
    for run in orphans:
        instance.report_run_failed(run, "its process was gone when paiid started")
    return len(orphans)


def run_once(*, alone: bool = False) -> bool:
    """Make the partitions of the newest decisions in the instance in DAGSTER_HOME; true if both jobs succeeded.

    ``alone``: no other process uses the instance, so that runs in progress are orphans.
    """
    first, last, newest = newest_partitions(PipelineResource())
    through = {"through": newest.isoformat()}
    with dg.DagsterInstance.get() as instance:
        if alone and (count := fail_orphans(instance)):
            sys.stdout.write(f"ended {count} runs that an earlier process had left in progress\n")
        return _run(instance, first, last, op_config(**dict.fromkeys(DECIDED, through)))


def run_history(first: date, last: date) -> bool:
    """Make the partitions of some dates, news before what is decided on them; true if both jobs succeeded.

    Raises ValueError where there is no session from ``first`` to ``last``, or no partition of one.
    """
    pipeline = PipelineResource()
    sessions = [session.day for session in pipeline.calendar.sessions(first, last)]
    if not sessions:
        raise ValueError(f"there is no session from {first} to {last}")
    days = DATE.get_partition_keys(current_time=pipeline.clock.now())
    if sessions[0].isoformat() < days[0] or sessions[-1].isoformat() > days[-1]:
        raise ValueError(f"partitions are from {days[0]} to {days[-1]}: PAIID_PARTITIONS_START sets the first")
    with dg.DagsterInstance.get() as instance:
        return _run(instance, sessions[0], sessions[-1], {})


def _run(instance: dg.DagsterInstance, first: date, last: date, config: Mapping[str, Any]) -> bool:
    """News, and then the decisions, of some partitions."""
    from paiid_pipeline.definitions import defs

    span = f"{first}" if first == last else f"{first} to {last}"
    for name, by_segment, given in ((NEWS_JOB, False, {}), (MARKET_JOB, True, config)):
        sys.stdout.write(f"{name}, partitions {span}\n")
        result = defs.resolve_job_def(name).execute_in_process(
            instance=instance,
            tags=run_tags(first, last, by_segment=by_segment),
            run_config={**given, "loggers": {"progress": {}}},
            raise_on_error=False,
        )
        if not result.success:
            sys.stdout.write(f"{name} failed: run {result.run_id}\n")
            return False
    return True


def main(words: Sequence[str]) -> int:
    """``[--alone]``, or the first and the last date of a history. Returns the exit code."""
    days = [date.fromisoformat(word) for word in words if word != "--alone"]
    try:
        done = run_history(days[0], days[-1]) if days else run_once(alone="--alone" in words)
    except ValueError as error:
        sys.stderr.write(f"paiid: {error}\n")
        return 2
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
