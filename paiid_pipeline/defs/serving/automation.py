from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import orjson

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

_REFRESH: dict[CacheKind, tuple[str, bool, RunConfig | None, bool]] = {
    "market": (market_refresh.name, True, lambda _n, _c: ops(hot_results={"kinds": ["market"]}), False),
    "signals": (signals_refresh.name, True, newest_decision, True),
    "sentiment": (signals_refresh.name, True, newest_decision, True),
    "news": (news_refresh.name, False, None, False),
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
        job_name, by_segment, config, decides = _REFRESH[kind]
        if job_name in {one.job_name for one in requests} or asked.get(job_name, "") > (now - PATIENCE).isoformat():
            continue
        outcome = request(context.instance, pipeline, job_name, by_segment=by_segment, config=config, decides=decides)
        if isinstance(outcome, dg.RunRequest):
            asked[job_name] = now.isoformat()
            requests.append(outcome)
        else:
            reasons.append(f"{kind} has {left.total_seconds():.0f} s left, but {outcome.skip_message}")
    if not requests:
        return dg.SkipReason("; ".join(reasons) or "no key is about to expire")
    return dg.SensorResult(run_requests=requests, cursor=orjson.dumps(asked).decode())


def _expiring(pipeline: Pipeline) -> Iterator[tuple[CacheKind, timedelta]]:
    """Kinds with a key near the end of its freshness, or past it, and the time left."""
    now = pipeline.clock.now()
    for kind, lead in LEAD.items():
        found = pipeline.cache.get_cached_results(kind, pipeline.universe.symbols, now, allow_stale=True)
        left = [envelope.fresh_until - now for envelope in found if envelope is not None]
        if left and min(left) < lead:
            yield kind, min(left)
