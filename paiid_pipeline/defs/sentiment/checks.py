import polars as pl

from paiid_pipeline import quality
from paiid_pipeline.defs.partitions import PartitionSlice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.row_checks import moments, rules_check
from paiid_pipeline.defs.sentiment.assets import article_sentiment, symbol_sentiment
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.trading_calendar import HORIZONS


def _articles(pipeline: PipelineResource, part: PartitionSlice) -> pl.DataFrame:
    start, end = pipeline.calendar.day_start(part.days[0]), pipeline.news_window(part.days[-1])[1]
    return pipeline.warehouse.article_sentiment.read(
        part.symbols, SentimentAnalyzer.model, start, end, pipeline.clock.now()
    )


def _symbols(pipeline: PipelineResource, part: PartitionSlice) -> pl.DataFrame:
    start, end = moments(pipeline, part)
    return pl.concat(
        pipeline.warehouse.symbol_sentiment.read(part.symbols, horizon, start, end) for horizon in HORIZONS
    )


article_sentiment_is_sound = rules_check(article_sentiment, quality.ARTICLE_SENTIMENT, _articles, "published_at")
symbol_sentiment_is_sound = rules_check(symbol_sentiment, quality.SYMBOL_SENTIMENT, _symbols, "as_of")
