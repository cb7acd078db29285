"""Nothing a vendor sends is lost: every row is kept, refused with a reason and in full, or counted as unfinished."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.quality import rows as quality
from paiid_pipeline.quality.rows import broken
from paiid_pipeline.schemas import BARS, CORPORATE_ACTIONS, NEWS, REFUSALS
from paiid_pipeline.sources.alpaca import _BARS as ALPACA
from paiid_pipeline.sources.validation import (
    DataKind,
    RequestScope,
    ValidatedPage,
    as_json,
    check_actions,
    check_bars,
    check_news,
    collapse,
)
from paiid_pipeline.sources.validation.bars import NOTED
from paiid_pipeline.trading_calendar import TradingCalendar

XNYS = TradingCalendar("XNYS")
DAY = date(2014, 6, 9)
START, NOW = datetime(2014, 6, 9, 4, tzinfo=UTC), datetime(2014, 6, 9, 19, 0, 30, tzinfo=UTC)


def asked(kind: DataKind = "1Min", **changes: Any) -> RequestScope:
    given_: dict[str, Any] = {"source": "test", "kind": kind, "symbols": frozenset({"AAPL", "TWX"}), "start": START,
                              "end": START + timedelta(days=1), "now": NOW, "calendar": XNYS}  # fmt: skip
    return RequestScope(**{**given_, **changes})


def bar(at: str = "2014-06-09T14:00:00Z", **changes: Any) -> dict[str, Any]:
    good = {"t": at, "o": 93.0, "h": 93.5, "l": 92.5, "c": 93.2, "v": 1000, "n": 10, "vw": 93.1}
    return {key: value for key, value in {**good, **changes}.items() if value != "absent"}


def check(*rows: object, of: RequestScope | None = None) -> ValidatedPage:
    yardstick = of or asked()
    return check_bars({"AAPL": list(rows)}, ALPACA, yardstick, yardstick.sessions())


def reasons(checked: ValidatedPage) -> list[str]:
    return checked.refusals["reason"].to_list()


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
    assert taken.height == (name == "o" or beyond < quality.ROUNDING)
    assert not any(broken(taken, quality.BARS).values())


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


def test_identical_copies_collapse_and_of_conflicting_ones_the_last_counts() -> None:
    pages = [check(bar(), bar("2014-06-09T14:05:00Z")), check(bar(), bar("2014-06-09T14:05:00Z", c=93.4))]
    together = collapse(pages, asked())
    assert together.rows["close"].to_list() == [93.2, 93.4]
    assert Counter(reasons(together)) == {"duplicate_bar": 1, "conflicting_duplicate": 1}
    by_reason = dict(zip(reasons(together), map(json.loads, together.refusals["payload"]), strict=True))
    assert by_reason["conflicting_duplicate"]["close"] == 93.2
    assert [row["copies"] for row in by_reason["duplicate_bar"]["rows"]] == [2]


def test_an_empty_answer_is_no_row() -> None:
    together = collapse([check()], asked())
    assert together.rows.schema == pl.Schema(BARS)
    assert together.refusals.schema == pl.Schema(REFUSALS)
    assert collapse([], asked("news")).rows.schema == pl.Schema(NEWS)


values = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10**30), st.floats(), st.text(max_size=5), st.just([1]), st.just({}),
    st.floats(1, 100), st.floats(1, 100),
)  # fmt: skip
stamps = st.one_of(values, st.integers(0, 259_200).map(lambda s: (START + timedelta(seconds=s)).isoformat()))
wild_rows = st.one_of(
    values,
    st.fixed_dictionaries({}, optional={"t": stamps, **dict.fromkeys(("o", "h", "l", "c", "v", "n", "vw"), values)}),
    st.builds(bar, st.integers(0, 1439).map(lambda m: f"2014-06-09T{m // 60:02}:{m % 60:02}:00Z")),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(wild_rows, max_size=8))
def test_every_bar_is_found_once_whatever_it_holds(rows: list[Any]) -> None:
    checked = check(*rows)
    refused = checked.refusals.filter(~pl.col("reason").is_in(list(NOTED)))
    assert checked.rows.height + refused.height + checked.in_progress == len(rows)
    for payload in checked.refusals["payload"]:
        json.loads(payload)
        assert payload.isascii()
    kept = checked.rows
    assert not any(broken(kept.with_columns(known_at="bar_end"), quality.BARS).values())
    assert kept.filter((pl.col("low") <= 0) | (pl.col("high") < pl.col("low")) | (pl.col("volume") < 0)).is_empty()
    assert kept.filter(pl.col("bar_end") > NOW).is_empty()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_order_and_size_of_pages_make_no_difference(data: st.DataObject) -> None:
    rows = [bar(f"2014-06-09T14:{minute:02}:00Z", c=92.6 + minute / 100) for minute in range(30)]
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.sets(st.integers(1, 29))))
    pages = [check(*shuffled[a:b]) for a, b in zip([0, *cuts], [*cuts, 30], strict=True)]
    assert collapse(pages, asked()).rows.equals(check(*rows).rows)


# --- news


def article(**changes: Any) -> dict[str, Any]:
    good = {
        "id": 7,
        "headline": "Apple splits its shares",
        "summary": "Seven for one.",
        "source": "wire",
        "url": "u",
        "symbols": ["AAPL", "QCOM"],
        "created_at": "2014-06-09T12:00:00Z",
        "updated_at": "2014-06-09T13:00:00Z",
    }
    return {key: value for key, value in {**good, **changes}.items() if value != "absent"}


def test_a_good_article_is_known_by_its_vendors_id_and_its_content() -> None:
    rows = check_news([article()], asked("news")).rows
    assert rows.schema == pl.Schema(NEWS)
    row = rows.row(0, named=True)
    assert row["article_id"] == "wire:7"
    assert row["symbols"] == ["AAPL", "QCOM"]
    assert row["updated_at"] == datetime(2014, 6, 9, 13, tzinfo=UTC)
    canonical = '["Apple splits its shares","Seven for one.",["AAPL","QCOM"]]'
    assert row["content_hash"] == sha256(canonical.encode()).hexdigest()


def test_an_edit_changes_the_hash_and_not_the_id_and_a_missing_id_is_made_of_the_content() -> None:
    def row(**changes: Any) -> dict[str, Any]:
        return check_news([article(**changes)], asked("news")).rows.row(0, named=True)

    assert row()["article_id"] == row(headline="Edited")["article_id"]
    assert row()["content_hash"] != row(headline="Edited")["content_hash"]
    assert row(id="absent")["article_id"].startswith("sha256:")
    assert row(id="absent") == row(id=None)
    assert row(id="absent")["article_id"] != row(id=None, headline="Other")["article_id"]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("text", "bad_type"),
        (article(headline=5), "bad_type"),
        (article(symbols="AAPL"), "bad_type"),
        (article(id=True), "bad_type"),
        (article(headline="absent"), "missing_field"),
        (article(symbols="absent"), "missing_field"),
        (article(created_at="absent"), "missing_field"),
        (article(headline="  \n"), "empty_headline"),
        (article(headline="x" * 65_537), "headline_too_long"),
        (article(headline="é" * 10_000_000), "headline_too_long"),
        (article(summary="x" * 1_100_000), "summary_too_long"),
        (article(created_at="noon"), "bad_timestamp"),
        (article(updated_at="2014-06-09T11:59:59Z"), "updated_before_created"),
        (article(updated_at="2014-06-09T19:00:31Z"), "future_timestamp"),
        (article(created_at="2014-06-08T01:00:00Z", updated_at="2014-06-08T01:00:00Z"), "outside_request"),
        (article(symbols=["MSFT"]), "unrequested_symbol"),
        (article(symbols=[]), "unrequested_symbol"),
    ],
    ids=lambda value: value if isinstance(value, str) else "item",
)
def test_a_bad_article_is_refused_in_full_and_the_good_one_beside_it_kept(item: object, reason: str) -> None:
    checked = check_news([article(id=8), item], asked("news"))
    assert checked.rows["article_id"].to_list() == ["wire:8"]
    assert reasons(checked) == [reason]
    assert json.loads(checked.refusals["payload"][0]) == item


def test_what_no_database_takes_is_replaced_in_the_article_and_kept_beside_it() -> None:
    odd = article(headline="Up\0 and \ud800away", summary="ok")
    checked = check_news([odd], asked("news"))
    assert checked.rows["headline"].to_list() == ["Up\ufffd and \ufffdaway"]
    assert reasons(checked) == ["characters_replaced"]
    assert "\0" not in checked.refusals["payload"][0]
    assert json.loads(checked.refusals["payload"][0]) == odd


wild_articles = st.one_of(
    values,
    st.fixed_dictionaries(
        {},
        optional={
            "id": values, "headline": st.one_of(values, st.text()), "summary": values, "url": values, "source": values,
            "symbols": st.one_of(values, st.lists(st.one_of(values, st.just("AAPL")))),
            "created_at": stamps, "updated_at": stamps,
        },
    ),
    st.builds(article, id=st.integers(), headline=st.text(), summary=st.text()),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(wild_articles, max_size=5))
def test_every_article_is_found_once_whatever_it_holds(items: list[Any]) -> None:
    checked = check_news(items, asked("news"))
    refused = [reason for reason in reasons(checked) if reason != "characters_replaced"]
    assert checked.rows.height + len(refused) == len(items)


# --- corporate actions


def action(kind: str, **fields: Any) -> dict[str, list[Any]]:
    return {kind: [{"id": "x1", "symbol": "AAPL", "ex_date": "2014-06-09", "process_date": "2014-06-09", **fields}]}


@pytest.mark.parametrize(
    ("delivered", "kind", "ratio", "amount"),
    [
        (action("forward_splits", new_rate=7, old_rate=1), "split", 7.0, None),
        (action("reverse_splits", new_rate=1, old_rate=20), "split", 0.05, None),
        (action("stock_dividends", rate=0.05), "stock_dividend", 1.05, None),
        (action("cash_dividends", rate=0.47), "cash_dividend", None, 0.47),
        (action("worthless_removals"), "worthless_removal", None, None),
    ],
)
def test_an_action_moves_the_price_as_its_kind_says(
    delivered: dict[str, list[Any]], kind: str, ratio: float | None, amount: float | None
) -> None:
    rows = check_actions(delivered, asked("actions")).rows
    assert rows.schema == pl.Schema(CORPORATE_ACTIONS)
    row = rows.row(0, named=True)
    assert (row["kind"], row["ratio"], row["amount"]) == (kind, ratio, amount)
    assert (row["ex_date"], row["effective_at"]) == (DAY, datetime(2014, 6, 9, 4, tzinfo=UTC))


@pytest.mark.parametrize(
    ("delivered", "reason"),
    [
        (action("forward_splits", new_rate=1, old_rate=1), "unit_ratio"),
        (action("forward_splits", new_rate=0, old_rate=1), "non_positive_rate"),
        (action("forward_splits", new_rate=7, old_rate=-1), "non_positive_rate"),
        (action("reverse_splits", new_rate=float("nan"), old_rate=1), "not_finite"),
        (action("forward_splits", new_rate=7), "missing_field"),
        (action("cash_dividends", rate="0.5"), "bad_type"),
        (action("cash_dividends", rate=0.5, ex_date="soon"), "bad_timestamp"),
        (action("cash_dividends", rate=0.5, ex_date=20140609), "bad_type"),
        (action("cash_dividends", rate=0.5, ex_date="2014-05-01", process_date="2014-05-01"), "outside_request"),
        (action("cash_dividends", rate=0.5, symbol="MSFT"), "unrequested_symbol"),
        (action("cash_dividends", rate=0.5, symbol=None), "missing_field"),
        ({"cash_dividends": "none"}, "bad_type"),
        ({"cash_dividends": ["none"]}, "bad_type"),
    ],
)
def test_a_bad_action_is_refused(delivered: dict[str, Any], reason: str) -> None:
    checked = check_actions(delivered, asked("actions"))
    assert checked.rows.is_empty()
    assert reasons(checked) == [reason]


def test_a_rename_is_filed_under_each_symbol_asked_for() -> None:
    rename = {"id": "r", "old_symbol": "AAPL", "new_symbol": "TWX", "process_date": "2014-06-09"}
    rows = check_actions({"name_changes": [rename]}, asked("actions")).rows
    assert rows.select("action_id", "symbol", "kind").rows() == [
        ("test:r", "AAPL", "name_change"), ("test:r:TWX", "TWX", "name_change")]  # fmt: skip


def test_a_company_that_changes_its_name_and_keeps_its_ticker_gives_up_no_ticker() -> None:
    change = {"id": "r", "old_symbol": "AAPL", "new_symbol": "AAPL", "process_date": "2014-06-09"}
    assert check_actions({"name_changes": [change]}, asked("actions")).rows["kind"].to_list() == [
        "same_ticker_name_change"
    ]


def test_an_action_announced_after_its_ex_date_is_still_taken() -> None:
    rows = check_actions(action("cash_dividends", rate=0.5, ex_date="2014-06-01"), asked("actions")).rows
    assert rows["ex_date"].to_list() == [date(2014, 6, 1)]


wild_actions = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("id", "rate", "new_rate", "old_rate"), values),
        **dict.fromkeys(("symbol", "old_symbol", "new_symbol"), st.one_of(values, st.just("AAPL"))),
        **dict.fromkeys(("ex_date", "process_date"), st.one_of(values, st.just("2014-06-09"))),
    },
)
kinds = st.sampled_from(["forward_splits", "reverse_splits", "stock_dividends", "cash_dividends", "spin_offs", "new"])


@settings(deadline=None, max_examples=150)
@given(kinds, st.lists(st.one_of(values, wild_actions), max_size=4))
def test_every_action_is_found_once_whatever_it_holds(kind: str, rows: list[Any]) -> None:
    of = asked("actions", symbols=frozenset({"AAPL"}))
    checked = check_actions({kind: rows}, of)
    assert checked.rows.height + checked.refusals.height == len(rows)
    assert checked.rows.filter((pl.col("ratio") <= 0) | (pl.col("amount") <= 0)).is_empty()


def test_copies_of_articles_and_actions_collapse_too() -> None:
    of = asked("news")
    pages = [check_news([article(), article(id=8)], of), check_news([article(), article(headline="Edited")], of)]
    together = collapse(pages, of)
    assert together.rows.select("article_id", "headline").rows() == [
        ("wire:7", "Edited"), ("wire:8", "Apple splits its shares")]  # fmt: skip
    assert sorted(reasons(together)) == ["conflicting_duplicate", "duplicate_article"]
    of = asked("actions")
    dividend = check_actions(action("cash_dividends", rate=0.5), of)
    assert collapse([dividend, dividend], of).rows.equals(dividend.rows)
