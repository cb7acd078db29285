"""What a partition asks its source for: its own session, the history its decisions may use, and nothing twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import polars as pl
import pytest

from paiid_pipeline.clock import FixedClock
from paiid_pipeline.ingestion import Ingestion, RequiredRange
from paiid_pipeline.schemas import CORPORATE_ACTIONS, MOMENT, REFUSALS
from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import DataRequest, Fetched, Source
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline.warehouse import Warehouse

CALENDAR = TradingCalendar("XNYS")
MONDAY = date(2014, 6, 9)


def needed(now: datetime, *days: date, calendar: TradingCalendar = CALENDAR, **variables: str) -> list[RequiredRange]:
    """What the bars of some partitions need at a moment; neither source nor warehouse is asked."""
    settings = load_settings({"PAIID_SOURCE": "alpaca", **variables})
    nothing = cast("Source", None), cast("Warehouse", None)
    return Ingestion(*nothing, calendar, settings, FixedClock(now)).needed_market(days)


def of_kind(spans: list[RequiredRange], kind: str) -> list[tuple[datetime, datetime]]:
    return [(span.start, span.end) for span in spans if span.kind == kind]


def test_minute_bars_are_asked_for_session_by_session_up_to_the_last_whole_minute() -> None:
    spans = of_kind(needed(datetime(2014, 6, 9, 19, 0, 42, tzinfo=UTC), MONDAY), "1Min")
    sessions = CALENDAR.sessions(date(2014, 6, 4), MONDAY)
    assert [start for start, _ in spans] == [session.open for session in sessions]
    assert [end for _, end in spans[:-1]] == [session.close for session in sessions[:-1]]
    assert spans[-1][1] == datetime(2014, 6, 9, 19, 0, tzinfo=UTC)


def test_a_daily_bar_is_asked_for_once_its_session_has_closed() -> None:
    before = of_kind(needed(datetime(2014, 6, 9, 19, 59, tzinfo=UTC), MONDAY), "1Day")
    after = of_kind(needed(datetime(2014, 6, 9, 20, 0, tzinfo=UTC), MONDAY), "1Day")
    assert [end for _, end in before] == [datetime(2014, 6, 6, 20, tzinfo=UTC)]
    assert [end for _, end in after] == [datetime(2014, 6, 9, 20, tzinfo=UTC)]
    assert before[0][0] == CALENDAR.day_start(date(2012, 6, 11))


def test_a_delayed_feed_is_asked_later() -> None:
    spans = of_kind(needed(datetime(2014, 6, 9, 19, 0, 42, tzinfo=UTC), MONDAY, PAIID_FEED_DELAY_SECONDS="900"), "1Min")
    assert spans[-1][1] == datetime(2014, 6, 9, 18, 45, tzinfo=UTC)


def test_symbols_mean_the_companies_of_the_partitions_own_day() -> None:
    days = [date(2013, 6, 27), date(2013, 6, 28), date(2013, 7, 1)]
    spans = needed(datetime(2013, 7, 2, tzinfo=UTC), *reversed(days))
    assert [span.asof for span in spans] == sorted(span.asof for span in spans if span.asof)
    for day in days:
        sessions = CALENDAR.sessions(CALENDAR.session_back(day, 3).day, day)
        own = [(span.start, span.end) for span in spans if span.kind == "1Min" and span.asof == day]
        assert own == [(session.open, session.close) for session in sessions]


def test_a_market_that_never_closes_is_one_span_of_minutes() -> None:
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    spans = of_kind(needed(now, now.date(), calendar=TradingCalendar("24/7")), "1Min")
    assert spans == [(datetime(2026, 3, 7, tzinfo=UTC), now)]


def test_a_partition_of_the_future_needs_nothing_of_itself() -> None:
    spans = of_kind(needed(datetime(2014, 6, 9, 13, tzinfo=UTC), MONDAY), "1Min")
    assert max(end for _, end in spans) == datetime(2014, 6, 6, 20, tzinfo=UTC)
    assert all(end - start <= timedelta(hours=6, minutes=30) for start, end in spans)


def told(*ids: str, kind: str = "split") -> pl.DataFrame:
    """A 2:1 split of Monday, under each id."""
    at = CALENDAR.day_start(MONDAY)
    rows = [(f"alpaca:{name}", "AAPL", kind, MONDAY, at, 2.0, None, "alpaca") for name in ids]
    return pl.DataFrame(rows, schema=CORPORATE_ACTIONS, orient="row")


def answer(
    rows: pl.DataFrame, refused: str = "", start: date = date(2014, 6, 2), failed: tuple[str, ...] = ()
) -> Fetched:
    """An answer about AAPL's actions from a day to Monday's night."""
    end = CALENDAR.day_start(MONDAY) + timedelta(days=1)
    want = DataRequest("actions", ("AAPL",), CALENDAR.day_start(start), end)
    refusals = pl.DataFrame([("alpaca", "bad_type", refused)] if refused else [], schema=REFUSALS, orient="row")
    return Fetched(want, rows, refusals, failed, (), (), 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("came", "gone"),
    [
        (answer(told("b")), ["alpaca:a"]),
        (answer(told()), ["alpaca:a"]),
        (answer(told("a")), []),
        (answer(told(), refused='{"kind": "splits", "row": {"id": "a"}}'), []),
        (answer(told(), start=date(2014, 6, 10)), []),
        (answer(told(), failed=("AAPL",)), []),
    ],
)
def test_an_action_is_withdrawn_where_a_complete_answer_lacks_it(came: Fetched, gone: list[str]) -> None:
    """As a new row without ratio, and aloud."""
    stored = told("a").with_columns(known_at=pl.lit(None, MOMENT), nominal=True)
    actions = SimpleNamespace(read=lambda symbols, _: stored.filter(pl.col("symbol").is_in(symbols)))
    ask = SimpleNamespace(corporate_actions=actions)
    settings, clock = load_settings({"PAIID_SOURCE": "alpaca"}), FixedClock(datetime(2014, 6, 10, tzinfo=UTC))
    source = cast("Source", SimpleNamespace(name="alpaca"))
    made = Ingestion(source, cast("Warehouse", ask), CALENDAR, settings, clock)._with_withdrawn(came, clock.now())
    said = made.rows.filter(pl.col("kind") == "withdrawn")
    assert (said["action_id"].to_list(), said["ratio"].null_count()) == (gone, len(gone))
    assert made.refusals.filter(pl.col("reason") == "withdrawn").height == len(gone)
