"""Missed sessions: those with decisions due but not made, as when the machine was suspended over a close."""

from collections.abc import Mapping
from datetime import date, datetime

import dagster as dg

from paiid_pipeline.decisions import NEWS_PATIENCE
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.sources import provided
from paiid_pipeline.trading_calendar import HORIZONS, Horizon, TradingCalendar

SINCE_TAG = "paiid/since"
"""On a catch-up run: the first session that it covers."""
MOST_SESSIONS = 5
"""How many sessions back, the newest included, a refresh looks for missed ones; older ones need a backfill."""


def missed_since(pipeline: PipelineResource) -> date | None:
    """The oldest session with a decision due that is newer than all stored ones of its horizon.

    None where there is none, and without a warehouse, where nothing has been decided.
    """
    if pipeline.settings.postgres_url is None:
        return None
    settled = pipeline.clock.now() - pipeline.settings.decision_lag
    newest = pipeline.warehouse.signals.newest_decided(pipeline.universe.symbols, settled)
    return first_undecided(pipeline.calendar, newest, settled)


def first_undecided(
    calendar: TradingCalendar, newest: Mapping[Horizon, datetime], settled: datetime, most: int = MOST_SESSIONS
) -> date | None:
    """The session of the first decision time after the ``newest`` of its horizon and by ``settled``.

    At most ``most`` sessions back; a horizon that has never been decided is left out.
    """
    last = calendar.latest_session(settled)
    sessions = calendar.sessions(calendar.session_back(last.day, most - 1).day, last.day)
    for session in sessions:
        for horizon in (horizon for horizon in HORIZONS if horizon in newest):
            if any(newest[horizon] < moment <= settled for moment in calendar.decision_times(session, horizon)):
                return session.day
    return None


def looked_at(instance: dg.DagsterInstance, job_name: str, since: date) -> bool:
    """Whether a catch-up run since a session has succeeded: what is still undecided is withheld."""
    statuses = [dg.DagsterRunStatus.SUCCESS]
    wanted = dg.RunsFilter(job_name=job_name, tags={SINCE_TAG: since.isoformat()}, statuses=statuses)
    return instance.get_runs_count(wanted) > 0


def inputs_lacking(instance: dg.DagsterInstance, pipeline: PipelineResource) -> str | None:
    """The input that the decisions of the last closed session still lack, as a message; None if none.

    A decision made before its inputs would be withheld, or made without news that a refresh is about to bring.
    """
    settled = pipeline.clock.now() - pipeline.settings.decision_lag
    calendar = pipeline.calendar
    last = calendar.latest_session(settled)
    close = last.close if last.close <= settled else calendar.session_back(last.day, 1).close
    for kind, until in (("1Min", close), ("1Day", close), ("news", close - NEWS_PATIENCE)):
        if kind not in provided(pipeline.settings):
            continue
        answered = max(pipeline.warehouse.coverage.covered_to(kind).values(), default=None)
        if answered is None or answered < until:
            return f"{kind} not asked for until {until:%Y-%m-%d %H:%M}Z"
    news, scores = (_newest(instance, name) for name in ("news_articles", "article_sentiment"))
    return "news that landed are not scored yet" if news > scores else None


def _newest(instance: dg.DagsterInstance, asset: str) -> int:
    """The storage id of the newest materialization of an asset; 0 for none."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    return records[0].storage_id if records else 0
