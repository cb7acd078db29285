from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import get_args

import dagster as dg

from paiid_pipeline.cache import Envelope
from paiid_pipeline.defs.cadence import session_day
from paiid_pipeline.defs.partitions import DATE_BY_SEGMENT, UNIVERSE, dimensions, partition_keys
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.row_checks import Evaluations, evaluated
from paiid_pipeline.defs.serving.assets import hot_results
from paiid_pipeline.settings import TTL, CacheKind

LATE = 4
"""The age of a key's source data, in TTLs, beyond which the check warns."""


@dg.asset_check(asset=hot_results, name="readable_keys", blocking=True, partitions_def=DATE_BY_SEGMENT)  # type: ignore[arg-type]
def hot_results_are_readable(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> Evaluations:
    """Every key reads back as an envelope of its own symbol, dated no later than now; a warning in session where its
    source data is older than four TTLs: the source, or a step after it, has stopped."""
    now = pipeline.clock.now()
    segments = {key: dimensions(key)[1] or "" for key in partition_keys(context)}
    found = {segment: _readable(pipeline, UNIVERSE.members([segment]), now) for segment in set(segments.values())}
    results = {key: found[segment] for key, segment in segments.items()}
    yield from evaluated(context, hot_results.key, "readable_keys", results)


def _readable(pipeline: PipelineResource, symbols: Sequence[str], now: datetime) -> dg.AssetCheckResult:
    found: dict[str, int] = {}
    wrong: list[str] = []
    late: list[str] = []
    for kind in get_args(CacheKind):
        envelopes = pipeline.cache.get_cached_results(kind, symbols, now, allow_stale=True)
        there = [(symbol, envelope) for symbol, envelope in zip(symbols, envelopes, strict=True) if envelope]
        found[kind] = len(there)
        wrong += [
            f"{kind} of {symbol}"
            for symbol, envelope in there
            if envelope.symbol != symbol or envelope.as_of > now + timedelta(seconds=1)
        ]
        if session_day(pipeline) is not None:
            late += _late(kind, [envelope for _, envelope in there], now)
    description = "; ".join(wrong or late) or "all keys read back"
    severity = dg.AssetCheckSeverity.ERROR if wrong else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=not wrong and not late,
        severity=severity,
        metadata={**found, "late": "; ".join(late) or "none"},
        description=description,
    )


def _late(kind: CacheKind, envelopes: Sequence[Envelope], now: datetime) -> list[str]:
    """A message with the number of keys of a kind on source data older than four TTLs; empty if there are none."""
    ends = [envelope.fresh_until for envelope in envelopes if now - envelope.fresh_until > (LATE - 1) * TTL[kind]]
    return [f"{len(ends)} keys of {kind} are stale, the oldest since {min(ends):%Y-%m-%d %H:%M:%S}Z"] if ends else []
