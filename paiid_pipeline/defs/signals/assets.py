import dagster as dg
import polars as pl

from paiid_pipeline.contracts import SIGNALS
from paiid_pipeline.decisions import reach
from paiid_pipeline.defs.asset import partitioned
from paiid_pipeline.defs.deciding import Made, Refresh, to_make
from paiid_pipeline.defs.partitions import DATE_BY_SEGMENT
from paiid_pipeline.defs.resources import Pipeline
from paiid_pipeline.defs.sentiment.assets import symbol_sentiment
from paiid_pipeline.defs.technicals.assets import technical_indicators
from paiid_pipeline.engines import MlEngine, rule_engine
from paiid_pipeline.signals.risk import Book, reach_back


@partitioned(
    "signals",
    DATE_BY_SEGMENT,
    technical_indicators,
    symbol_sentiment,
    kinds={"postgres", "polars"},
    layer="decision",
    cadence="signals",
)
def trading_signals(
    context: dg.AssetExecutionContext, config: Refresh, pipeline: Pipeline
) -> dg.MaterializeResult[None]:
    """STRONG_BUY, BUY, HOLD, SELL or STRONG_SELL per symbol and decision time, with reasons, stops and size.

    The rule engine weighs the indicators and the sentiment of the same decision time, the risk manager
    says how much to stake, and the validator looks at the outcome. Beside it, where a signal model is
    installed, the ML engine does the same on what that model says. Append-only: a signal is never changed,
    and the same inputs never make a second one. What cannot be decided is withheld and counted, never
    published as HOLD.
    """
    warehouse, generator, ml = pipeline.warehouse, rule_engine(pipeline.settings), MlEngine(pipeline.settings)
    limits, segments = generator.rulebook.limits, pipeline.universe.segments
    made = Made("signals", SIGNALS)
    for decisions in to_make(context, config, pipeline, "signals"):
        span, horizon = reach(decisions), decisions["horizon"][0]
        due = decisions.select("symbol", "horizon", "as_of")
        together = [symbol for group in segments.values() if set(group) & set(span.symbols) for symbol in group]
        indicators = warehouse.indicators(together, horizon, span.first, span.last)
        sentiment = warehouse.symbol_sentiment(together, horizon, span.first, span.last)
        after = span.first - reach_back(limits, horizon)
        actions = warehouse.corporate_action_versions(together, span.known_by)
        halts = warehouse.quarantined_bars(together, after, span.last)
        said = []
        for engine in (generator, ml):
            earlier = warehouse.stakes(together, horizon, engine.engine, after, span.last)
            said.append(engine.decide(indicators, sentiment, Book(earlier, actions, halts)))
        rows, withheld = (pl.concat(frames).join(due, on=due.columns, how="semi") for frames in zip(*said, strict=True))
        made.add(rows, warehouse.write_signals(rows, context.run.run_id), withheld.unique(due.columns))
    return dg.MaterializeResult(
        metadata={
            **made.report(context, pipeline),
            "signals": made.counts("signal"),
            "staked on": made.count(pl.col("position_fraction") > 0),
            "engines": made.counts("engine"),
            "rules": generator.rulebook.version,
            "signal models": ", ".join(ml.versions) or ml.why_none or "none had been trained by these decisions",
        }
    )
