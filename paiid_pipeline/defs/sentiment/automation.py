from paiid_pipeline.defs.cadence import cadence, landing, op_config, refresh_job, request
from paiid_pipeline.defs.ingestion.assets import news_articles
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

_PUBLISHED = op_config(symbol_sentiment={"only_new": True}, hot_results={"kinds": ["sentiment", "news"]})


news_landed = landing(
    "news_landed",
    news_articles,
    article_scoring,
    "Scores news as soon as it lands.",
    lambda instance, pipeline: request(instance, pipeline, article_scoring.name, by_segment=False),
)

articles_scored = landing(
    "articles_scored",
    article_sentiment,
    sentiment_refresh,
    "Publishes news and sentiment as soon as articles are scored.",
    lambda instance, pipeline: request(
        instance, pipeline, sentiment_refresh.name, by_segment=True, config=lambda _n, _c: _PUBLISHED, decides=True
    ),
)
