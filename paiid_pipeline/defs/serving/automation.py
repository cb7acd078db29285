from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import dagster as dg
import orjson

from paiid_pipeline.clock import SystemClock
from paiid_pipeline.defs.cadence import RunConfig, request
from paiid_pipeline.defs.ingestion.automation import market_refresh, news_refresh, prices_and_signals
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.signals.automation import newest_decision, signals_refresh
from paiid_pipeline.settings import CacheKind
from paiid_pipeline.sources import provided

LEAD: dict[CacheKind, timedelta] = {
    "market": timedelta(seconds=4),
    "signals": timedelta(seconds=20),
    "sentiment": timedelta(seconds=60),
    "news": timedelta(seconds=120),
}
"""How long before its freshness ends a key is refreshed; about what a run takes, and no more than needed."""
PATIENCE = timedelta(seconds=45)
"""How long a refresh asked for here may take before it is asked for again."""
AGAIN = timedelta(minutes=5)
"""When a key that a refresh has not mended is asked for again."""
NEAR = timedelta(seconds=30)
"""A schedule whose next tick is this near is left to do the work: a run now would only make it skip."""


Keys = Mapping[str, str | None]
"""Of some symbols, when the freshness of their key ends (ISO); None for one that is missing."""


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
    "market": _Refresh(market_refresh.name, timedelta(minutes=1), config=prices_and_signals),
    "signals": _SIGNALS,
    "sentiment": _SIGNALS,
    "news": _Refresh(news_refresh.name, timedelta(minutes=30), by_segment=False),
}


@dg.sensor(
    jobs=[market_refresh, signals_refresh, news_refresh],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Refreshes hot keys that are missing or soon lose their freshness and that no schedule is refreshing.",
)
def keys_expiring(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult | dg.SkipReason:
    now, memory = pipeline.clock.now(), _Memory.loads(context.cursor)
    expiring = {kind: _expiring(pipeline, kind, lead) for kind, lead in LEAD.items()}
    memory = memory.among(expiring)
    requests: list[dg.RunRequest] = []
    reasons: list[str] = []
    for kind, keys in expiring.items():
        job = _REFRESH[kind]
        new = memory.new(job.job_name, kind, keys, now)
        if not new or job.job_name in {one.job_name for one in requests}:
            continue
        outcome = _outcome(context.instance, pipeline, job, memory.asked_at.get(job.job_name, ""))
        if isinstance(outcome, dg.RunRequest):
            mended = {kind: keys for kind, keys in expiring.items() if _REFRESH[kind].job_name == job.job_name}
            memory = memory.asked(job.job_name, mended, now)
            requests.append(outcome)
        else:
            reasons.append(f"{len(new)} keys of {kind} are missing or about to expire, but {outcome.skip_message}")
    why = None if requests else "; ".join(reasons) or "no key is about to expire"
    return dg.SensorResult(run_requests=requests, skip_reason=why, cursor=memory.dumps())


def _outcome(
    instance: dg.DagsterInstance, pipeline: PipelineResource, job: _Refresh, asked: str
) -> dg.RunRequest | dg.SkipReason:
    """A run of the job, unless one has just been asked for or its schedule is about to tick (on the wall's clock)."""
    if asked > (pipeline.clock.now() - PATIENCE).isoformat():
        return dg.SkipReason(f"{job.job_name} was asked for at {asked}")
    if (wait := job.next_tick(SystemClock().now())) < NEAR:
        return dg.SkipReason(f"the schedule of {job.job_name} ticks in {wait.total_seconds():.0f} s")
    return request(instance, pipeline, job.job_name, by_segment=job.by_segment, config=job.config, decides=job.decides)


def _expiring(pipeline: PipelineResource, kind: CacheKind, lead: timedelta) -> Keys:
    """The keys of a kind that are missing, near the end of their freshness, or past it; none that the source lacks."""
    if kind == "news" and "news" not in provided(pipeline.settings):
        return {}
    symbols, now = pipeline.universe.symbols, pipeline.clock.now()
    found = pipeline.cache.get_cached_results(kind, symbols, now, allow_stale=True)
    ends = {symbol: one.fresh_until if one else None for symbol, one in zip(symbols, found, strict=True)}
    return {symbol: end.isoformat() if end else None for symbol, end in ends.items() if end is None or end - now < lead}


@dataclass(frozen=True)
class _Memory:
    """When each job was asked for, and for which keys: the sensor's cursor.

    A key that a refresh has not mended, since its symbol is withheld or the source silent, is not asked for again at
    once: it is new only when it has been fresh in between, when its freshness ends anew, or after ``AGAIN``.
    """

    asked_at: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[CacheKind, Keys] = field(default_factory=dict)

    @classmethod
    def loads(cls, cursor: str | None) -> "_Memory":
        document = orjson.loads(cursor or "{}")
        return cls(document.get("asked_at", {}), document.get("keys", {}))

    def dumps(self) -> str | None:
        return orjson.dumps({"asked_at": self.asked_at, "keys": self.keys}).decode() if self.asked_at else None

    def among(self, expiring: Mapping[CacheKind, Keys]) -> "_Memory":
        """Without the keys that have become fresh."""
        keys = {kind: {s: end for s, end in kept.items() if s in expiring[kind]} for kind, kept in self.keys.items()}
        return replace(self, keys=keys)

    def new(self, job: str, kind: CacheKind, keys: Keys, now: datetime) -> Keys:
        """Those of ``keys`` for which the job is to be asked for."""
        if self.asked_at.get(job, "") <= (now - AGAIN).isoformat():
            return keys
        before = self.keys.get(kind, {})
        return {symbol: end for symbol, end in keys.items() if symbol not in before or before[symbol] != end}

    def asked(self, job: str, keys: Mapping[CacheKind, Keys], now: datetime) -> "_Memory":
        """With a request for a job that publishes ``keys``."""
        return _Memory({**self.asked_at, job: now.isoformat()}, {**self.keys, **keys})
