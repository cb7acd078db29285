from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paiid_pipeline.defs.cadence import cadence, op_config, refresh_job
from paiid_pipeline.defs.sentiment.assets import symbol_sentiment
from paiid_pipeline.defs.serving.assets import hot_results
from paiid_pipeline.defs.signals.assets import trading_signals
from paiid_pipeline.defs.technicals.assets import technical_indicators
from paiid_pipeline.trading_calendar import TradingCalendar


def newest_decision(now: datetime, calendar: TradingCalendar) -> Mapping[str, Any]:
    """Run config that makes what is new, through the newest decision time, and publishes it."""
    refresh = {"only_new": True, "through": calendar.latest_decision(now, "intraday").isoformat()}
    return op_config(
        symbol_sentiment=refresh,
        technical_indicators=refresh,
        trading_signals=refresh,
        hot_results={"kinds": ["signals", "sentiment"]},
    )


signals_refresh = refresh_job(
    "signals_refresh",
    symbol_sentiment,
    technical_indicators,
    trading_signals,
    hot_results,
    minutes=2,
    description="Every 5 minutes: sentiment, indicators and signals of the newest decision time.",
)
signals_schedule = cadence(signals_refresh, "*/5 * * * *", by_segment=True, config=newest_decision, decides=True)
