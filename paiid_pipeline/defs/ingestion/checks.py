import polars as pl

from paiid_pipeline import quality
from paiid_pipeline.defs.ingestion.assets import market_bars, news_articles
from paiid_pipeline.defs.partitions import PartitionSlice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.row_checks import moments, rules_check


def _bars(pipeline: PipelineResource, part: PartitionSlice) -> pl.DataFrame:
    start, end = moments(pipeline, part)
    now = pipeline.clock.now()
    return pl.concat(
        pipeline.warehouse.bars.read(part.symbols, timeframe, start, end, now) for timeframe in ("1Min", "1Day")
    )


def _no_bar(pipeline: PipelineResource, part: PartitionSlice) -> bool:
    """Whether decisions are due of which no symbol can have a bar."""
    opening = pipeline.calendar.sessions(part.days[0], part.days[-1])[0].open
    patience = pipeline.settings.feed_delay + pipeline.settings.max_bar_age["intraday"]
    return pipeline.clock.now() > opening + patience


def _news(pipeline: PipelineResource, part: PartitionSlice) -> pl.DataFrame:
    start, end = pipeline.calendar.day_start(part.days[0]), pipeline.news_window(part.days[-1])[1]
    return pipeline.warehouse.news.read(part.symbols, start, end, pipeline.clock.now())


market_bars_are_sound = rules_check(market_bars, quality.BARS, _bars, "bar_end", _no_bar)
news_articles_are_sound = rules_check(news_articles, quality.NEWS, _news, "published_at")
