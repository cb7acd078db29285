"""Bars out of line with their neighbours: waited for, then left out or believed; and what really happened passes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import DECISIONS, STORED_BARS, STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline.technicals.suspect_bars import LATER_BARS
from paiid_pipeline_tests.lookahead.histories import DECISION_LAG, MAX_AGE, OPEN

DAY = timedelta(days=1)
COUNT = 300
NO_ACTIONS = empty(STORED_CORPORATE_ACTIONS)
Change = dict[int, dict[str, Any]]
"""Of some bars, counted from the first: what is written over."""


def series(count: int = COUNT, seed: int = 4, level: float = 66.0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    close = level * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opens = np.concatenate([close[:1], close[:-1]])
    columns = {
        "open": opens,
        "high": np.maximum(opens, close) * 1.004,
        "low": np.minimum(opens, close) * 0.996,
        "close": close,
        "vwap": (opens + close) / 2,
        "volume": rng.lognormal(13, 0.3, count),
    }
    return {name: column.tolist() for name, column in columns.items()}


def bars(change: Change, times: dict[int, float] | None = None, count: int = COUNT) -> pl.DataFrame:
    """Daily bars; ``change`` is written over them, and the prices of ``times`` are multiplied."""
    columns = series(count)
    for bar, factor in (times or {}).items():
        for name in ("open", "high", "low", "close", "vwap"):
            columns[name][bar] *= factor
    for bar, values in change.items():
        for name, value in values.items():
            columns[name][bar] = value
    starts = [OPEN + DAY * (bar - count) for bar in range(count)]
    frame = pl.DataFrame({"bar_start": starts, **columns}, strict=False)
    return frame.with_columns(
        symbol=pl.lit("S0"), timeframe=pl.lit("1Day"), bar_end=pl.col("bar_start") + DAY,
        known_at=pl.col("bar_start") + DAY, trade_count=None, source=pl.lit("test"), nominal=pl.lit(True),
    ).select(pl.col(name).cast(kind) for name, kind in STORED_BARS.items())  # fmt: skip


def decisions(last: int = COUNT, first: int = 255) -> pl.DataFrame:
    """A decision at the end of each bar from the ``first`` to the ``last``, all sharing one history."""
    moments = [OPEN + DAY * (bar - COUNT) for bar in range(first, last + 1)]
    rows = [("S0", "daily", at, at + DECISION_LAG, OPEN.date(), OPEN + DAY, OPEN - 900 * DAY) for at in moments]
    return pl.DataFrame(rows, schema=DECISIONS, orient="row")


def decide(frame: pl.DataFrame, actions: pl.DataFrame = NO_ACTIONS) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """What each decision reads and why others are withheld, by how many bars had ended."""
    read, withheld = decide_indicators(frame, actions, decisions(), MAX_AGE)
    number = ((pl.col("as_of") - OPEN).dt.total_days() + COUNT).alias("number")
    rows = {row["number"]: row for row in read.with_columns(number).to_dicts()}
    return rows, dict(withheld.select(number, "reason").rows())


PLAIN, _ = decide(bars({}))
BAD = 280
WAITING = list(range(BAD + 1, BAD + 1 + LATER_BARS))


@pytest.mark.parametrize(
    "change",
    [
        {"low": 13.19},
        {"low": 0.01},
        {"low": 25.0},
        {"high": 200.0},
        {"high": 6600.0},
        {"vwap": 221.9},
        {"vwap": 6.0},
        {"open": None, "low": 13.19},
        {"open": 13.0, "low": 12.9},
    ],
    ids=str,
)
def test_a_price_that_nothing_else_went_near_halts_its_symbol_and_is_then_no_part_of_its_bar(
    change: dict[str, Any],
) -> None:
    rows, withheld = decide(bars({BAD: change}))
    assert sorted(withheld) == WAITING
    for reason in withheld.values():
        assert "waiting for later bars to confirm it" in reason
        assert all(f"a {name} of {value:.8g}" in reason for name, value in change.items() if name != "open")
    assert set(rows) == set(PLAIN) - set(WAITING)
    for number, row in rows.items():
        for name in ("rsi_14", "macd", "bb_upper", "obv"):
            assert row[name] == PLAIN[number][name], (number, name)
        for name in ("atr_14", "vwap_distance", "adx_14"):
            assert row[name] == pytest.approx(PLAIN[number][name], rel=0.2, abs=0.01), (number, name)


@pytest.mark.parametrize("factor", [100.0, 0.01, 1000.0, 10.0, 0.2, 5.0])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_prices_of_another_unit_are_left_out_once_they_have_come_back(factor: float, length: int) -> None:
    spoilt = bars({}, dict.fromkeys(range(BAD, BAD + length), factor))
    rows, withheld = decide(spoilt)
    assert sorted(withheld) == list(range(BAD + 1, BAD + 1 + length))
    assert all("times the one before: waiting for later bars" in reason for reason in withheld.values())
    bad = [OPEN + DAY * (bar - COUNT) for bar in range(BAD, BAD + length)]
    without, _ = decide(bars({}).filter(~pl.col("bar_start").is_in(bad)))
    for number in range(BAD + length + 1, COUNT + 1):
        assert rows[number] == without[number]


@pytest.mark.parametrize("factor", [100.0, 0.01, 25.0])
def test_a_price_of_another_unit_that_stays_is_never_read_with_what_was_before(factor: float) -> None:
    """With 250 bars of its own it is a series like any other; until then nobody knows what it is worth."""
    rows, withheld = decide(bars({}, dict.fromkeys(range(270, COUNT), factor)))
    assert sorted(withheld) == list(range(271, COUNT + 1))
    assert "waiting for later bars" in withheld[271]
    assert "in another unit or after an action that is not known" in withheld[COUNT]
    late, none = decide(bars({}, dict.fromkeys(range(40), factor)))
    alone, _ = decide(bars({}).tail(COUNT - 40))
    assert {number for number in none} == set(range(255, 290))
    assert late == alone
    assert max(rows) == 270


@pytest.mark.parametrize("factor", [0.48, 0.42, 0.52, 1.77, 3.0, 0.3])
def test_a_crash_or_a_jump_that_has_happened_before_passes_at_once(factor: float) -> None:
    _, withheld = decide(bars({}, dict.fromkeys(range(BAD, COUNT), factor)))
    assert withheld == {}


@pytest.mark.parametrize("factor", [0.09, 0.2, 6.0])
def test_a_greater_one_passes_once_later_bars_have_stayed(factor: float) -> None:
    spoilt = bars({}, dict.fromkeys(range(BAD, COUNT), factor))
    rows, withheld = decide(spoilt)
    assert sorted(withheld) == WAITING
    assert rows[COUNT]["bars"] == COUNT


def test_a_low_that_is_reached_again_was_real() -> None:
    low = {BAD: {"low": 20.0}, BAD + 2: {"low": 21.0}}
    rows, withheld = decide(bars(low))
    assert rows[COUNT]["atr_14"] > 1.5 * PLAIN[COUNT]["atr_14"]
    assert set(withheld) <= set(WAITING)


@pytest.mark.parametrize("ratio", [10.0, 0.05, 100.0])
def test_a_split_that_is_known_is_no_jump_and_one_that_is_wrong_is_not_the_bars_fault(ratio: float) -> None:
    ex = OPEN + DAY * (BAD - COUNT)
    row = ("a", "S0", "split", ex.date(), ex, ratio, None, "test", ex - DAY, True)
    action = pl.DataFrame([row], schema=STORED_CORPORATE_ACTIONS, orient="row")
    _, withheld = decide(bars({}, dict.fromkeys(range(BAD, COUNT), 1 / ratio)), action)
    assert withheld == {}
    assert decide(bars({}), action)[1] == {}


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_each_decision_comes_to_what_it_came_to_from_the_bars_known_then(data: st.DataObject) -> None:
    """Whatever is out of line: no verdict rests on a bar that the decision does not see."""
    spoil: Sequence[int] = data.draw(st.lists(st.integers(1, COUNT - 1), min_size=1, max_size=4))
    names = st.sampled_from(["low", "high", "vwap", "level"])
    change: Change = {}
    times: dict[int, float] = {}
    for bar in spoil:
        name = data.draw(names)
        if name == "level":
            factor, stretch = data.draw(st.sampled_from([100.0, 0.01, 0.2, 5.0])), data.draw(st.integers(1, 6))
            times |= dict.fromkeys(range(bar, min(COUNT, bar + stretch)), factor)
        else:
            change[bar] = {name: {"low": 9.0, "high": 500.0, "vwap": 300.0}[name]}
    frame, every = bars(change, times), decisions()
    read, withheld = decide_indicators(frame, NO_ACTIONS, every, MAX_AGE)
    for at in every["as_of"].to_list()[::9]:
        then = frame.filter(pl.col("known_at") <= at + DECISION_LAG)
        alone = decide_indicators(then, NO_ACTIONS, every.filter(pl.col("as_of") == at), MAX_AGE)
        assert alone[0].equals(read.filter(pl.col("as_of") == at))
        assert alone[1].equals(withheld.filter(pl.col("as_of") == at))
