"""When a refresh is requested: within the trading session, and never while its previous run is active."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from paiid_pipeline.defs.missed_sessions import SINCE_TAG, inputs_lacking, looked_at, missed_since
from paiid_pipeline.defs.partitions import run_tags
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.trading_calendar import TradingCalendar

CADENCE_TAG = "paiid/cadence"
AFTER_CLOSE = timedelta(minutes=3)
"""How long after the close the cadences still run, so that the session's last bars and decisions are made."""
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

Outcome = dg.RunRequest | dg.SkipReason
DECIDES = "signals_refresh"
"""The job that makes the decisions out of what the others bring."""

RunConfig = Callable[[datetime, TradingCalendar], Mapping[str, Any]]


def active_run(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """The id of a run of the job that has not ended."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job_name, statuses=ACTIVE), limit=1)
    return runs[0].run_id if runs else None


def session_day(pipeline: PipelineResource) -> date | None:
    """The date of the session in progress, or just over as the feed has it; None outside one."""
    now = pipeline.clock.now()
    session = pipeline.calendar.latest_session(now)
    return session.day if now <= session.close + pipeline.settings.feed_delay + AFTER_CLOSE else None


def closed(pipeline: PipelineResource) -> str:
    """Why nothing is refreshed now."""
    now, calendar = pipeline.clock.now(), pipeline.calendar
    session = calendar.latest_session(now)
    return f"{calendar.name} is closed at {now:%Y-%m-%d %H:%M}Z: its last session ended {session.close:%Y-%m-%d %H:%M}Z"


def request(
    instance: dg.DagsterInstance,
    pipeline: PipelineResource,
    job_name: str,
    *,
    by_segment: bool,
    config: RunConfig | None = None,
    decides: bool = False,
) -> Outcome:
    """A run of the job for the current session and those missed before it, or the reason why not."""
    span = _sessions(instance, pipeline, decides=decides)
    if isinstance(span, dg.SkipReason):
        return span
    if run_id := active_run(instance, job_name):
        return dg.SkipReason(f"the previous run of {job_name} is still active: {run_id}")
    first, last, catches_up = span
    tags = run_tags(first, last, by_segment=by_segment)
    return dg.RunRequest(
        job_name=job_name,
        tags={**tags, SINCE_TAG: first.isoformat()} if catches_up else tags,
        run_config=dict(config(_ended(pipeline), pipeline.calendar)) if config else {},
    )


def _sessions(
    instance: dg.DagsterInstance, pipeline: PipelineResource, *, decides: bool
) -> tuple[date, date, bool] | dg.SkipReason:
    """The first and the last session that a refresh makes, and whether that is more than the one in progress.

    With ``decides``, missed sessions wait until their inputs are there, and are made once.
    """
    current, since = session_day(pipeline), missed_since(pipeline)
    decided = pipeline.calendar.session_of(pipeline.calendar.latest_decision(_ended(pipeline), "intraday"))
    newest = decided.day if decides and decided else pipeline.calendar.latest_session(pipeline.clock.now()).day
    missed = since is not None and (current is None or since < min(current, newest))
    why = _not_yet(instance, pipeline, since, decides=decides) if missed and since else None
    if missed and since and why is None:
        return since, newest, True
    if current is None:
        return dg.SkipReason(closed(pipeline) + (f"; {why}" if why else ""))
    return (newest if decides else current), (newest if decides else current), False


def _not_yet(instance: dg.DagsterInstance, pipeline: PipelineResource, since: date, *, decides: bool) -> str | None:
    """Why what was missed is not made by this job now; None where it is."""
    if looked_at(instance, DECIDES, since):
        return f"what is missing since {since} was looked at, and is withheld"
    lacking = inputs_lacking(instance, pipeline) if decides else None
    return f"what was missed since {since} waits: {lacking}" if lacking else None


def _ended(pipeline: PipelineResource) -> datetime:
    """Until when bars have ended for a feed that may be late."""
    return pipeline.clock.now() - pipeline.settings.feed_delay


def op_config(**configs: Mapping[str, Any]) -> dict[str, Any]:
    """Run config for some assets by name."""
    return {"ops": {name: {"config": dict(config)} for name, config in configs.items()}}
