import polars as pl

from paiid_pipeline import quality
from paiid_pipeline.defs.partitions import PartitionSlice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.row_checks import moments, rules_check
from paiid_pipeline.defs.signals.assets import trading_signals
from paiid_pipeline.trading_calendar import HORIZONS


def _signals(pipeline: PipelineResource, part: PartitionSlice) -> pl.DataFrame:
    start, end = moments(pipeline, part)
    return pl.concat(pipeline.warehouse.signals.read(part.symbols, horizon, start, end) for horizon in HORIZONS)


trading_signals_are_sound = rules_check(trading_signals, quality.SIGNALS, _signals, "as_of")
