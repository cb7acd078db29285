"""Fetching from a vendor that misbehaves: each fault has its outcome, and costs nothing but itself."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import DataRequest, Source, fetch, open_source
from paiid_pipeline.sources.alpaca import Alpaca
from paiid_pipeline.sources.http import VendorAccess
from paiid_pipeline_tests.sources.fake_vendor import SECRET, Asking, Reply, Vendor, serving
from paiid_pipeline_tests.sources.scripted import ACTIONS, BARS, NEWS, NOW, OPEN, XNYS, ask, bar, bars, paged, reasons


def test_pages_are_followed_to_the_end_even_short_empty_and_out_of_order_ones() -> None:
    pages = [bars("1", AAPL=[bar(2), bar(3)]), bars("2"), bars("3", AAPL=[bar(0)]), bars(AAPL=[bar(1)], TWX=[bar(0)])]
    (got,), vendor = ask(paged(*pages), BARS)
    assert got.rows.select("symbol", "bar_start").rows() == [
        *(("AAPL", OPEN + timedelta(minutes=minute)) for minute in range(4)), ("TWX", OPEN)]  # fmt: skip
    assert (got.failed_symbols, got.pages, got.requests, got.retries) == ((), 4, 4, 0)
    assert len(vendor.asked) == 4


def test_a_token_that_repeats_for_ever_stops_and_keeps_the_rows() -> None:
    (got,), vendor = ask(lambda _: bars("again", AAPL=[bar(0)]), BARS)
    assert got.rows.height == 1
    assert set(reasons(got)) == {"repeated_page_token", "duplicate_bar"}
    assert got.failed_symbols == ("AAPL", "TWX")
    assert len(vendor.asked) == 2


def test_ever_new_tokens_over_the_same_rows_stop_too() -> None:
    def endless(asking: Asking) -> Reply:
        return bars(str(asking.number), AAPL=[bar(minute) for minute in range(60)])

    (got,), _ = ask(endless, BARS)
    assert got.rows.height == 60
    assert "endless_pages" in reasons(got)
    assert got.failed_symbols


def test_an_unknown_symbol_that_the_vendor_names_costs_one_more_request() -> None:
    def answer(asking: Asking) -> Reply:
        if "TWX" in asking.params["symbols"]:
            return Reply({"message": "invalid symbol: TWX"}, status=400)
        return bars(AAPL=[bar(0)])

    (got,), vendor = ask(answer, BARS)
    assert (got.rows.height, reasons(got), got.failed_symbols) == (1, ["unknown_symbol"], ())
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
    assert got.failed_symbols == ()
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
    assert got.failed_symbols == ("AAPL", "TWX")
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
    assert (len(vendor.asked), got.failed_symbols) == (1, ("AAPL", "TWX"))


def test_malformed_json_is_quarantined_whole_and_the_other_kinds_arrive() -> None:
    def answer(asking: Asking) -> Reply:
        if asking.path == "/v2/stocks/bars":
            return Reply(raw=b'{"bars": {"AAPL": [')
        return Reply({"news": [], "next_page_token": None})

    (broken, fine), _ = ask(answer, BARS, NEWS)
    assert (reasons(broken), broken.failed_symbols) == (["malformed_json"], ("AAPL", "TWX"))
    assert json.loads(broken.refusals["payload"][0]) == '{"bars": {"AAPL": ['
    assert (broken.requests, broken.retries) == (3, 2)
    assert (fine.failed_symbols, fine.errors) == ((), ())


def test_a_page_with_nan_in_it_loses_only_that_row() -> None:
    text = json.dumps({"bars": {"AAPL": [bar(0), bar(1, float("nan"))]}, "next_page_token": None})
    (got,), _ = ask(lambda _: Reply(raw=text.encode()), BARS)
    assert (got.rows.height, reasons(got), got.failed_symbols) == (1, ["not_finite"], ())


def test_a_failure_in_the_middle_keeps_the_pages_before_it() -> None:
    (got,), _ = ask(paged(bars("1", AAPL=[bar(0)]), Reply(status=500)), BARS)
    assert got.rows.height == 1
    assert got.failed_symbols == ("AAPL", "TWX")
    assert "HTTP 500" in got.errors[0]


def test_one_failing_batch_of_symbols_does_not_fail_the_others() -> None:
    many = tuple(f"S{i:03}" for i in range(150))

    def answer(asking: Asking) -> Reply:
        named = asking.params["symbols"].split(",")
        return Reply(status=503) if "S149" in named else bars(**{symbol: [bar(0)] for symbol in named})

    (got,), _ = ask(answer, DataRequest("1Min", many, OPEN, NOW))
    assert got.rows["symbol"].n_unique() == 100
    assert got.failed_symbols == many[100:]


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


def test_kinds_and_symbols_are_requested_at_once() -> None:
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
        assert all(got.failed_symbols == () for got in fetch(source, [BARS, NEWS, ACTIONS], XNYS, NOW))


def test_an_empty_request_sends_nothing() -> None:
    answers, vendor = ask(
        lambda _: Reply(status=500), DataRequest("1Min", (), OPEN, NOW), DataRequest("news", ("A",), NOW, NOW)
    )
    assert [got.failed_symbols for got in answers] == [(), ()]
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


def test_the_synthetic_exchange_has_a_calendar_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"24/7.*XNYS"):
        fetch(load_settings({"PAIID_SOURCE_URL": "http://127.0.0.1:1"}), [BARS], XNYS, NOW)
