import dagster as dg

from paiid_pipeline.defs.cadence import cadence, ops, refresh_job, request
from paiid_pipeline.defs.ingestion.assets import news_articles
from paiid_pipeline.defs.resources import Pipeline
from paiid_pipeline.defs.sentiment.assets import article_sentiment, symbol_sentiment
from paiid_pipeline.defs.serving.assets import hot_results

article_scoring = refresh_job(
    "article_scoring", article_sentiment, minutes=15, description="Every 15 minutes: scores of articles not yet scored."
)
sentiment_schedule = cadence(article_scoring, "*/15 * * * *", by_segment=False)

sentiment_refresh = refresh_job(
    "sentiment_refresh",
    symbol_sentiment,
    hot_results,
    minutes=2,
    description="Once articles are scored: sentiment per symbol, and both in Redis.",
)

_PUBLISHED = ops(symbol_sentiment={"only_new": True}, hot_results={"kinds": ["sentiment", "news"]})


@dg.asset_sensor(
    asset_key=news_articles.key,
    job=article_scoring,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Scores news as soon as it lands.",
)
def news_landed(
    context: dg.SensorEvaluationContext, _event: dg.EventLogEntry, pipeline: Pipeline
) -> dg.RunRequest | dg.SkipReason:
    return request(context.instance, pipeline, article_scoring.name, by_segment=False)


@dg.asset_sensor(
    asset_key=article_sentiment.key,
    job=sentiment_refresh,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Publishes news and sentiment as soon as articles are scored.",
)
def articles_scored(
    context: dg.SensorEvaluationContext, _event: dg.EventLogEntry, pipeline: Pipeline
) -> dg.RunRequest | dg.SkipReason:
    return request(
        context.instance,
        pipeline,
        sentiment_refresh.name,
        by_segment=True,
        config=lambda _n, _c: _PUBLISHED,
        decides=True,
    )
