"""The four cadences: what each makes, how often, and the run that it requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from paiid_pipeline.defs.cadence import CADENCE_TAG, Outcome, RunConfig, op_config, request
from paiid_pipeline.defs.ingestion.assets import market_bars, news_articles
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.sentiment.assets import article_sentiment, symbol_sentiment
from paiid_pipeline.defs.serving.assets import hot_results
from paiid_pipeline.defs.signals.assets import trading_signals
from paiid_pipeline.defs.technicals.assets import technical_indicators
from paiid_pipeline.trading_calendar import TradingCalendar


def refresh_job(name: str, *assets: dg.AssetsDefinition, minutes: float, description: str) -> Any:
    """A job over assets of one kind of partition, before others in the queue, terminated and retried after ``minutes``.

    ``minutes`` is of the order of the TTL of what it publishes: a hanging worker blocks its cadence for no longer.
    """
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*assets),
        executor_def=dg.in_process_executor,
        tags={CADENCE_TAG: name, "dagster/priority": "10", "dagster/max_runtime": str(int(minutes * 60))},
        description=description,
    )


@dataclass(frozen=True)
class Refresh:
    """A job with what its run needs: partitions by segment or not, run config, and whether it makes decisions."""

    job: Any
    by_segment: bool
    config: RunConfig | None = None
    decides: bool = False

    def request(self, instance: dg.DagsterInstance, pipeline: PipelineResource) -> Outcome:
        """A run for the current session and those missed before it, or the reason why not."""
        name = str(self.job.name)
        return request(instance, pipeline, name, by_segment=self.by_segment, config=self.config, decides=self.decides)


@dataclass(frozen=True)
class Cadence(Refresh):
    """A refresh requested every ``minutes``, a divisor of 60."""

    minutes: int = 1

    @property
    def cron(self) -> str:
        return f"*/{self.minutes} * * * *" if self.minutes > 1 else "* * * * *"

    def next_tick(self, now: datetime) -> timedelta:
        """The time until the next tick; ``minutes`` divides the hour, so that ticks divide the epoch."""
        return timedelta(seconds=self.minutes * 60 - now.timestamp() % (self.minutes * 60))

    def schedule(self) -> dg.ScheduleDefinition:
        """The schedule of the job for the session's partition; with ``decides``, that of the newest decision time."""

        @dg.schedule(
            job=self.job,
            cron_schedule=self.cron,
            name=f"{self.job.name}_schedule",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            execution_timezone="UTC",
            description=f"{self.job.description} Skips outside the session, and while its previous run is active.",
        )
        def tick(context: dg.ScheduleEvaluationContext, pipeline: PipelineResource) -> Outcome:
            return self.request(context.instance, pipeline)

        return tick


def prices_and_signals(_now: datetime, _calendar: TradingCalendar) -> Mapping[str, Any]:
    """Run config that publishes prices, and again the signals that are still valid.

    A signal is valid for longer than its TTL, while the next is made: published once, it would be stale until then.
    """
    return op_config(hot_results={"kinds": ["market", "signals"]})


def newest_decision(now: datetime, calendar: TradingCalendar) -> Mapping[str, Any]:
    """Run config that makes what is new, through the newest decision time, and publishes it."""
    refresh = {"only_new": True, "through": calendar.latest_decision(now, "intraday").isoformat()}
    return op_config(
        symbol_sentiment=refresh,
        technical_indicators=refresh,
        trading_signals=refresh,
        hot_results={"kinds": ["signals", "sentiment"]},
    )


def scored_news(_now: datetime, _calendar: TradingCalendar) -> Mapping[str, Any]:
    """Run config that aggregates the newest scores, and publishes sentiment and news."""
    return op_config(symbol_sentiment={"only_new": True}, hot_results={"kinds": ["sentiment", "news"]})


market_refresh = refresh_job(
    "market_refresh",
    market_bars,
    hot_results,
    minutes=1,
    description="Every minute: the newest bars and prices.",
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
article_scoring = refresh_job(
    "article_scoring", article_sentiment, minutes=15, description="Every 15 minutes: scores of articles not yet scored."
)
news_refresh = refresh_job(
    "news_refresh", news_articles, minutes=10, description="Every 30 minutes: the newest articles."
)
sentiment_refresh = refresh_job(
    "sentiment_refresh",
    symbol_sentiment,
    hot_results,
    minutes=2,
    description="Once articles are scored: sentiment per symbol, and both in Redis.",
)

MARKET = Cadence(market_refresh, by_segment=True, config=prices_and_signals, minutes=1)
SIGNALS = Cadence(signals_refresh, by_segment=True, config=newest_decision, decides=True, minutes=5)
SCORING = Cadence(article_scoring, by_segment=False, minutes=15)
NEWS = Cadence(news_refresh, by_segment=False, minutes=30)
SENTIMENT = Refresh(sentiment_refresh, by_segment=True, config=scored_news, decides=True)
"""Requested by a sensor once articles are scored, not by a schedule."""

schedules = [cadence.schedule() for cadence in (MARKET, SIGNALS, SCORING, NEWS)]
