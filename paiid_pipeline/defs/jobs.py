"""Jobs that no schedule runs: the whole graph, for the dates and segments selected."""

import dagster as dg

NEWS_JOB, MARKET_JOB = "all_news", "all_decisions"


all_news = dg.define_asset_job(
    NEWS_JOB,
    selection=dg.AssetSelection.assets("news_articles", "article_sentiment"),
    executor_def=dg.in_process_executor,
    description="News and its scores, for the dates selected.",
)


all_decisions = dg.define_asset_job(
    MARKET_JOB,
    selection=dg.AssetSelection.assets(
        "market_bars", "symbol_sentiment", "technical_indicators", "trading_signals", "hot_results"
    ),
    executor_def=dg.in_process_executor,
    description="From bars to hot results, for the dates and segments selected.",
)
