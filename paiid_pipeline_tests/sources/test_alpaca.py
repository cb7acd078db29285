"""Alpaca's requests and answers, on the vendor's own samples."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from paiid_pipeline.sources import DataRequest
from paiid_pipeline_tests.sources.fake_vendor import Asking, Reply
from paiid_pipeline_tests.sources.scripted import BARS, NOW, OPEN, ask, bars, reasons, sample


def test_one_query_carries_many_symbols_and_all_that_the_vendor_needs_to_know() -> None:
    many = tuple(f"S{i}" for i in range(250))
    (got,), vendor = ask(lambda _: bars(), DataRequest("1Min", many, OPEN, NOW))
    assert sorted(len(asking.params["symbols"].split(",")) for asking in vendor.asked) == [50, 100, 100]
    params = vendor.asked[0].params
    assert params["end"] == "2014-06-09T18:59:59.999999Z"
    assert (params["adjustment"], params["feed"], params["limit"], params["sort"]) == ("raw", "iex", "10000", "asc")
    assert params["asof"] == "2014-06-09"
    assert got.failed_symbols == ()
    assert got.symbols_without_data == many


@pytest.mark.parametrize(
    "body",
    [[], "text", None, {"bars": []}, {"message": "odd"}, {"bars": {}, "next_page_token": 7}],
    ids=repr,
)
def test_json_of_another_shape_is_quarantined_whole(body: Any) -> None:
    (got,), _ = ask(lambda _: Reply(body), BARS)
    assert (reasons(got), got.failed_symbols) == (["unexpected_shape"], ("AAPL", "TWX"))
    assert json.loads(got.refusals["payload"][0]) == body


def test_no_bars_may_be_spelled_as_null() -> None:
    (got,), _ = ask(lambda _: Reply({"bars": None, "next_page_token": None}), BARS)
    assert (got.failed_symbols, got.refusals.height, got.symbols_without_data) == ((), 0, ("AAPL", "TWX"))


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
    assert (got.failed_symbols, got.pages) == ((), 2)


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
