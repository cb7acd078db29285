from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import get_args

import dagster as dg

from paiid_pipeline.defs.checking import Evaluations, evaluated
from paiid_pipeline.defs.partitions import DATE_BY_SEGMENT, UNIVERSE, dimensions, partition_keys
from paiid_pipeline.defs.resources import Pipeline
from paiid_pipeline.defs.serving.assets import hot_results
from paiid_pipeline.settings import CacheKind


@dg.asset_check(asset=hot_results, name="readable_keys", blocking=True, partitions_def=DATE_BY_SEGMENT)  # type: ignore[arg-type]
def hot_results_are_readable(context: dg.AssetCheckExecutionContext, pipeline: Pipeline) -> Evaluations:
    """Every key of the segment reads back as an envelope of its own symbol, dated no later than now."""
    now = pipeline.clock.now()
    segments = {key: dimensions(key)[1] or "" for key in partition_keys(context)}
    found = {segment: _readable(pipeline, UNIVERSE.members([segment]), now) for segment in set(segments.values())}
    results = {key: found[segment] for key, segment in segments.items()}
    yield from evaluated(context, hot_results.key, "readable_keys", results)


def _readable(pipeline: Pipeline, symbols: Sequence[str], now: datetime) -> dg.AssetCheckResult:
    found: dict[str, int] = {}
    wrong: list[str] = []
    for kind in get_args(CacheKind):
        envelopes = pipeline.cache.get_cached_results(kind, symbols, now, allow_stale=True)
        found[kind] = sum(envelope is not None for envelope in envelopes)
        wrong += [
            f"{kind} of {symbol}"
            for symbol, envelope in zip(symbols, envelopes, strict=True)
            if envelope is not None and (envelope.symbol != symbol or envelope.as_of > now + timedelta(seconds=1))
        ]
    return dg.AssetCheckResult(
        passed=not wrong, metadata=dict(found), description="; ".join(wrong) or "all keys read back"
    )
