from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paiid_pipeline.defs.cadence import cadence, op_config, refresh_job
from paiid_pipeline.defs.ingestion.assets import market_bars, news_articles
from paiid_pipeline.defs.serving.assets import hot_results
from paiid_pipeline.trading_calendar import TradingCalendar


def prices_and_signals(_now: datetime, _calendar: TradingCalendar) -> Mapping[str, Any]:
    """Run config that publishes prices, and again the signals that still hold.

    A signal holds for longer than its TTL, while the next is made: published once, it would be stale until then.
    """
    return op_config(hot_results={"kinds": ["market", "signals"]})


market_refresh = refresh_job(
    "market_refresh",
    market_bars,
    hot_results,
    minutes=1,
    description="Every minute: the newest bars and prices.",
)
market_schedule = cadence(market_refresh, "* * * * *", by_segment=True, config=prices_and_signals)

news_refresh = refresh_job(
    "news_refresh", news_articles, minutes=10, description="Every 30 minutes: the newest articles."
)
news_schedule = cadence(news_refresh, "*/30 * * * *", by_segment=False)
