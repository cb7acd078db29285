"""Nothing of a vendor's bars is lost: each is kept, refused with a reason and in full, or counted as unfinished."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.quality.bars import BARS as RULES
from paiid_pipeline.quality.bars import ROUNDING
from paiid_pipeline.quality.rows import broken
from paiid_pipeline.schemas import BARS
from paiid_pipeline.sources.validation import as_json, check_bars
from paiid_pipeline.sources.validation.bars import ALSO_QUARANTINED
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline_tests.sources.validation.rows import (
    ALPACA,
    NOW,
    XNYS,
    asked,
    bar,
    check,
    reasons,
    stamps,
    values,
)


def test_a_good_bar_has_the_contracts_schema_and_ends_a_minute_later() -> None:
    rows = check(bar()).rows
    assert rows.schema == pl.Schema(BARS)
    row = rows.row(0, named=True)
    assert row["bar_end"] - row["bar_start"] == timedelta(minutes=1)
    assert (row["symbol"], row["timeframe"], row["source"]) == ("AAPL", "1Min", "test")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (bar(o="absent"), "missing_field"),
        (bar(c=None), "missing_field"),
        (bar(t="absent"), "missing_field"),
        (bar(v="absent"), "missing_field"),
        (bar(o="93.0"), "bad_type"),
        (bar(o=True), "bad_type"),
        (bar(h=[1]), "bad_type"),
        (bar(n="many"), "bad_type"),
        (bar(t=1402322400), "bad_type"),
        ("not a bar", "bad_type"),
        (bar(at="yesterday"), "bad_timestamp"),
        (bar(at="2014-06-09T14:00:00"), "bad_timestamp"),
        (bar(at="2014-06-09T14:00:00\0Z"), "bad_timestamp"),
        (bar(at="\ud800"), "bad_timestamp"),
        (bar(c=float("nan")), "not_finite"),
        (bar(h=float("inf")), "not_finite"),
        (bar(v=float("nan")), "not_finite"),
        (bar(c="NaN"), "not_finite"),
        (bar(h=10**400), "not_finite"),
        (bar(vw=float("nan")), "not_finite"),
        (bar(l=0), "non_positive_price"),
        (bar(o=-93.0), "non_positive_price"),
        (bar(v=-1), "negative_volume"),
        (bar(n=-1), "negative_volume"),
        (bar(h=92.0, l=93.0), "high_below_low"),
        (bar(c=94.0), "close_outside_range"),
        (bar(c=92.0), "close_outside_range"),
        (bar(at="2014-06-09T14:00:30Z"), "misaligned_timestamp"),
        (bar(at="2014-06-06T14:00:00Z"), "outside_request"),
        (bar(at="2014-06-09T19:30:00Z"), "future_timestamp"),
        (bar(at="2999-01-01T00:00:00Z"), "future_timestamp"),
        (bar(at="2014-06-09T13:29:00Z"), "outside_session"),
        (bar(at="2014-06-09T12:00:00Z"), "outside_session"),
    ],
)
def test_a_bad_bar_is_refused_in_full_and_the_good_one_beside_it_kept(row: object, reason: str) -> None:
    checked = check(bar("2014-06-09T14:01:00Z"), row)
    assert checked.rows.height == 1
    assert reasons(checked) == [reason]
    payload = json.loads(checked.refusals["payload"][0])
    expected = json.loads(as_json(row))
    assert payload == ({"symbol": "AAPL", **expected} if isinstance(expected, dict) else {"symbol": "AAPL", "row": row})


def test_the_close_is_no_part_of_the_session_and_the_open_is() -> None:
    late = asked(now=datetime(2014, 6, 10, tzinfo=UTC))
    checked = check(bar("2014-06-09T13:30:00Z"), bar("2014-06-09T19:59:00Z"), bar("2014-06-09T20:00:00Z"), of=late)
    assert checked.rows.height == 2
    assert reasons(checked) == ["outside_session"]


def test_a_bar_in_progress_is_left_out_and_counted() -> None:
    checked = check(bar("2014-06-09T18:59:00Z"), bar("2014-06-09T19:00:00Z"))
    assert checked.rows["bar_start"].to_list() == [datetime(2014, 6, 9, 18, 59, tzinfo=UTC)]
    assert (checked.in_progress, checked.refusals.height) == (1, 0)


def test_rounding_of_adjusted_prices_is_no_violation() -> None:
    assert check(bar(h=93.2 * (1 - 5e-7), c=93.2)).rows.height == 1


@pytest.mark.parametrize(("name", "edge"), [("c", "h"), ("c", "l"), ("o", "h"), ("o", "l")])
@pytest.mark.parametrize("beyond", [5e-7, 9.9e-7, 1.1e-6, 1e-5])
def test_what_ingestion_takes_no_check_of_the_same_rows_breaks_on(name: str, edge: str, beyond: float) -> None:
    """One tolerance wherever the rule stands; beyond it a close is refused, and an open is no price."""
    row = bar()
    row[name] = row[edge] * (1 + (beyond if edge == "h" else -beyond))
    taken = check(row).rows.with_columns(known_at="bar_end")
    assert taken.height == (name == "o" or beyond < ROUNDING)
    assert not any(broken(taken, RULES).values())


@pytest.mark.parametrize(
    "prices",
    [
        {"o": 93.51},
        {"o": 92.49},
        {"o": 200.0},
        {"o": 0.01},
        {"o": 25.05, "h": 25.04, "l": 25.04, "c": 25.04, "vw": 25.043},  # two trades, one of which sets no high
    ],
)
def test_an_open_outside_the_range_is_no_price_and_costs_nothing_else(prices: dict[str, float]) -> None:
    row = bar(**prices)
    checked = check(row)
    assert checked.rows.select("open", "high", "low", "close").row(0) == (None, row["h"], row["l"], row["c"])
    assert reasons(checked) == ["open_outside_range"]
    assert json.loads(checked.refusals["payload"][0]) == {"symbol": "AAPL", **row}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"l": 18.6}, "low_out_of_line"),
        ({"l": 0.01}, "low_out_of_line"),
        ({"h": 187.0}, "high_out_of_line"),
        ({"h": 9320.0}, "high_out_of_line"),
        ({"vw": 372.0}, "vwap_out_of_line"),
        ({"vw": 23.0}, "vwap_out_of_line"),
    ],
)
def test_what_is_out_of_line_within_a_bar_is_kept_and_noted(changes: dict[str, float], reason: str) -> None:
    checked = check(bar(**changes))
    assert reasons(checked) == [reason]
    names = {"l": "low", "h": "high", "vw": "vwap"}
    assert {checked.rows[names[name]][0] for name in changes} == set(changes.values())


def test_days_of_panic_and_prints_by_another_rule_are_not_out_of_line() -> None:
    """AIG on 2008-09-16 and -19, a flash crash, and a mean price two per cent above the high."""
    for o, h, low, c in ((1.75, 5.12, 1.25, 3.94), (4.2, 4.45, 2.5, 4.22), (16.0, 16.58, 9.7, 15.87)):
        assert reasons(check(bar(o=o, h=h, l=low, c=c, vw="absent"))) == []
    assert reasons(check(bar(vw=93.5 * 1.02))) == []


def test_nanoseconds_and_offsets_are_read_to_the_microsecond() -> None:
    checked = check(bar("2014-06-09T14:00:00.000000999Z"), bar("2014-06-09T10:01:00-04:00"))
    assert [moment.minute for moment in checked.rows["bar_start"]] == [0, 1]


def test_a_daily_bar_ends_at_its_sessions_close_whatever_its_start_says() -> None:
    days = asked("1Day", start=datetime(2014, 6, 1, 4, tzinfo=UTC), now=datetime(2014, 7, 4, tzinfo=UTC),
                 end=datetime(2014, 7, 4, tzinfo=UTC))  # fmt: skip
    checked = check(bar("2014-07-03T04:00:00Z"), bar("2014-06-09T05:00:00Z"), bar("2014-06-08T04:00:00Z"), of=days)
    assert checked.rows["bar_end"].to_list() == [
        datetime(2014, 7, 3, 17, tzinfo=UTC), datetime(2014, 6, 9, 20, tzinfo=UTC)]  # fmt: skip
    assert checked.rows["bar_start"][1] == datetime(2014, 6, 9, 4, tzinfo=UTC)
    assert reasons(checked) == ["outside_session"]


@pytest.mark.parametrize(
    ("stamp", "calendar"),
    [
        ("T05:00:00Z", XNYS), ("T00:00:00-05:00", XNYS), ("T00:00:00Z", XNYS), ("T04:00:00Z", XNYS),
        ("T01:00:00+01:00", XNYS), ("T08:00:00Z", XNYS), ("T14:30:00Z", XNYS), ("T21:00:00Z", XNYS),
        ("T00:00:00Z", TradingCalendar("XTKS")), ("T00:00:00+09:00", TradingCalendar("XTKS")),
        ("T00:00:00Z", TradingCalendar("XLON")), ("T00:00:00Z", TradingCalendar("CMES")),
        ("T06:00:00Z", TradingCalendar("CMES")), ("T00:00:00Z", TradingCalendar("24/7")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)  # fmt: skip
def test_a_daily_bar_is_of_the_date_it_means_by_whichever_midnight_it_is_stamped(
    stamp: str, calendar: TradingCalendar
) -> None:
    """Under the session before, its close would be known a day early; over a weekend, a clock change, a holiday."""
    dates = [date(2025, 10, 30), date(2025, 10, 31), date(2025, 11, 4), date(2025, 11, 26), date(2025, 11, 28)]
    days = asked("1Day", start=datetime(2025, 10, 29, 4, tzinfo=UTC), now=datetime(2025, 11, 30, tzinfo=UTC),
                 end=datetime(2025, 11, 30, tzinfo=UTC), calendar=calendar)  # fmt: skip
    checked = check(*(bar(f"{day}{stamp}", v=day.toordinal()) for day in dates), of=days)
    sessions = [calendar.session(date.fromordinal(int(volume))) for volume in checked.rows["volume"]]
    assert checked.rows["bar_end"].to_list() == [session and session.close for session in sessions]
    assert len(sessions) == len(dates)
    assert reasons(checked) == []


@pytest.mark.parametrize("stamp", ["2025-11-27T00:00:00Z", "2025-11-22T00:00:00Z", "2025-11-23T04:00:00Z"])
def test_a_daily_bar_of_a_day_without_a_session_is_not_given_to_the_one_before(stamp: str) -> None:
    days = asked("1Day", start=datetime(2025, 11, 17, 5, tzinfo=UTC), now=datetime(2025, 11, 29, tzinfo=UTC),
                 end=datetime(2025, 11, 29, tzinfo=UTC))  # fmt: skip
    assert reasons(check(bar(stamp), of=days)) == ["outside_session"]


def test_a_daily_bar_stamped_with_the_open_of_the_evening_before_is_of_the_next_date() -> None:
    futures = TradingCalendar("CMES")
    session = futures.session(date(2025, 11, 19))
    assert session is not None
    days = asked("1Day", start=datetime(2025, 11, 17, tzinfo=UTC), now=datetime(2025, 11, 21, tzinfo=UTC),
                 end=datetime(2025, 11, 21, tzinfo=UTC), calendar=futures)  # fmt: skip
    assert check(bar(session.open.isoformat()), of=days).rows["bar_end"].to_list() == [session.close]


def test_todays_daily_bar_is_in_progress_until_the_close() -> None:
    assert check(bar("2014-06-09T04:00:00Z"), of=asked("1Day")).in_progress == 1
    closed = asked("1Day", now=datetime(2014, 6, 9, 20, tzinfo=UTC))
    assert check(bar("2014-06-09T04:00:00Z"), of=closed).rows.height == 1


def test_bars_of_another_symbol_or_of_no_shape_are_refused_whole() -> None:
    of = asked()
    checked = check_bars({"MSFT": [bar()], "TWX": {"t": 1}, "\ud800": [1]}, ALPACA, of, of.sessions())
    assert sorted(reasons(checked)) == ["bad_type", "unrequested_symbol", "unrequested_symbol"]
    assert checked.rows.height == 0


wild_rows = st.one_of(
    values,
    st.fixed_dictionaries({}, optional={"t": stamps, **dict.fromkeys(("o", "h", "l", "c", "v", "n", "vw"), values)}),
    st.builds(bar, st.integers(0, 1439).map(lambda m: f"2014-06-09T{m // 60:02}:{m % 60:02}:00Z")),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(wild_rows, max_size=8))
def test_every_bar_is_found_once_whatever_it_holds(rows: list[Any]) -> None:
    checked = check(*rows)
    refused = checked.refusals.filter(~pl.col("reason").is_in(list(ALSO_QUARANTINED)))
    assert checked.rows.height + refused.height + checked.in_progress == len(rows)
    for payload in checked.refusals["payload"]:
        json.loads(payload)
        assert payload.isascii()
    kept = checked.rows
    assert not any(broken(kept.with_columns(known_at="bar_end"), RULES).values())
    assert kept.filter((pl.col("low") <= 0) | (pl.col("high") < pl.col("low")) | (pl.col("volume") < 0)).is_empty()
    assert kept.filter(pl.col("bar_end") > NOW).is_empty()
