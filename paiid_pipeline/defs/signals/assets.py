import dagster as dg

from paiid_pipeline.contracts import SIGNALS
from paiid_pipeline.decisions import reach
from paiid_pipeline.defs.asset import OWNERS, SINGLE_RUN, freshness
from paiid_pipeline.defs.deciding import Made, Refresh, to_make
from paiid_pipeline.defs.partitions import DATE_BY_SEGMENT
from paiid_pipeline.defs.resources import Pipeline
from paiid_pipeline.defs.sentiment.assets import symbol_sentiment
from paiid_pipeline.defs.technicals.assets import technical_indicators
from paiid_pipeline.settings import TTL
from paiid_pipeline.signals.generator import SignalGenerator


@dg.asset(
    group_name="signals",
    partitions_def=DATE_BY_SEGMENT,
    backfill_policy=SINGLE_RUN,
    deps=[technical_indicators, symbol_sentiment],
    owners=OWNERS,
    kinds={"postgres", "polars"},
    tags={"layer": "decision", "cadence": "signals"},
    freshness_policy=freshness(TTL["signals"]),
)
def trading_signals(
    context: dg.AssetExecutionContext, config: Refresh, pipeline: Pipeline
) -> dg.MaterializeResult[None]:
    """STRONG_BUY, BUY, HOLD, SELL or STRONG_SELL per symbol and decision time, with reasons.

    The rule engine weighs the indicators and the sentiment of the same decision time. Append-only: a
    signal is never changed, and the same inputs never make a second one. What cannot be decided is
    withheld and counted, never published as HOLD.
    """
    warehouse, generator = pipeline.warehouse, SignalGenerator()
    made = Made(SIGNALS)
    for decisions in to_make(context, config, pipeline, "signals"):
        span, horizon = reach(decisions), decisions["horizon"][0]
        keys = decisions.select("symbol", "horizon", "as_of")
        indicators = warehouse.indicators(span.symbols, horizon, span.first, span.last).join(
            keys, on=keys.columns, how="semi"
        )
        sentiment = warehouse.symbol_sentiment(span.symbols, horizon, span.first, span.last)
        rows, withheld = generator.decide(indicators, sentiment)
        made.add(rows, warehouse.write_signals(rows, context.run.run_id), withheld)
    return dg.MaterializeResult(metadata={**made.report(context, pipeline), "signals": made.counts("signal")})
