import polars as pl

from paiid_pipeline import quality
from paiid_pipeline.defs.partitions import PartitionSlice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.row_checks import moments, rules_check
from paiid_pipeline.defs.technicals.assets import technical_indicators
from paiid_pipeline.trading_calendar import HORIZONS


def _indicators(pipeline: PipelineResource, part: PartitionSlice) -> pl.DataFrame:
    start, end = moments(pipeline, part)
    return pl.concat(pipeline.warehouse.indicators.read(part.symbols, horizon, start, end) for horizon in HORIZONS)


technical_indicators_are_sound = rules_check(technical_indicators, quality.INDICATORS, _indicators, "as_of")
