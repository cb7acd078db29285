"""Sensors: landed news, scored articles, hot keys near the end of their freshness, drift, and the universe file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import dagster as dg
import orjson

from paiid_pipeline import universe_snapshot
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.defs.cadence import active_run
from paiid_pipeline.defs.ingestion.assets import news_articles
from paiid_pipeline.defs.ml.signals import signal_drift, signal_training_job
from paiid_pipeline.defs.operations.assets import retention_job
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.schedules import MARKET, NEWS, SCORING, SENTIMENT, SIGNALS, Cadence, Refresh
from paiid_pipeline.defs.sentiment.assets import article_sentiment
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
COOLDOWN = timedelta(days=7)
"""The least time between two requests for a retraining."""


Keys = Mapping[str, str | None]
"""Of some symbols, when the freshness of their key ends (ISO); None for one that is missing."""


_REFRESH: dict[CacheKind, Cadence] = {"market": MARKET, "signals": SIGNALS, "sentiment": SIGNALS, "news": NEWS}


@dg.sensor(
    jobs=[MARKET.job, SIGNALS.job, NEWS.job],
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
        new = memory.new(job.job.name, kind, keys, now)
        if not new or job.job.name in {one.job_name for one in requests}:
            continue
        outcome = _outcome(context.instance, pipeline, job, memory.asked_at.get(job.job.name, ""))
        if isinstance(outcome, dg.RunRequest):
            mended = {kind: keys for kind, keys in expiring.items() if _REFRESH[kind].job.name == job.job.name}
            memory = memory.asked(job.job.name, mended, now)
            requests.append(outcome)
        else:
            reasons.append(f"{len(new)} keys of {kind} are missing or about to expire, but {outcome.skip_message}")
    why = None if requests else "; ".join(reasons) or "no key is about to expire"
    return dg.SensorResult(run_requests=requests, skip_reason=why, cursor=memory.dumps())


def _outcome(
    instance: dg.DagsterInstance, pipeline: PipelineResource, job: Cadence, asked: str
) -> dg.RunRequest | dg.SkipReason:
    """A run of the job, unless one has just been asked for or its schedule is about to tick (on the wall's clock)."""
    if asked > (pipeline.clock.now() - PATIENCE).isoformat():
        return dg.SkipReason(f"{job.job.name} was asked for at {asked}")
    if (wait := job.next_tick(SystemClock().now())) < NEAR:
        return dg.SkipReason(f"the schedule of {job.job.name} ticks in {wait.total_seconds():.0f} s")
    return job.request(instance, pipeline)


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


def landing(
    name: str,
    asset: dg.AssetsDefinition,
    refresh: Refresh,
    description: str,
) -> dg.SensorDefinition:
    """A sensor that requests a run of ``refresh`` once ``asset`` has been materialized.

    Its cursor is the storage id of the newest materialization that a run was requested after: what lands while none
    can be requested, as the last run is still active or the session is over, is acted on afterwards.
    """

    @dg.sensor(
        name=name,
        job=refresh.job,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def landed(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult | dg.SkipReason:
        newest = context.instance.fetch_materializations(asset.key, limit=1).records
        if not newest or newest[0].storage_id <= int(context.cursor or 0):
            return dg.SkipReason(f"{asset.key.to_user_string()} has not been made since")
        outcome = refresh.request(context.instance, pipeline)
        if isinstance(outcome, dg.SkipReason):
            return outcome
        return dg.SensorResult(run_requests=[outcome], cursor=str(newest[0].storage_id))

    return landed


news_landed = landing("news_landed", news_articles, SCORING, "Scores news as soon as it lands.")
articles_scored = landing(
    "articles_scored",
    article_sentiment,
    SENTIMENT,
    "Publishes news and sentiment as soon as articles are scored.",
)


@dg.sensor(
    job=signal_training_job,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Requests a retraining when signal_drift is beyond its limits, at most every {COOLDOWN.days} days.",
)
def signal_retraining(
    context: dg.SensorEvaluationContext, pipeline: PipelineResource
) -> dg.SensorResult | dg.SkipReason:
    event = context.instance.get_latest_materialization_event(signal_drift.key)
    made = event.asset_materialization if event else None
    if event is None or made is None:
        return dg.SkipReason("signal_drift has not been measured yet")
    if not made.metadata["retrain"].value:
        return dg.SkipReason(f"nothing beyond the limits: {made.metadata['model'].value}")
    if run_id := active_run(context.instance, signal_training_job.name):
        return dg.SkipReason(f"a training is still active: {run_id}")
    now, last = pipeline.clock.now(), orjson.loads(context.cursor or "{}")
    if last and now < (next_ := datetime.fromisoformat(last["asked_at"]) + COOLDOWN):
        return dg.SkipReason(f"a training was asked for at {last['asked_at']}: the next at {next_.isoformat()}")
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"drift-{event.run_id}")],
        cursor=orjson.dumps({"asked_at": now.isoformat(), "run": event.run_id}).decode(),
    )


@dg.sensor(
    job=retention_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails, and starts nothing, while the universe file differs from the one read at the start.",
)
def universe_file() -> dg.SkipReason:
    if words := universe_snapshot.changed():
        raise dg.Failure(words)
    return dg.SkipReason("the universe in use is that of the file")
