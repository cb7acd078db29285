from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
import orjson

from paiid_pipeline.clock import SystemClock
from paiid_pipeline.defs.cadence import RunConfig, ops, request
from paiid_pipeline.defs.ingestion.automation import market_refresh, news_refresh
from paiid_pipeline.defs.resources import Pipeline
from paiid_pipeline.defs.signals.automation import newest_decision, signals_refresh
from paiid_pipeline.settings import CacheKind

LEAD: dict[CacheKind, timedelta] = {
    "market": timedelta(seconds=4),
    "signals": timedelta(seconds=20),
    "sentiment": timedelta(seconds=60),
    "news": timedelta(seconds=120),
}
"""How long before its freshness ends a key is refreshed; about what a run takes, and no more than needed."""
PATIENCE = timedelta(seconds=45)
"""How long a refresh asked for here may take before it is asked for again."""
NEAR = timedelta(seconds=30)
"""A schedule whose next tick is this near is left to do the work: a run now would only make it skip."""


@dataclass(frozen=True)
class _Refresh:
    """The job that publishes a kind, its schedule's period, and what its run needs."""

    job_name: str
    every: timedelta
    by_segment: bool = True
    config: RunConfig | None = None
    decides: bool = False

    def next_tick(self, now: datetime) -> timedelta:
        """How long until the schedule's next tick; its cron divides the hour, so that its ticks divide the epoch."""
        return self.every - timedelta(seconds=now.timestamp() % self.every.total_seconds())


_SIGNALS = _Refresh(signals_refresh.name, timedelta(minutes=5), config=newest_decision, decides=True)
_REFRESH: dict[CacheKind, _Refresh] = {
    "market": _Refresh(
        market_refresh.name, timedelta(minutes=1), config=lambda _n, _c: ops(hot_results={"kinds": ["market"]})
    ),
    "signals": _SIGNALS,
    "sentiment": _SIGNALS,
    "news": _Refresh(news_refresh.name, timedelta(minutes=30), by_segment=False),
}


@dg.sensor(
    jobs=[market_refresh, signals_refresh, news_refresh],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Refreshes hot keys that are about to lose their freshness and that no schedule is refreshing.",
)
def keys_expiring(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.SensorResult | dg.SkipReason:
    now = pipeline.clock.now()
    asked: dict[str, str] = orjson.loads(context.cursor or "{}")
    requests: list[dg.RunRequest] = []
    reasons: list[str] = []
    for kind, left in _expiring(pipeline):
        job = _REFRESH[kind]
        if job.job_name in {one.job_name for one in requests}:
            continue
        outcome = _outcome(context.instance, pipeline, job, asked.get(job.job_name, ""))
        if isinstance(outcome, dg.RunRequest):
            asked[job.job_name] = now.isoformat()
            requests.append(outcome)
        else:
            reasons.append(f"{kind} has {left.total_seconds():.0f} s left, but {outcome.skip_message}")
    if not requests:
        return dg.SkipReason("; ".join(reasons) or "no key is about to expire")
    return dg.SensorResult(run_requests=requests, cursor=orjson.dumps(asked).decode())


def _outcome(
    instance: dg.DagsterInstance, pipeline: Pipeline, job: _Refresh, asked: str
) -> dg.RunRequest | dg.SkipReason:
    """A run of the job, unless one has just been asked for or its schedule is about to tick (on the wall's clock)."""
    if asked > (pipeline.clock.now() - PATIENCE).isoformat():
        return dg.SkipReason(f"{job.job_name} was asked for at {asked}")
    if (wait := job.next_tick(SystemClock().now())) < NEAR:
        return dg.SkipReason(f"the schedule of {job.job_name} ticks in {wait.total_seconds():.0f} s")
    return request(instance, pipeline, job.job_name, by_segment=job.by_segment, config=job.config, decides=job.decides)


def _expiring(pipeline: Pipeline) -> Iterator[tuple[CacheKind, timedelta]]:
    """Kinds with a key near the end of its freshness, or past it, and the time left."""
    now = pipeline.clock.now()
    for kind, lead in LEAD.items():
        found = pipeline.cache.get_cached_results(kind, pipeline.universe.symbols, now, allow_stale=True)
        left = [envelope.fresh_until - now for envelope in found if envelope is not None]
        if left and min(left) < lead:
            yield kind, min(left)
