from enum import StrEnum
from typing import Any

import dagster as dg
from pydantic import Field

from paiid_pipeline.cache import cache_key
from paiid_pipeline.defs.factories import partitioned
from paiid_pipeline.defs.ingestion.assets import market_bars, news_articles
from paiid_pipeline.defs.partitions import DATE_BY_SEGMENT, selected_slice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.sentiment.assets import symbol_sentiment
from paiid_pipeline.defs.signals.assets import trading_signals
from paiid_pipeline.serving.hot_results import KINDS, envelopes

# Dagster refuses a value outside an enum before a run starts, and quotes the enum's name: so the name says what fits.
Kind = StrEnum(f"one of {', '.join(KINDS)}", [(kind, kind) for kind in KINDS])  # type: ignore[misc]


class PublishConfig(dg.Config):
    """Which kinds of hot results to publish."""

    kinds: list[Kind] = Field(default=list[Any](KINDS), min_length=1, description="Which hot results; by default all.")


@partitioned(
    "serving",
    DATE_BY_SEGMENT,
    market_bars,
    news_articles,
    symbol_sentiment,
    trading_signals,
    kinds={"redis"},
    layer="serving",
    cadence="market",
)
def hot_results(
    context: dg.AssetExecutionContext, config: PublishConfig, pipeline: PipelineResource
) -> dg.MaterializeResult[None]:
    """The newest price, signals, sentiment and articles of each symbol, as bytes in Redis.

    Keys are `{market|signals|sentiment|news}:v1:{SYMBOL}`; each value carries the end of its freshness: its TTL, and no
    longer than its source data is valid (a signal until the next one is due and made, all else from the time of the
    last request to the source). Always publishes the newest data, whichever partition is materialized, so that a
    backfill of the past cannot overwrite the present.
    """
    symbols, now = selected_slice(context).symbols, pipeline.clock.now()
    counts: dict[str, int] = {}
    for kind in (kind for kind in KINDS if kind in config.kinds):
        ready = envelopes(kind, symbols, pipeline.warehouse, now, pipeline.settings.feed_delay)
        counts[f"published {kind}"] = pipeline.cache.cache_results(ready)
        counts[f"stale {kind}"] = sum(envelope.staleness(now) is not None for envelope in ready)
    published = sum(count for name, count in counts.items() if name.startswith("published"))
    example = cache_key("market", symbols[0])
    return dg.MaterializeResult(
        metadata={"dagster/row_count": published, **counts, "symbols": len(symbols), "a key": example}
    )
