"""What was missed is caught up: asleep over a close, the session's last decisions are made afterwards, and once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from paiid_pipeline.defs.missed_sessions import SINCE_TAG, first_undecided
from paiid_pipeline.trading_calendar import Horizon, TradingCalendar
from paiid_pipeline_tests.defs.test_automation import exchange, instance, tick, world  # noqa: F401
from paiid_pipeline_tests.defs.world import World, defs
from paiid_pipeline_tests.warehouse.rows import signal, signals

XNYS = TradingCalendar("XNYS")
DAY = date(2026, 3, 10)
CLOSE = datetime(2026, 3, 11, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}+00:00")


@pytest.mark.parametrize(
    ("intraday", "daily", "now", "since"),
    [
        ("03-10T20:00", "03-10T20:00", "03-10T23:00", None),
        ("03-10T19:55", "03-09T20:00", "03-10T19:59", None),
        ("03-10T19:55", "03-09T20:00", "03-10T23:00", date(2026, 3, 10)),
        ("03-10T20:00", "03-09T20:00", "03-11T15:02", date(2026, 3, 10)),
        ("03-06T18:00", "03-05T21:00", "03-10T15:00", date(2026, 3, 6)),
        ("03-02T18:00", "02-27T21:00", "03-27T15:00", date(2026, 3, 23)),  # five sessions and no more
        ("11-25T20:55", "11-24T21:00", "11-29T15:00", date(2026, 11, 25)),  # over a holiday, a half day and a week-end
    ],
)
def test_the_oldest_undecided_session_within_the_bound(intraday: str, daily: str, now: str, since: date | None) -> None:
    newest: Mapping[Horizon, datetime] = {"intraday": at(intraday), "daily": at(daily)}
    assert first_undecided(XNYS, newest, at(now)) == since


def test_what_has_never_been_decided_is_left_to_a_backfill() -> None:
    assert first_undecided(XNYS, {}, at("03-10T23:00")) is None


def span(outcome: dg.RunRequest | str) -> tuple[str, str]:
    assert isinstance(outcome, dg.RunRequest), outcome
    tags = outcome.tags
    return tuple(tags[f"dagster/asset_partition_range_{end}"].split("|")[0] for end in ("start", "end"))  # type: ignore[return-value]


def test_after_a_sleep_over_midnight_both_horizons_of_the_close_are_made_in_the_session_that_ended(
    world: World,  # noqa: F811
) -> None:
    before, after = CLOSE - timedelta(minutes=5) + timedelta(seconds=20), CLOSE + timedelta(minutes=5, seconds=16)
    world.everything(before, DAY - timedelta(days=1), DAY)
    asleep = world.pipeline(after)
    for schedule in ("market_refresh_schedule", "news_refresh_schedule"):
        assert span(tick(schedule, asleep, world.instance)) == ("2026-03-10", "2026-03-11")
    # Its inputs first: until they are there, only the session in progress is decided.
    assert span(tick("signals_refresh_schedule", asleep, world.instance)) == ("2026-03-11", "2026-03-11")
    next_day = DAY + timedelta(days=1)
    assert world.run("market_refresh", after, DAY, next_day, hot_results={"kinds": ["market"]}).success
    assert world.run("all_news", after, DAY, next_day, by_segment=False).success
    outcome = tick("signals_refresh_schedule", world.pipeline(after), world.instance)
    assert span(outcome) == ("2026-03-10", "2026-03-11")
    assert isinstance(outcome, dg.RunRequest)
    assert outcome.tags[SINCE_TAG] == "2026-03-10"
    refresh = {name: {"only_new": True} for name in ("symbol_sentiment", "technical_indicators", "trading_signals")}
    config = {**refresh, "hot_results": {"kinds": ["signals"]}}
    assert world.run("signals_refresh", after, DAY, next_day, **config).success
    for horizon in ("intraday", "daily"):
        for table in ("symbol_sentiment", "technical_indicators", "signals"):
            rows = world.rows(table, where=f"as_of = '{CLOSE}' and horizon = '{horizon}'")
            assert {row[0] for row in rows} >= {"AAPL", "MSFT", "JPM", "KO"}, (table, horizon)
    again = tick("market_refresh_schedule", world.pipeline(after), world.instance)
    assert span(again) == ("2026-03-11", "2026-03-11")


def test_after_the_close_of_an_exchange_the_cadences_go_on_until_its_last_decisions_were_looked_at(
    exchange: World,  # noqa: F811
) -> None:
    close, now = at("03-10T20:00"), at("03-10T23:01")
    rows = [signal(close - timedelta(minutes=5)), signal(at("03-09T20:00"), horizon="daily")]
    exchange.warehouse.signals.write(signals(*rows), "run")
    pipeline = exchange.pipeline(now)
    for schedule in ("market_refresh_schedule", "news_refresh_schedule", "article_scoring_schedule"):
        assert span(tick(schedule, pipeline, exchange.instance)) == ("2026-03-10", "2026-03-10")
    waiting = tick("signals_refresh_schedule", pipeline, exchange.instance)
    assert "1Min not asked for until 2026-03-10 20:00Z" in str(waiting)
    job = defs.resolve_job_def("signals_refresh")
    done = exchange.instance.create_run_for_job(job, tags={SINCE_TAG: "2026-03-10"})
    exchange.instance.report_run_failed(done)
    assert span(tick("market_refresh_schedule", pipeline, exchange.instance)) == ("2026-03-10", "2026-03-10")
    exchange.instance.create_run_for_job(job, tags={SINCE_TAG: "2026-03-10"}, status=dg.DagsterRunStatus.SUCCESS)
    for schedule in ("market_refresh_schedule", "signals_refresh_schedule"):
        said = tick(schedule, pipeline, exchange.instance)
        assert isinstance(said, str)
        assert "is closed" in said
        assert "what is missing since 2026-03-10 was looked at, and is withheld" in said
