"""Tradier's requests and answers, on the vendor's own samples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import DataRequest, fetch, open_source
from paiid_pipeline_tests.sources.fake_vendor import Reply
from paiid_pipeline_tests.sources.scripted import NEWS, NOW, XNYS, ask, sample

TRADIER_DAYS = DataRequest("1Day", ("AAPL",), datetime(2019, 1, 1, tzinfo=UTC), datetime(2019, 1, 31, tzinfo=UTC))


def test_tradier_has_no_news() -> None:
    source = open_source(load_settings({"PAIID_SOURCE": "tradier", "PAIID_TRADIER_TOKEN": "t"}))
    assert source.provides == {"1Min", "1Day"}
    with pytest.raises(ValueError, match="tradier does not provide 'news'"):
        fetch(source, [NEWS], XNYS, NOW)


@pytest.mark.parametrize(("suffix", "closes"), [("", [157.92, 142.19]), ("_one_day", [157.92]), ("_empty", [])])
def test_tradiers_samples_of_history(data_dir: Path, suffix: str, closes: list[float]) -> None:
    page = sample(data_dir, f"tradier_v1_markets_history{suffix}.json")
    (got,), vendor = ask(lambda _: Reply(page), TRADIER_DAYS, vendor="tradier", now=datetime(2020, 1, 1, tzinfo=UTC))
    assert got.rows["close"].to_list() == closes
    assert (got.failed_symbols, got.refusals.height) == ((), 0)
    assert got.symbols_without_data == (() if closes else ("AAPL",))
    assert vendor.asked[0].params == {
        "interval": "daily", "start": "2018-12-31", "end": "2019-01-30", "symbol": "AAPL"}  # fmt: skip
    assert vendor.asked[0].headers["accept"] == "application/json"


@pytest.mark.parametrize("empty", [None, "null", {"day": None}, {"day": []}])
def test_tradier_has_several_spellings_of_no_rows(empty: Any) -> None:
    (got,), _ = ask(lambda _: Reply({"history": empty}), TRADIER_DAYS, vendor="tradier")
    assert (got.failed_symbols, got.symbols_without_data) == ((), ("AAPL",))


def test_tradiers_sample_of_timesales(data_dir: Path) -> None:
    page = sample(data_dir, "tradier_v1_markets_timesales.json")
    start = datetime(2019, 5, 9, 13, 30, tzinfo=UTC)
    wanted = DataRequest("1Min", ("AAPL",), start, start + timedelta(hours=6.5))
    (got,), vendor = ask(lambda _: Reply(page), wanted, vendor="tradier", now=datetime(2020, 1, 1, tzinfo=UTC))
    assert got.rows["bar_start"].to_list() == [start, start + timedelta(minutes=1)]
    assert got.rows["vwap"][0] == 199.77806
    assert vendor.asked[0].params["start"] == "2019-05-09 09:30"
    assert vendor.asked[0].params["end"] == "2019-05-09 15:59"
