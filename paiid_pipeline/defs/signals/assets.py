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
    and the same inputs never make a second one. What cannot be decided is withheld and counted, never
    published as HOLD; nor is what has no indicators, or no sentiment since its news were not asked for.
    """
    warehouse, generator, ml = pipeline.warehouse, pipeline.rule_engine(), pipeline.ml_engine()
    limits = generator.rulebook.limits
    made, unfit = DecisionReport("signals", SIGNALS), 0
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
        said = []
        for engine in (generator, ml):
            earlier = warehouse.signals.prior_positions(peers, horizon, engine.engine, after, span.last)
            said.append(engine.decide(indicators, sentiment, RiskInputs(earlier, actions, quarantined)))
        rows = pl.concat(rows for rows, _ in said).join(due, on=KEY, how="semi")
        decided = rows.filter(pl.col("engine") == generator.engine)
        unread = _unread(pipeline, decisions.join(known, on=KEY, how="anti", maintain_order="left"))
        unheard = _not_made(due.join(sentiment, on=KEY, how="anti", maintain_order="left"), "sentiment")
        withheld = _withheld(due, decided, [said[0][1], without_news(pipeline, decisions), unread, unheard])
        made.add(decisions, rows, warehouse.signals.write(rows, context.run.run_id), withheld)
        unfit += said[1][1].join(due, on=KEY, how="semi").height
    return dg.MaterializeResult(
        metadata={
            **made.report(context, pipeline),
            "signals": made.counts("signal"),
            "staked on": made.count(pl.col("position_fraction") > 0),
            "engines": made.counts("engine"),
            "withheld by ml": unfit,
            **no_news_source(pipeline),
            "rules": generator.rulebook.version,
            "signal models": ", ".join(ml.versions) or ml.why_none or "none had been trained by these decisions",
        }
    )


def _unread(pipeline: PipelineResource, lacking: pl.DataFrame) -> pl.DataFrame:
    """WITHHELD: why decisions have no indicators: what they are withheld for, or that they were not made."""
    if lacking.is_empty():
        return empty(WITHHELD)
    made, withheld = read_indicators(pipeline, lacking)
    span, opened = read_range(lacking), min(lacking["session_open"].to_list())
    quarantined = pipeline.warehouse.quarantine.bars(span.symbols, opened, span.known_by)
    return pl.concat([with_refusals(withheld, quarantined), _not_made(made, "indicators")])


def _not_made(lacking: pl.DataFrame, what: str) -> pl.DataFrame:
    return lacking.select(*KEY, reason=pl.lit(f"no {what}: not made yet"))


def _withheld(due: pl.DataFrame, decided: pl.DataFrame, causes: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """WITHHELD: every decision due that was not made, with the first cause that names it."""
    open_ = due.join(decided, on=KEY, how="anti", maintain_order="left")
    first = pl.concat(causes).unique(KEY, keep="first", maintain_order=True)
    return open_.join(first, on=KEY, how="left", maintain_order="left").select(WITHHELD.keys())
