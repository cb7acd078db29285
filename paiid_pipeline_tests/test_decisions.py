"""Which decisions are due, and which of them are new."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from paiid_pipeline.contracts import DECISIONS
from paiid_pipeline.decisions import due_decisions, reach, undecided
from paiid_pipeline.settings import load_settings
from paiid_pipeline.universe import TradingCalendar

SETTINGS = load_settings({"PAIID_SOURCE": "alpaca"})
CALENDAR = TradingCalendar("XNYS")
DAY = date(2014, 6, 9)


def due(now: datetime, *symbols: str) -> pl.DataFrame:
    return due_decisions(symbols or ("AAPL",), [DAY], CALENDAR, SETTINGS, now)


def test_a_decision_is_due_only_once_it_has_settled() -> None:
    moment = datetime(2014, 6, 9, 19, tzinfo=UTC)
    assert due(moment + timedelta(seconds=14))["as_of"].max() == moment - timedelta(minutes=5)
    assert due(moment + timedelta(seconds=15))["as_of"].max() == moment


def test_what_is_due_earlier_is_a_prefix_of_what_is_due_later() -> None:
    early, late = due(datetime(2014, 6, 9, 16, tzinfo=UTC)), due(datetime(2014, 6, 9, 21, tzinfo=UTC))
    assert late.filter(pl.col("as_of") <= early["as_of"].max()).equals(early)
    assert late["horizon"].value_counts().sort("horizon")["count"].to_list() == [1, 78]


def test_the_history_a_decision_may_use_starts_whole_sessions_before_its_own() -> None:
    rows = due(datetime(2014, 6, 9, 21, tzinfo=UTC))
    anchors = dict(rows.select("horizon", "anchor").unique().iter_rows())
    intraday, daily = CALENDAR.session(date(2014, 6, 4)), CALENDAR.session(date(2012, 6, 11))
    assert intraday is not None
    assert daily is not None
    assert anchors == {"intraday": intraday.open, "daily": daily.open}


def test_a_day_without_a_session_or_in_the_future_has_no_decisions() -> None:
    assert due_decisions(["AAPL"], [date(2014, 6, 8)], CALENDAR, SETTINGS, datetime(2020, 1, 1, tzinfo=UTC)).is_empty()
    assert due(datetime(2014, 6, 9, 12, tzinfo=UTC)).is_empty()


def test_new_means_newer_than_the_newest_stored_of_the_same_symbol_and_horizon() -> None:
    rows = due(datetime(2014, 6, 9, 16, tzinfo=UTC), "AAPL", "TWX")
    stored = rows.filter(pl.col("symbol") == "AAPL").head(3).select("symbol", "horizon", "as_of")
    new = undecided(rows, stored)
    assert new.schema == pl.Schema(DECISIONS)
    assert new.filter(pl.col("symbol") == "TWX").height == rows.filter(pl.col("symbol") == "TWX").height
    assert new.filter(pl.col("symbol") == "AAPL").height == rows.filter(pl.col("symbol") == "AAPL").height - 3
    assert undecided(rows, rows).is_empty()


def test_reach_spans_all_the_decisions() -> None:
    rows = due(datetime(2014, 6, 9, 16, tzinfo=UTC), "TWX", "AAPL").filter(pl.col("horizon") == "intraday")
    span = reach(rows)
    assert span.symbols == ["TWX", "AAPL"]
    assert (span.first, span.last) == (rows["as_of"].min(), rows["as_of"].max())
    assert span.known_by == span.last + timedelta(seconds=15)
