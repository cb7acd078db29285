"""The whole graph once, in this process: ``python -m paiid_pipeline.defs.once``.

Makes the partitions of the newest daily and the newest intraday decision, prints a line an asset, and
exits 0 only if every run succeeded.
"""

import sys
from datetime import date, datetime

import dagster as dg

from paiid_pipeline.defs.cadence import ACTIVE, ops
from paiid_pipeline.defs.partitions import run_tags
from paiid_pipeline.defs.resources import Pipeline

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


def newest_partitions(pipeline: Pipeline) -> tuple[date, date, datetime]:
    """The dates of the newest daily and the newest intraday decision, and the moment of the latter."""
    calendar, now = pipeline.calendar, pipeline.clock.now() - pipeline.settings.feed_delay
    newest = {horizon: calendar.latest_decision(now, horizon) for horizon in ("daily", "intraday")}
    sessions = {horizon: calendar.session_of(moment) for horizon, moment in newest.items()}
    days = [session.day for session in sessions.values() if session is not None]
    return min(days), max(days), newest["intraday"]


def fail_orphans(instance: dg.DagsterInstance) -> int:
    """End the runs that a killed process left in progress: they would hold up their cadence until they time out."""
    orphans = instance.get_runs(dg.RunsFilter(statuses=ACTIVE))
    for run in orphans:
        instance.report_run_failed(run, "its process was gone when paiid started")
    return len(orphans)


def run_once(*, alone: bool = False) -> bool:
    """Run both jobs against the instance in DAGSTER_HOME; true if both succeeded.

    ``alone``: no other process uses the instance, so that runs in progress are orphans.
    """
    from paiid_pipeline.definitions import defs

    first, last, newest = newest_partitions(Pipeline())
    through = {"through": newest.isoformat()}
    decisions = ops(symbol_sentiment=through, technical_indicators=through, trading_signals=through)
    with dg.DagsterInstance.get() as instance:
        if alone and (count := fail_orphans(instance)):
            sys.stdout.write(f"ended {count} runs that an earlier process had left in progress\n")
        for name, by_segment, config in ((NEWS_JOB, False, {}), (MARKET_JOB, True, decisions)):
            span = f"{first}" if first == last else f"{first} to {last}"
            sys.stdout.write(f"{name}, partitions {span}\n")
            result = defs.resolve_job_def(name).execute_in_process(
                instance=instance,
                tags=run_tags(first, last, by_segment=by_segment),
                run_config={**config, "loggers": {"progress": {}}},
                raise_on_error=False,
            )
            if not result.success:
                sys.stdout.write(f"{name} failed: run {result.run_id}\n")
                return False
    return True


if __name__ == "__main__":
    sys.exit(0 if run_once(alone="--alone" in sys.argv) else 1)
