"""Who has no signal, and why, said in words; and prices that are a small part of a cent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl
import pytest

from paiid_pipeline.cli.query import priced
from paiid_pipeline.schemas import WITHHELD
from paiid_pipeline.serving.withheld import in_words, without_signal
from paiid_pipeline_tests.defs.world import START, World

T = datetime(2014, 6, 9, 20, tzinfo=UTC)


def test_symbols_with_the_same_reason_share_a_line() -> None:
    rows = [("A", "daily", T, "few"), ("B", "intraday", T, "few"), ("C", "daily", T, "few"), ("D", "daily", T, "old")]
    assert in_words(pl.DataFrame(rows, schema=WITHHELD, orient="row")) == [
        "no daily signal at 2014-06-09 20:00Z for A, C: few",
        "no intraday signal at 2014-06-09 20:00Z for B: few",
        "no daily signal at 2014-06-09 20:00Z for D: old",
    ]


def test_the_newest_decision_tells_who_is_missing_and_what_lies_in_quarantine(world: World) -> None:
    now, day = START + timedelta(seconds=20), START.date()
    world.everything(now, day)
    symbols = ["AAPL", "MSFT", "JPM", "KO"]
    settings = world.pipeline(now).settings
    assert without_signal(world.warehouse, settings, symbols, now).is_empty()
    world.execute(f"delete from market_bars where symbol = 'KO' and bar_end > '{START - timedelta(minutes=20)}'")
    world.execute("delete from signals where symbol in ('KO', 'JPM')")
    refused = pl.DataFrame(
        {"source": ["x"], "reason": ["close_outside_range"], "payload": ['{"symbol": "KO", "c": 1}']}
    )
    world.warehouse.quarantine.write(refused, now)
    found = {(row[0], row[1]): row[3] for row in without_signal(world.warehouse, settings, symbols, now).rows()}
    assert set(found) == {("KO", "intraday"), ("JPM", "intraday")}
    assert "1200 s before the decision; at most 900 s is allowed" in found["KO", "intraday"]
    assert found["KO", "intraday"].endswith("(bars of it were quarantined: close_outside_range)")
    assert found["JPM", "intraday"] == "it was not made; see the run of trading_signals"


@pytest.mark.parametrize(
    ("price", "shown"),
    [(1234.5, "1,234.50"), (1.0, "1.00"), (0.5, "0.5"), (0.0004, "0.0004"), (1.47e-6, "1.47e-06"), (None, "n/a")],
)
def test_a_price_below_one_keeps_its_digits(price: float | None, shown: str) -> None:
    assert priced(cast(float, price)) == shown
