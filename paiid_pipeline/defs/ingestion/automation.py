from paiid_pipeline.defs.cadence import cadence, ops, refresh_job
from paiid_pipeline.defs.ingestion.assets import market_bars, news_articles
from paiid_pipeline.defs.serving.assets import hot_results

market_refresh = refresh_job(
    "market_refresh",
    market_bars,
    hot_results,
    minutes=1,
    description="Every minute: the newest bars and prices.",
)
market_schedule = cadence(
    market_refresh, "* * * * *", by_segment=True, config=lambda _now, _calendar: ops(hot_results={"kinds": ["market"]})
)

news_refresh = refresh_job(
    "news_refresh", news_articles, minutes=10, description="Every 30 minutes: the newest articles."
)
news_schedule = cadence(news_refresh, "*/30 * * * *", by_segment=False)
