"""The bars that decisions read: daily ones with the minutes of the sessions where one is questionable."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from paiid_pipeline.decisions import ReadRange
from paiid_pipeline.technicals.minute_bars import BACK
from paiid_pipeline.warehouse import Warehouse
from paiid_pipeline_tests.warehouse.rows import LATER, MINUTE, T0, bar, bars

DAY, CLOSE = timedelta(days=1), T0 + timedelta(hours=6, minutes=30)
SYMBOLS = ["AAPL", "TWX"]


def daily(number: int, symbol: str, **other: Any) -> dict[str, Any]:
    """The bar of the session ``number`` days before that of `CLOSE`."""
    midnight, close = T0 - timedelta(hours=9, minutes=30) - DAY * number, CLOSE - DAY * number
    return bar(midnight, symbol=symbol, timeframe="1Day", bar_end=close, **other)


def handed(warehouse: Warehouse, horizon: Any = "daily", known_by: datetime = LATER) -> pl.DataFrame:
    span = ReadRange(SYMBOLS, CLOSE - DAY * 300, CLOSE, CLOSE, known_by)
    return warehouse.bars.for_decisions(span, horizon, CLOSE, known_by)


@pytest.fixture
def stored(warehouse: Warehouse) -> Warehouse:
    """Two minutes of each of 40 sessions and a daily bar, some of them out of line."""
    odd = {(1, "AAPL"): {"low": 20.0}, (2, "TWX"): {"high": 900.0}, (3, "TWX"): {"vwap": 400.0},
           (4, "AAPL"): {"vwap": 9.0}, (BACK.days + 1, "TWX"): {"low": 1.0}}  # fmt: skip
    rows = [daily(n, symbol, **odd.get((n, symbol), {})) for n in range(40) for symbol in SYMBOLS]
    starts = [moment - DAY * n for n in range(40) for moment in (T0, CLOSE - MINUTE)]
    rows += [bar(at, symbol=symbol) for at in starts for symbol in SYMBOLS]
    warehouse.bars.write(bars(*rows), LATER)
    return warehouse


def test_only_the_minutes_of_questionable_days_come_along_and_only_while_they_count(stored: Warehouse) -> None:
    found = handed(stored)
    minutes = found.filter(pl.col("timeframe") == "1Min")
    days = [
        ((T0.date() - day).days, symbol)
        for symbol, day in minutes.select("symbol", pl.col("bar_start").dt.date()).rows()
    ]
    assert sorted(days) == sorted([(1, "AAPL"), (2, "TWX"), (3, "TWX"), (4, "AAPL")] * 2)
    assert found.filter(pl.col("timeframe") == "1Day").height == 80


def test_no_minute_comes_along_that_was_not_known(stored: Warehouse) -> None:
    minutes = handed(stored, known_by=CLOSE - DAY - MINUTE).filter(pl.col("timeframe") == "1Min")
    assert minutes["known_at"].max() == CLOSE - 2 * DAY


def test_intraday_decisions_are_handed_minutes_alone(stored: Warehouse) -> None:
    assert handed(stored, "intraday")["timeframe"].unique().to_list() == ["1Min"]
