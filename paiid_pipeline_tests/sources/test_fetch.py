"""Fetching from a vendor that misbehaves: each fault has its outcome, and costs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import DataRequest, Fetched, Source, fetch, open_source
from paiid_pipeline.sources.alpaca import Alpaca
from paiid_pipeline.sources.http import VendorAccess
from paiid_pipeline.sources.tradier import Tradier
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline_tests.sources.fake_vendor import SECRET, Asking, FakeTime, Reply, Vendor, client, serving

XNYS = TradingCalendar("XNYS")
NOW = datetime(2014, 6, 9, 19, 0, tzinfo=UTC)
OPEN = datetime(2014, 6, 9, 13, 30, tzinfo=UTC)
BARS = DataRequest("1Min", ("AAPL", "TWX"), OPEN, NOW)
DAYS = DataRequest("1Day", ("AAPL",), datetime(2014, 6, 2, tzinfo=UTC), NOW)
NEWS = DataRequest("news", ("AAPL", "TWX"), OPEN, NOW)
ACTIONS = DataRequest("actions", ("AAPL", "TWX"), datetime(2014, 6, 2, 4, tzinfo=UTC), NOW)


def ask(
    answer: Callable[[Asking], Reply],
    *wanted: DataRequest,
    vendor: str = "alpaca",
    now: datetime = NOW,
    calendar: TradingCalendar = XNYS,
) -> tuple[list[Fetched], Vendor]:
    """Fetch from a scripted vendor, in no time."""
    scripted, time = Vendor(answer), FakeTime()
    with serving(scripted) as url:
        access = VendorAccess(url, {"Authorization": f"Bearer {SECRET}"}, "check PAIID_X", None)
        opened = Tradier(access) if vendor == "tradier" else Alpaca("alpaca", access, "iex")
        source = Source(opened, lambda a: client(a.base_url, time, a.per_minute, budget=5.0))
        return fetch(source, wanted, calendar, now), scripted


def bar(minute: int, price: float = 93.0) -> dict[str, Any]:
    at = OPEN + timedelta(minutes=minute)
    return {"t": f"{at:%Y-%m-%dT%H:%M:%SZ}", "o": price, "h": price, "l": price, "c": price, "v": 5}


def bars(token: str | None = None, **by_symbol: list[Any]) -> Reply:
    return Reply({"bars": by_symbol, "next_page_token": token})


def paged(*pages: Reply) -> Callable[[Asking], Reply]:
    """Page ``i`` under the token ``str(i)``."""
    return lambda asking: pages[int(asking.params.get("page_token", 0))]


def reasons(fetched: Fetched) -> list[str]:
    return fetched.refusals["reason"].to_list()


def test_pages_are_followed_to_the_end_even_short_empty_and_out_of_order_ones() -> None:
    pages = [bars("1", AAPL=[bar(2), bar(3)]), bars("2"), bars("3", AAPL=[bar(0)]), bars(AAPL=[bar(1)], TWX=[bar(0)])]
    (got,), vendor = ask(paged(*pages), BARS)
    assert got.rows.select("symbol", "bar_start").rows() == [
        *(("AAPL", OPEN + timedelta(minutes=minute)) for minute in range(4)), ("TWX", OPEN)]  # fmt: skip
    assert (got.complete, got.pages, got.requests, got.retries) == (True, 4, 4, 0)
    assert len(vendor.asked) == 4


def test_a_token_that_repeats_for_ever_stops_and_keeps_the_rows() -> None:
    (got,), vendor = ask(lambda _: bars("again", AAPL=[bar(0)]), BARS)
    assert got.rows.height == 1
    assert set(reasons(got)) == {"repeated_page_token", "duplicate_bar"}
    assert (got.complete, got.failed_symbols) == (False, ("AAPL", "TWX"))
    assert len(vendor.asked) == 2


def test_ever_new_tokens_over_the_same_rows_stop_too() -> None:
    def endless(asking: Asking) -> Reply:
        return bars(str(asking.number), AAPL=[bar(minute) for minute in range(60)])

    (got,), _ = ask(endless, BARS)
    assert got.rows.height == 60
    assert "endless_pages" in reasons(got)
    assert not got.complete


def test_one_query_carries_many_symbols_and_all_that_the_vendor_needs_to_know() -> None:
    many = tuple(f"S{i}" for i in range(250))
    (got,), vendor = ask(lambda _: bars(), DataRequest("1Min", many, OPEN, NOW))
    assert sorted(len(asking.params["symbols"].split(",")) for asking in vendor.asked) == [50, 100, 100]
    params = vendor.asked[0].params
    assert params["end"] == "2014-06-09T18:59:59.999999Z"
    assert (params["adjustment"], params["feed"], params["limit"], params["sort"]) == ("raw", "iex", "10000", "asc")
    assert params["asof"] == "2014-06-09"
    assert got.complete
    assert got.symbols_without_data == many


def test_an_unknown_symbol_that_the_vendor_names_costs_one_more_request() -> None:
    def answer(asking: Asking) -> Reply:
        if "TWX" in asking.params["symbols"]:
            return Reply({"message": "invalid symbol: TWX"}, status=400)
        return bars(AAPL=[bar(0)])

    (got,), vendor = ask(answer, BARS)
    assert (got.rows.height, reasons(got), got.complete) == (1, ["unknown_symbol"], True)
    assert json.loads(got.refusals["payload"][0]) == {"symbol": "TWX", "message": "invalid symbol: TWX"}
    assert len(vendor.asked) == 2


@pytest.mark.parametrize("status", [400, 404, 422])
def test_an_unknown_symbol_that_the_vendor_does_not_name_is_found_by_halves(status: int) -> None:
    many = tuple(f"S{i:02}" for i in range(40))

    def answer(asking: Asking) -> Reply:
        named = asking.params["symbols"].split(",")
        if "S17" in named or "S31" in named:
            return Reply({"message": "bad request"}, status=status)
        return bars(**{symbol: [bar(0)] for symbol in named})

    (got,), vendor = ask(answer, DataRequest("1Min", many, OPEN, NOW))
    refused = [json.loads(payload)["symbol"] for payload in got.refusals["payload"]]
    assert sorted(refused) == ["S17", "S31"]
    assert got.rows["symbol"].n_unique() == 38
    assert got.complete
    assert len(vendor.asked) < 25


def test_a_symbol_whose_letters_are_part_of_another_is_not_blamed_for_it() -> None:
    def answer(asking: Asking) -> Reply:
        if "BRK.B" in asking.params["symbols"].split(","):
            return Reply({"message": "invalid symbol: BRK.B"}, status=400)
        return bars(BRK=[bar(0)], B=[bar(0)])

    (got,), _ = ask(answer, DataRequest("1Min", ("B", "BRK", "BRK.B"), OPEN, NOW))
    assert sorted(got.rows["symbol"]) == ["B", "BRK"]


def test_a_request_that_is_refused_for_every_symbol_is_an_error_and_no_list_of_unknown_symbols() -> None:
    (got,), _ = ask(lambda _: Reply({"message": "start is in the past"}, status=400), BARS)
    assert (got.complete, got.failed_symbols) == (False, ("AAPL", "TWX"))
    assert "unknown_symbol" not in reasons(got)
    assert "start is in the past" in got.errors[0]


def test_a_request_that_is_refused_for_each_of_many_symbols_is_given_up_early() -> None:
    many = tuple(f"S{i:02}" for i in range(100))
    (got,), vendor = ask(lambda _: Reply({"message": "no"}, status=400), DataRequest("1Min", many, OPEN, NOW))
    assert got.failed_symbols == many
    assert len(vendor.asked) < 30


def test_a_redirect_is_an_error_at_once() -> None:
    (got,), vendor = ask(lambda _: Reply({}, status=302, headers={"location": "/elsewhere"}), BARS)
    assert "HTTP 302" in got.errors[0]
    assert (len(vendor.asked), got.complete) == (1, False)


def test_malformed_json_is_filed_whole_and_the_other_kinds_arrive() -> None:
    def answer(asking: Asking) -> Reply:
        if asking.path == "/v2/stocks/bars":
            return Reply(raw=b'{"bars": {"AAPL": [')
        return Reply({"news": [], "next_page_token": None})

    (broken, fine), _ = ask(answer, BARS, NEWS)
    assert (reasons(broken), broken.complete) == (["malformed_json"], False)
    assert json.loads(broken.refusals["payload"][0]) == '{"bars": {"AAPL": ['
    assert (broken.requests, broken.retries) == (3, 2)
    assert (fine.complete, fine.errors) == (True, ())


@pytest.mark.parametrize(
    "body",
    [[], "text", None, {"bars": []}, {"message": "odd"}, {"bars": {}, "next_page_token": 7}],
    ids=repr,
)
def test_json_of_another_shape_is_filed_whole(body: Any) -> None:
    (got,), _ = ask(lambda _: Reply(body), BARS)
    assert (reasons(got), got.complete) == (["unexpected_shape"], False)
    assert json.loads(got.refusals["payload"][0]) == body


def test_no_bars_may_be_spelled_as_null() -> None:
    (got,), _ = ask(lambda _: Reply({"bars": None, "next_page_token": None}), BARS)
    assert (got.complete, got.refusals.height, got.symbols_without_data) == (True, 0, ("AAPL", "TWX"))


def test_a_page_with_nan_in_it_loses_only_that_row() -> None:
    text = json.dumps({"bars": {"AAPL": [bar(0), bar(1, float("nan"))]}, "next_page_token": None})
    (got,), _ = ask(lambda _: Reply(raw=text.encode()), BARS)
    assert (got.rows.height, reasons(got), got.complete) == (1, ["not_finite"], True)


def test_a_failure_in_the_middle_keeps_the_pages_before_it() -> None:
    (got,), _ = ask(paged(bars("1", AAPL=[bar(0)]), Reply(status=500)), BARS)
    assert got.rows.height == 1
    assert (got.complete, got.failed_symbols) == (False, ("AAPL", "TWX"))
    assert "HTTP 500" in got.errors[0]


def test_one_failing_batch_of_symbols_does_not_fail_the_others() -> None:
    many = tuple(f"S{i:03}" for i in range(150))

    def answer(asking: Asking) -> Reply:
        named = asking.params["symbols"].split(",")
        return Reply(status=503) if "S149" in named else bars(**{symbol: [bar(0)] for symbol in named})

    (got,), _ = ask(answer, DataRequest("1Min", many, OPEN, NOW))
    assert got.rows["symbol"].n_unique() == 100
    assert got.failed_symbols == many[100:]


def test_denial_names_the_variables_and_hides_the_keys() -> None:
    (got,), vendor = ask(lambda _: Reply({"message": "forbidden."}, status=403), BARS)
    assert "PAIID_TEST_TOKEN" in got.errors[0]
    assert SECRET not in repr(got)
    assert vendor.asked[0].headers["authorization"] == f"Bearer {SECRET}"
    assert not got.complete


def test_an_article_about_symbols_of_two_batches_is_one_article_and_no_duplicate() -> None:
    many = tuple(f"S{i:03}" for i in range(150))
    item = {
        "id": 1,
        "headline": "Both",
        "symbols": ["S000", "S149"],
        "source": "w",
        "created_at": "2014-06-09T14:00:00Z",
    }
    (got,), _ = ask(lambda _: Reply({"news": [item], "next_page_token": None}), DataRequest("news", many, OPEN, NOW))
    assert (got.rows.height, got.refusals.height) == (1, 0)


def test_a_ten_megabyte_headline_is_refused_whole_and_the_page_kept() -> None:
    def item(number: int, headline: str) -> dict[str, Any]:
        return {"id": number, "headline": headline, "symbols": ["AAPL"], "created_at": "2014-06-09T14:00:00Z"}

    page = {"news": [item(1, "fine"), item(2, "x" * 10_000_000)], "next_page_token": None}
    (got,), _ = ask(lambda _: Reply(page), NEWS)
    assert got.rows["headline"].to_list() == ["fine"]
    assert reasons(got) == ["headline_too_long"]
    assert len(json.loads(got.refusals["payload"][0])["headline"]) == 10_000_000


def test_kinds_and_symbols_are_asked_for_at_once() -> None:
    """A vendor that answers nobody before all three have asked would hang a client that asks one by one."""
    import threading

    together = threading.Barrier(3, timeout=20)

    def answer(asking: Asking) -> Reply:
        field = {"/v1beta1/news": "news", "/v1/corporate-actions": "corporate_actions"}.get(asking.path, "bars")
        return Reply({field: [] if field == "news" else {}, "next_page_token": None})

    class Waiting(Vendor):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            import asyncio

            await asyncio.to_thread(together.wait)
            await super().__call__(scope, receive, send)

    with serving(Waiting(answer)) as url:
        source = Source(Alpaca("alpaca", VendorAccess(url, {}, "none", None), "iex"))
        assert all(got.complete for got in fetch(source, [BARS, NEWS, ACTIONS], XNYS, NOW))


def test_an_empty_wish_asks_nothing() -> None:
    answers, vendor = ask(
        lambda _: Reply(status=500), DataRequest("1Min", (), OPEN, NOW), DataRequest("news", ("A",), NOW, NOW)
    )
    assert [got.complete for got in answers] == [True, True]
    assert vendor.asked == []


def test_a_moment_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="UTC offset"):
        DataRequest("1Min", ("A",), datetime(2014, 6, 9), NOW)  # noqa: DTZ001


# --- opening


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({}, "PAIID_SOURCE_URL"),
        ({"PAIID_SOURCE": "alpaca"}, "PAIID_ALPACA_KEY_ID"),
        ({"PAIID_SOURCE": "alpaca", "PAIID_ALPACA_KEY_ID": "k"}, "PAIID_ALPACA_SECRET_KEY"),
        ({"PAIID_SOURCE": "tradier"}, "PAIID_TRADIER_TOKEN"),
    ],
)
def test_what_is_missing_is_named(env: dict[str, str], variable: str) -> None:
    with pytest.raises(LookupError, match=variable):
        open_source(load_settings(env))


def test_a_source_shows_no_key() -> None:
    env = {"PAIID_SOURCE": "alpaca", "PAIID_ALPACA_KEY_ID": SECRET, "PAIID_ALPACA_SECRET_KEY": SECRET}
    source = open_source(load_settings(env))
    assert SECRET not in repr(source)
    assert source.vendor.access.base_url == "https://data.alpaca.markets"
    assert source.vendor.access.headers["APCA-API-KEY-ID"] == SECRET


def test_tradier_has_no_news() -> None:
    source = open_source(load_settings({"PAIID_SOURCE": "tradier", "PAIID_TRADIER_TOKEN": "t"}))
    assert source.provides == {"1Min", "1Day"}
    with pytest.raises(ValueError, match="tradier does not provide 'news'"):
        fetch(source, [NEWS], XNYS, NOW)


def test_the_synthetic_exchange_has_a_calendar_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"24/7.*XNYS"):
        fetch(load_settings({"PAIID_SOURCE_URL": "http://127.0.0.1:1"}), [BARS], XNYS, NOW)


# --- the vendors' own samples


def sample(data_dir: Path, name: str) -> Any:
    return json.loads((data_dir / "vendor_shapes" / name).read_text())


def test_alpacas_sample_of_bars(data_dir: Path) -> None:
    page = {**sample(data_dir, "alpaca_v2_stocks_bars.json"), "next_page_token": None}
    wanted = DataRequest("1Day", ("AAPL",), datetime(2022, 2, 1, 5, tzinfo=UTC), datetime(2022, 2, 3, 5, tzinfo=UTC))
    (got,), _ = ask(lambda _: Reply(page), wanted, now=datetime(2022, 3, 1, tzinfo=UTC))
    assert got.rows["close"].to_list() == [174.61, 175.84]
    assert got.rows["bar_end"][0] == datetime(2022, 2, 1, 21, tzinfo=UTC)
    assert got.rows["trade_count"][0] == 732412
    assert got.refusals.is_empty()


def test_alpacas_sample_of_news_over_two_pages(data_dir: Path) -> None:
    first, second = (sample(data_dir, f"alpaca_v1beta1_news_page{page}.json") for page in (1, 2))

    def answer(asking: Asking) -> Reply:
        return Reply(second if asking.params.get("page_token") == first["next_page_token"] else first)

    wanted = DataRequest("news", ("QCOM", "CWAN"), datetime(2024, 8, 1, tzinfo=UTC), datetime(2024, 12, 1, tzinfo=UTC))
    (got,), _ = ask(answer, wanted, now=datetime(2025, 1, 1, tzinfo=UTC))
    assert got.rows["article_id"].to_list() == ["benzinga:41799100", "source:40432158"]
    assert (got.complete, got.pages) == (True, 2)


def test_alpacas_sample_of_corporate_actions(data_dir: Path) -> None:
    page = {**sample(data_dir, "alpaca_v1_corporate_actions.json"), "next_page_token": None}
    named = {
        value for rows in page["corporate_actions"].values() for row in rows for key, value in row.items()
        if key.endswith("symbol")
    }  # fmt: skip
    wanted = DataRequest(
        "actions", tuple(sorted(named)), datetime(2023, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    )
    (got,), _ = ask(lambda _: Reply(page), wanted, now=datetime(2025, 1, 1, tzinfo=UTC))
    assert got.refusals.is_empty()
    assert got.rows["kind"].n_unique() == 12  # of 13 in the sample: both directions of a split are one
    moves = {row["symbol"]: (row["kind"], row["ratio"], row["amount"]) for row in got.rows.iter_rows(named=True)}
    assert moves["MNTS"] == ("split", 0.02, None)
    assert moves["SRE"] == ("split", 2.0, None)
    assert moves["MSBC"] == ("stock_dividend", 1.05, None)
    assert moves["FCF"] == ("cash_dividend", None, 0.125)
    assert moves["JUPW"] == ("spin_off", None, None)
    assert moves["EXR"] == moves["LSI"] == ("stock_merger", None, None)


TRADIER_DAYS = DataRequest("1Day", ("AAPL",), datetime(2019, 1, 1, tzinfo=UTC), datetime(2019, 1, 31, tzinfo=UTC))


@pytest.mark.parametrize(("suffix", "closes"), [("", [157.92, 142.19]), ("_one_day", [157.92]), ("_empty", [])])
def test_tradiers_samples_of_history(data_dir: Path, suffix: str, closes: list[float]) -> None:
    page = sample(data_dir, f"tradier_v1_markets_history{suffix}.json")
    (got,), vendor = ask(lambda _: Reply(page), TRADIER_DAYS, vendor="tradier", now=datetime(2020, 1, 1, tzinfo=UTC))
    assert got.rows["close"].to_list() == closes
    assert (got.complete, got.refusals.height) == (True, 0)
    assert got.symbols_without_data == (() if closes else ("AAPL",))
    assert vendor.asked[0].params == {
        "interval": "daily", "start": "2018-12-31", "end": "2019-01-30", "symbol": "AAPL"}  # fmt: skip
    assert vendor.asked[0].headers["accept"] == "application/json"


@pytest.mark.parametrize("empty", [None, "null", {"day": None}, {"day": []}])
def test_tradier_has_many_words_for_nothing(empty: Any) -> None:
    (got,), _ = ask(lambda _: Reply({"history": empty}), TRADIER_DAYS, vendor="tradier")
    assert (got.complete, got.symbols_without_data) == (True, ("AAPL",))


def test_tradiers_sample_of_timesales(data_dir: Path) -> None:
    page = sample(data_dir, "tradier_v1_markets_timesales.json")
    start = datetime(2019, 5, 9, 13, 30, tzinfo=UTC)
    wanted = DataRequest("1Min", ("AAPL",), start, start + timedelta(hours=6.5))
    (got,), vendor = ask(lambda _: Reply(page), wanted, vendor="tradier", now=datetime(2020, 1, 1, tzinfo=UTC))
    assert got.rows["bar_start"].to_list() == [start, start + timedelta(minutes=1)]
    assert got.rows["vwap"][0] == 199.77806
    assert vendor.asked[0].params["start"] == "2019-05-09 09:30"
    assert vendor.asked[0].params["end"] == "2019-05-09 15:59"


def test_one_unknown_symbol_at_tradier_costs_nobody_else() -> None:
    def answer(asking: Asking) -> Reply:
        if asking.params["symbol"] == "NOPE":
            return Reply({"fault": "invalid symbol"}, status=400)
        return Reply({"history": {"day": {"date": "2019-01-02", **dict.fromkeys(("open", "high", "low", "close"), 5.0),
                                          "volume": 1}}})  # fmt: skip

    wanted = DataRequest("1Day", ("AAPL", "NOPE"), TRADIER_DAYS.start, TRADIER_DAYS.end)
    (got,), _ = ask(answer, wanted, vendor="tradier", now=datetime(2020, 1, 1, tzinfo=UTC))
    assert (got.rows.height, reasons(got), got.complete) == (1, ["unknown_symbol"], True)


def test_a_daily_bar_of_today_is_in_progress_until_the_close() -> None:
    reply = bars(AAPL=[{**bar(0), "t": "2014-06-09T04:00:00Z"}, {**bar(0), "t": "2014-06-06T04:00:00Z"}])
    (got,), _ = ask(lambda _: reply, DAYS)
    assert got.rows["bar_end"].to_list() == [datetime(2014, 6, 6, 20, tzinfo=UTC)]
    assert (got.in_progress, got.complete) == (1, True)
