import dagster as dg
import polars as pl

from paiid_pipeline.decisions import read_range
from paiid_pipeline.defs.decision_assets import DecisionReport, RefreshConfig, pending_decisions
from paiid_pipeline.defs.factories import partitioned
from paiid_pipeline.defs.ingestion.assets import market_bars
from paiid_pipeline.defs.partitions import DATE_BY_SEGMENT
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.schemas import INDICATORS
from paiid_pipeline.sources import WITHOUT_ACTIONS
from paiid_pipeline.technicals.decision_indicators import decide_indicators


@partitioned(
    "technicals", DATE_BY_SEGMENT, market_bars, kinds={"postgres", "polars"}, layer="feature", cadence="signals"
)
def technical_indicators(
    context: dg.AssetExecutionContext, config: RefreshConfig, pipeline: PipelineResource
) -> dg.MaterializeResult[None]:
    """RSI, MACD, Bollinger, averages, ATR, ADX, OBV, volume, divergences and regime at each decision time.

    All on prices adjusted as of that moment.

    Intraday decisions read minute bars, daily decisions daily bars, and the minute bars of a suspect one; only
    bars known 15 s after the decision time count, and none that ended after it. A decision on fewer than 250
    bars, on a stale newest bar, or across an apparent split that the source does not report, is withheld and
    counted.
    """
    made = DecisionReport("technical_indicators", INDICATORS)
    for decisions in pending_decisions(context, config, pipeline, "technical_indicators"):
        rows, withheld = read_indicators(pipeline, decisions)
        made.add(decisions, rows, pipeline.warehouse.indicators.write(rows), withheld)
    return dg.MaterializeResult(metadata=made.report(context, pipeline))


def read_indicators(pipeline: PipelineResource, decisions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """As `decide_indicators`, from what is stored for decisions of one horizon, at least one."""
    warehouse, span = pipeline.warehouse, read_range(decisions)
    bars = warehouse.bars.for_decisions(span, decisions["horizon"][0], span.last, span.known_by)
    actions = warehouse.corporate_actions.versions(span.symbols, span.known_by)
    return decide_indicators(bars, actions, decisions, pipeline.settings.max_bar_age, WITHOUT_ACTIONS)
