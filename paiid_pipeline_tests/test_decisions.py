"""Which decisions are due, and which of them are new."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.decisions import decision_grid, news_window, pending, read_range, with_coverage_gap
from paiid_pipeline.ml.signals.engines import rule_engine
from paiid_pipeline.schemas import DECISIONS, STORED_BARS, STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline.settings import load_settings
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline.trading_calendar import TIMEFRAME, Horizon, TradingCalendar
from paiid_pipeline.universe import DECISION_LAG

SETTINGS = load_settings({"PAIID_SOURCE": "alpaca"})
CALENDAR = TradingCalendar("XNYS")
DAY = date(2014, 6, 9)


def due(now: datetime, *symbols: str) -> pl.DataFrame:
    return decision_grid(symbols or ("AAPL",), [DAY], SETTINGS, now)


def test_a_decision_is_due_only_once_it_has_settled() -> None:
    moment = datetime(2014, 6, 9, 19, tzinfo=UTC)
    assert due(moment + timedelta(seconds=14))["as_of"].max() == moment - timedelta(minutes=5)
    assert due(moment + timedelta(seconds=15))["as_of"].max() == moment


@pytest.mark.parametrize("seconds", [0, 0.5, 37.5, 60, 900, 1200, 7200])
@pytest.mark.parametrize(("horizon", "step"), [("intraday", timedelta(minutes=1)), ("daily", timedelta(days=1))])
def test_a_late_feed_puts_decisions_off_and_leaves_none_without_its_newest_bar(
    seconds: float, horizon: Horizon, step: timedelta
) -> None:
    settings = load_settings({"PAIID_SOURCE": "alpaca", "PAIID_FEED_DELAY_SECONDS": str(seconds)})
    delay, moment = timedelta(seconds=seconds), datetime(2014, 6, 9, 20, tzinfo=UTC)
    due = decision_grid(["AAPL"], [DAY], settings, moment + settings.decision_lag)
    decision = due.filter((pl.col("horizon") == horizon) & (pl.col("as_of") == moment))
    rng = np.random.default_rng(1)
    ends = [moment - step * back for back in range(270)]
    bars = pl.DataFrame(
        [("AAPL", TIMEFRAME[horizon], end - step, end, p, p, p, p, 10.0, None, None, "x", end + delay, True)
         for end, p in zip(ends, (100 + rng.normal(0, 1, 270)).tolist(), strict=True)],
        schema=STORED_BARS, orient="row",
    )  # fmt: skip
    read, withheld = decide_indicators(bars, empty(STORED_CORPORATE_ACTIONS), decision, settings.max_bar_age)
    assert withheld.is_empty()
    assert (read["bar_end"][0], read["bars"][0]) == (moment, 270)
    # The refresh of the minute that finds the bar comes before the decision, and nothing that is known later counts.
    assert delay <= settings.decision_lag - DECISION_LAG < delay + timedelta(minutes=1)
    late = bars.with_columns(known_at=pl.col("known_at") + timedelta(minutes=1) + DECISION_LAG)
    read, _ = decide_indicators(late, empty(STORED_CORPORATE_ACTIONS), decision, settings.max_bar_age)
    assert read["bar_end"].to_list() in ([], [moment - step])
    until = rule_engine(settings)._validity(horizon, moment)
    assert until - CALENDAR.next_decision(horizon, moment) == settings.decision_lag - DECISION_LAG


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
    assert decision_grid(["AAPL"], [date(2014, 6, 8)], SETTINGS, datetime(2020, 1, 1, tzinfo=UTC)).is_empty()
    assert due(datetime(2014, 6, 9, 12, tzinfo=UTC)).is_empty()


def test_new_means_newer_than_the_newest_stored_of_the_same_symbol_and_horizon() -> None:
    rows = due(datetime(2014, 6, 9, 16, tzinfo=UTC), "AAPL", "TWX")
    stored = rows.filter(pl.col("symbol") == "AAPL").head(3).select("symbol", "horizon", "as_of")
    new = pending(rows, stored)
    assert new.schema == pl.Schema(DECISIONS)
    assert new.filter(pl.col("symbol") == "TWX").height == rows.filter(pl.col("symbol") == "TWX").height
    assert new.filter(pl.col("symbol") == "AAPL").height == rows.filter(pl.col("symbol") == "AAPL").height - 3
    assert pending(rows, rows).is_empty()


def test_reach_spans_all_the_decisions() -> None:
    rows = due(datetime(2014, 6, 9, 16, tzinfo=UTC), "TWX", "AAPL").filter(pl.col("horizon") == "intraday")
    span = read_range(rows)
    assert span.symbols == ["TWX", "AAPL"]
    assert (span.first, span.last) == (rows["as_of"].min(), rows["as_of"].max())
    assert span.known_by == span.last + timedelta(seconds=15)


MINUTE = timedelta(minutes=1)
BACK, PATIENCE = 100 * MINUTE, 10 * MINUTE


def _asked_minute_by_minute(covered: list[list[int]], moment: int) -> bool:
    window = range(moment - 100, moment - 10)
    return all(any(first <= minute < last for first, last in covered) for minute in window)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)).map(sorted), max_size=5))
def test_a_decision_goes_on_only_where_every_minute_of_its_look_back_was_asked_for(covered: list[list[int]]) -> None:
    rows = due(datetime(2014, 6, 9, 21, tzinfo=UTC)).filter(pl.col("horizon") == "intraday")
    start = rows["as_of"].min()
    assert isinstance(start, datetime)
    zero = start - 105 * MINUTE
    edges = sorted({-1000, 1000, *(edge for span in covered for edge in span)})
    gaps = [(a, b) for a, b in pairwise(edges) if not any(first <= a and b <= last for first, last in covered)]
    frame = pl.DataFrame(
        [("AAPL", zero + a * MINUTE, zero + b * MINUTE) for a, b in gaps],
        schema={"symbol": pl.String, "gap_start": rows.schema["as_of"], "gap_end": rows.schema["as_of"]},
        orient="row",
    )
    withheld = with_coverage_gap("news", rows, frame, BACK, PATIENCE)["as_of"].to_list()
    expected = [t for t in rows["as_of"] if not _asked_minute_by_minute(covered, int((t - zero) / MINUTE))]
    assert withheld == expected


def test_the_reason_names_the_first_moment_that_was_not_asked_for() -> None:
    rows = due(datetime(2014, 6, 9, 14, tzinfo=UTC), "AAPL", "TWX")
    first, last = rows["as_of"].min(), datetime(2014, 6, 9, 13, 50, tzinfo=UTC)
    moment = rows.schema["as_of"]
    gaps = pl.DataFrame(
        [("TWX", last - 20 * MINUTE, last)],
        schema={"symbol": pl.String, "gap_start": moment, "gap_end": moment},
        orient="row",
    )
    withheld = with_coverage_gap("news", rows, gaps, BACK, PATIENCE)
    assert set(withheld["symbol"]) == {"TWX"}
    assert set(withheld["reason"]) == {"news not asked for since 2014-06-09 13:30:00 UTC"}
    assert with_coverage_gap("news", rows, gaps.clear(), BACK, PATIENCE).is_empty()
    assert first is not None


def test_news_are_asked_for_as_far_back_as_a_session_that_starts_the_evening_before_hears_them() -> None:
    futures = TradingCalendar("CMES")
    session = futures.session(date(2026, 3, 10))
    assert session is not None
    assert session.open < futures.day_start(session.day)
    start, end = news_window(session.day, futures, timedelta(days=3))
    assert start <= session.open - timedelta(days=3)
    assert end >= session.close
