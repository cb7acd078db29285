from dataclasses import asdict
from datetime import datetime, timedelta

import dagster as dg
import polars as pl

from paiid_pipeline.decisions import read_range
from paiid_pipeline.defs.decision_assets import (
    KEY,
    DecisionReport,
    RefreshConfig,
    no_news_source,
    pending_decisions,
    without_news,
)
from paiid_pipeline.defs.factories import partition_metadata, partitioned
from paiid_pipeline.defs.ingestion.assets import news_articles
from paiid_pipeline.defs.metadata import counted
from paiid_pipeline.defs.partitions import DATE, DATE_BY_SEGMENT, selected_slice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.schemas import SYMBOL_SENTIMENT
from paiid_pipeline.sentiment.aggregate import aggregate
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.article_selection import standings_now
from paiid_pipeline.sentiment.base import Failure


@partitioned("sentiment", DATE, news_articles, kinds={"postgres", "python"}, layer="feature", cadence="sentiment")
def article_sentiment(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
    """One score per article, symbol and model: probabilities of negative, neutral and positive.

    Models are the installed members and their ensemble. The ensemble's flags name missing members; metadata and log
    give the errors of members that failed. Scores every version of an article that this version of the ensemble has
    not scored, published within the partition or the look-back before it, and ends the score for a symbol that a
    newer version has dropped. A score is known as of its article, or as of its computation if a decision was
    made without it.
    """
    days = selected_slice(context).days
    start, end = pipeline.news_window(days[0])[0], pipeline.news_window(days[-1])[1]
    analyzer = pipeline.analyzer()
    followed = pipeline.settings.universe.symbols
    news = pipeline.warehouse.news.unscored_versions(start, end, analyzer.model, analyzer.model_version, followed)
    failed: dict[str, Failure] = {}
    scores = analyzer.score_articles(news, failed, followed=followed)
    for member, failure in failed.items():
        context.log.warning(f"{member} failed on {failure.texts} texts: {failure.reason}")
    now, live, lookback = pipeline.clock.now(), pipeline.clock.real_time, pipeline.settings.news_lookback
    written = pipeline.warehouse.article_sentiment.write(scores, now, live=live, lookback=lookback)
    dropped = pipeline.warehouse.article_sentiment.end_dropped(start, end, now, live=live, lookback=lookback)
    _write_standings(pipeline, sorted({*scores["symbol"], *dropped}), start, end)
    partition_metadata(context, pipeline, "article_sentiment", scores, "published_at")
    flags = scores.filter(pl.col("model") == analyzer.model).explode("flags").drop_nulls("flags")
    return dg.MaterializeResult(
        metadata={
            "articles scored": news.height,
            "inserted": written.inserted,
            "dropped symbols": len(dropped),
            "model": f"{analyzer.model} {analyzer.model_version}",
            "missing members": dg.MetadataValue.json(dict(analyzer.route.unavailable)),
            "failed members": dg.MetadataValue.json({member: asdict(failure) for member, failure in failed.items()}),
            "flags": counted(flags, "flags"),
        }
    )


def _write_standings(pipeline: PipelineResource, symbols: list[str], start: datetime, end: datetime) -> None:
    """Store whether the articles on some symbols, published in [start, end), count in the aggregate now."""
    lookback, now = pipeline.settings.news_lookback, pipeline.clock.now()
    scores = pipeline.warehouse.article_sentiment.read(symbols, SentimentAnalyzer.model, start - lookback, end, now)
    standings = standings_now(scores, SentimentAnalyzer.model, now, lookback)
    pipeline.warehouse.article_standings.write(standings.filter(pl.col("published_at") >= start))


@partitioned(
    "sentiment", DATE_BY_SEGMENT, article_sentiment, kinds={"postgres", "polars"}, layer="feature", cadence="signals"
)
def symbol_sentiment(
    context: dg.AssetExecutionContext, config: RefreshConfig, pipeline: PipelineResource
) -> dg.MaterializeResult[None]:
    """The decayed mean of the scores known at each decision time, per symbol.

    Weights halve with the age of the article and grow with confidence. A symbol without articles has a
    row with `article_count` 0 and no score. A decision whose news look-back was not requested from the source, up to 35
    minutes before it, is withheld and counted; with a source that has no news, every decision is made without.
    """
    warehouse, settings = pipeline.warehouse, pipeline.settings
    made = DecisionReport("symbol_sentiment", SYMBOL_SENTIMENT)
    for decisions in pending_decisions(context, config, pipeline, "symbol_sentiment"):
        span = read_range(decisions)
        start, end = span.first - settings.news_lookback, span.last + timedelta(microseconds=1)
        scores = warehouse.article_sentiment.read(span.symbols, SentimentAnalyzer.model, start, end, span.known_by)
        withheld = without_news(pipeline, decisions)
        asked = decisions.join(withheld, on=KEY, how="anti", maintain_order="left")
        rows = aggregate(scores, asked, settings.news_lookback, settings.news_half_life)
        made.add(decisions, rows, warehouse.symbol_sentiment.write(rows), withheld)
    return dg.MaterializeResult(metadata={**made.report(context, pipeline), **no_news_source(pipeline)})
