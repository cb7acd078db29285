from collections.abc import Sequence

import dagster as dg
import polars as pl

from paiid_pipeline.decisions import read_range, with_refusals
from paiid_pipeline.defs.decision_assets import (
    KEY,
    DecisionReport,
    RefreshConfig,
    no_news_source,
    pending_decisions,
    without_news,
)
from paiid_pipeline.defs.factories import partitioned
from paiid_pipeline.defs.partitions import DATE_BY_SEGMENT
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.sentiment.assets import symbol_sentiment
from paiid_pipeline.defs.technicals.assets import read_indicators, technical_indicators
from paiid_pipeline.schemas import SIGNALS, WITHHELD, empty
from paiid_pipeline.signals.risk import RiskInputs, risk_lookback


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
    context: dg.AssetExecutionContext, config: RefreshConfig, pipeline: PipelineResource
) -> dg.MaterializeResult[None]:
    """STRONG_BUY, BUY, HOLD, SELL or STRONG_SELL per symbol and decision time, with reasons, stops and size.

    The rule engine weighs the indicators and the sentiment of the same decision time, the risk manager
    sets the position size, and the validator checks the outcome. Beside it, where a signal model is
    installed, the ML engine does the same on the predictions of that model. Append-only: a signal is never changed,
    and the same inputs never make a second one. A decision on unsound inputs, without indicators, or without
    sentiment as its news was never requested, is withheld and counted, never published as HOLD.
    """
    warehouse, generator, ml = pipeline.warehouse, pipeline.rule_engine(), pipeline.ml_engine()
    limits = generator.rulebook.limits
    made, ml_withheld = DecisionReport("signals", SIGNALS), 0
    for decisions in pending_decisions(context, config, pipeline, "signals"):
        span, horizon = read_range(decisions), decisions["horizon"][0]
        due = decisions.select(KEY)
        peers = pipeline.universe.peers(span.symbols)
        sentiment = warehouse.symbol_sentiment.read(peers, horizon, span.first, span.last)
        known = warehouse.indicators.read(peers, horizon, span.first, span.last)
        indicators = known.join(sentiment, on=KEY, how="semi", maintain_order="left")
        after = span.first - risk_lookback(limits, horizon)
        actions = warehouse.corporate_actions.versions(peers, span.known_by)
        quarantined = warehouse.quarantine.bars(peers, after, span.last)
        outcomes = []
        for engine in (generator, ml):
            earlier = warehouse.signals.prior_positions(peers, horizon, engine.engine, after, span.last)
            outcomes.append(engine.decide(indicators, sentiment, RiskInputs(earlier, actions, quarantined)))
        (by_rules, withheld_by_rules), (by_model, withheld_by_model) = outcomes
        rows = pl.concat([by_rules, by_model]).join(due, on=KEY, how="semi")
        without_indicators = decisions.join(known, on=KEY, how="anti", maintain_order="left")
        without_sentiment = due.join(sentiment, on=KEY, how="anti", maintain_order="left")
        causes = [
            withheld_by_rules,
            without_news(pipeline, decisions),
            _why_no_indicators(pipeline, without_indicators),
            _not_made(without_sentiment, "sentiment"),
        ]
        withheld = _withheld(due, by_rules, causes)
        made.add(decisions, rows, warehouse.signals.write(rows, context.run.run_id), withheld)
        ml_withheld += withheld_by_model.join(due, on=KEY, how="semi").height
    return dg.MaterializeResult(
        metadata={
            **made.report(context, pipeline),
            "signals": made.counts("signal"),
            "with a position": made.count(pl.col("position_fraction") > 0),
            "engines": made.counts("engine"),
            "withheld by ml": ml_withheld,
            **no_news_source(pipeline),
            "rules": generator.rulebook.version,
            "signal models": ", ".join(ml.versions) or ml.why_none or "none had been trained by these decisions",
        }
    )


def _why_no_indicators(pipeline: PipelineResource, lacking: pl.DataFrame) -> pl.DataFrame:
    """WITHHELD: why decisions have no indicators: the reason they are withheld, or that they are not computed yet."""
    if lacking.is_empty():
        return empty(WITHHELD)
    made, withheld = read_indicators(pipeline, lacking)
    span, opened = read_range(lacking), min(lacking["session_open"].to_list())
    quarantined = pipeline.warehouse.quarantine.bars(span.symbols, opened, span.known_by)
    return pl.concat([with_refusals(withheld, quarantined), _not_made(made, "indicators")])


def _not_made(lacking: pl.DataFrame, what: str) -> pl.DataFrame:
    return lacking.select(*KEY, reason=pl.lit(f"no {what}: not made yet"))


def _withheld(due: pl.DataFrame, decided: pl.DataFrame, causes: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """WITHHELD: every decision due without a signal, with its first reason in the order of ``causes``."""
    open_ = due.join(decided, on=KEY, how="anti", maintain_order="left")
    first = pl.concat(causes).unique(KEY, keep="first", maintain_order=True)
    return open_.join(first, on=KEY, how="left", maintain_order="left").select(WITHHELD.keys())
