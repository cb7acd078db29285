import polars as pl

from paiid_pipeline import quality
from paiid_pipeline.defs.checking import moments, rules_check
from paiid_pipeline.defs.ingestion.assets import market_bars, news_articles
from paiid_pipeline.defs.partitions import Slice
from paiid_pipeline.defs.resources import Pipeline


def _bars(pipeline: Pipeline, part: Slice) -> pl.DataFrame:
    start, end = moments(pipeline, part)
    now = pipeline.clock.now()
    return pl.concat(
        pipeline.warehouse.bars(part.symbols, timeframe, start, end, now) for timeframe in ("1Min", "1Day")
    )


def _news(pipeline: Pipeline, part: Slice) -> pl.DataFrame:
    start, end = pipeline.calendar.day_start(part.days[0]), pipeline.news_window(part.days[-1])[1]
    return pipeline.warehouse.news(part.symbols, start, end, pipeline.clock.now())


market_bars_are_sound = rules_check(market_bars, quality.BARS, _bars, "bar_end")
news_articles_are_sound = rules_check(news_articles, quality.NEWS, _news, "published_at")
