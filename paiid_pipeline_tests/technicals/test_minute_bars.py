"""The minutes of its session settle what is out of line in a daily bar, at once and as far as they were known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from paiid_pipeline.schemas import DECISIONS, STORED_BARS
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline.technicals.minute_bars import SUSPECT
from paiid_pipeline.technicals.suspect_bars import LATER_BARS
from paiid_pipeline_tests.lookahead.histories import DECISION_LAG, MAX_AGE, OPEN
from paiid_pipeline_tests.technicals.test_suspect_bars import COUNT, DAY, NO_ACTIONS, bars

BAD = 258
STEP = timedelta(minutes=10)
LAST = BAD + 6
SPOILT: list[dict[str, Any]] = [
    {"low": 13.19},
    {"low": 0.01},
    {"low": 25.0},
    {"high": 200.0},
    {"high": 6600.0},
    {"low": 20.0, "high": 300.0},
    {"open": None, "low": 13.19},
    {"vwap": 221.9},
    {"vwap": 6.0},
]


def start(bar: int) -> datetime:
    return OPEN + DAY * (bar - COUNT)


def minutes(bar: int = BAD, *, first: int = 0, late: timedelta = timedelta(0), **at_noon: float) -> pl.DataFrame:
    """A minute bar every ten minutes of a daily bar's session from the ``first`` on, within its true range and with
    its low and high in them; ``at_noon`` is written over one of them."""
    day = bars({}).row(bar, named=True)
    close = day["close"]
    rows: list[dict[str, Any]] = [
        {"bar_start": start(bar) + STEP * i, **dict.fromkeys(("open", "high", "low", "close"), close)}
        for i in range(first, 144)
    ]
    rows[-2]["high"], rows[-3]["low"] = day["high"], day["low"]
    rows[72 if first == 0 else -1] |= at_noon
    end = pl.col("bar_start") + timedelta(minutes=1)
    frame = pl.DataFrame(rows).with_columns(
        symbol=pl.lit("S0"), timeframe=pl.lit("1Min"), bar_end=end, known_at=end + late, volume=100.0, vwap=None,
        trade_count=None, source=pl.lit("test"), nominal=pl.lit(False),
    )  # fmt: skip
    return frame.select(pl.col(name).cast(kind) for name, kind in STORED_BARS.items())


def decisions() -> pl.DataFrame:
    moments = [start(bar) for bar in range(BAD, LAST + 1)]
    rows = [("S0", "daily", at, at + DECISION_LAG, (at - DAY).date(), at - DAY, OPEN - 900 * DAY) for at in moments]
    return pl.DataFrame(rows, schema=DECISIONS, orient="row")


def decide(*frames: pl.DataFrame) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """What each decision reads and why others are withheld, by how many bars had ended."""
    read, withheld = decide_indicators(pl.concat(frames), NO_ACTIONS, decisions(), MAX_AGE)
    number = ((pl.col("as_of") - OPEN).dt.total_days() + COUNT).alias("number")
    rows = {row["number"]: row for row in read.with_columns(number).to_dicts()}
    return rows, dict(withheld.select(number, "reason").rows())


PLAIN, _ = decide(bars({}))
WAITING = list(range(BAD + 1, BAD + 1 + LATER_BARS))


@pytest.mark.parametrize("change", SPOILT, ids=str)
def test_what_no_minute_came_near_is_refuted_at_once_and_their_own_range_stands_for_it(change: dict[str, Any]) -> None:
    spoilt = bars({BAD: change})
    assert spoilt.filter(SUSPECT)["bar_start"].to_list() == [start(BAD)]
    assert sorted(decide(spoilt)[1]) == WAITING
    rows, withheld = decide(spoilt, minutes())
    assert withheld == {}
    without_vwap = {"inputs_hash", "vwap_distance", "turnover_20"} if "vwap" in change else set()
    for number in WAITING:
        row = rows[number]
        assert {name: value for name, value in row.items() if name not in without_vwap} == {
            name: value for name, value in PLAIN[number].items() if name not in without_vwap
        }


@pytest.mark.parametrize("low", [40.0, 25.0, 13.19, 0.5])
def test_a_low_that_minutes_traded_at_is_kept_at_once(low: float) -> None:
    spoilt = bars({BAD: {"low": low}})
    rows, withheld = decide(spoilt, minutes(open=low * 1.2, high=low * 1.2, low=low, close=low * 1.1))
    assert withheld == {}
    for number in WAITING:
        assert rows[number]["atr_14"] > 1.2 * PLAIN[number]["atr_14"]


@pytest.mark.parametrize(
    "said",
    [
        minutes(low=13.19),
        minutes(first=60),
        minutes(late=timedelta(days=3)),
        minutes().with_columns(pl.col("open", "high", "low", "close") * 7.0),
        minutes(BAD - 1),
        minutes().clear(),
    ],
    ids=["a print in one minute", "half a session", "known later", "another price basis", "another session", "none"],
)
def test_minutes_that_prove_nothing_leave_the_bar_to_later_bars(said: pl.DataFrame) -> None:
    with_them, without = (decide(bars({BAD: {"low": 13.19}}), *more) for more in ((said,), ()))
    assert with_them[1] == without[1]
    assert sorted(with_them[1]) == WAITING


@pytest.mark.parametrize("change", SPOILT[:3], ids=str)
def test_once_later_bars_are_there_they_alone_decide(change: dict[str, Any]) -> None:
    """So that what was decided without minutes is the same when they are loaded afterwards, nominally known then."""
    spoilt = bars({BAD: change})
    without, with_them = decide(spoilt)[0], decide(spoilt, minutes())[0]
    assert {number: with_them[number] for number in without} == without


Told = Callable[[], pl.DataFrame]


@pytest.mark.parametrize(
    "told",
    [
        minutes,
        lambda: minutes(late=timedelta(hours=30)),
        lambda: pl.concat([minutes(), minutes(late=timedelta(days=2), low=13.0, open=15.0, close=15.0)]),
        lambda: pl.concat([minutes(first=100), minutes(late=timedelta(days=1))]),
    ],
    ids=["at once", "all late", "restated", "the morning late"],
)
@pytest.mark.parametrize("change", [{"low": 13.19}, {"high": 300.0, "vwap": 221.9}], ids=str)
def test_each_decision_comes_to_what_it_came_to_from_the_minutes_known_then(change: dict[str, Any], told: Told) -> None:
    everything, every = pl.concat([bars({BAD: change}), told()]), decisions()
    read, withheld = decide_indicators(everything, NO_ACTIONS, every, MAX_AGE)
    for decision in every.partition_by("as_of"):
        then = everything.filter(pl.col("known_at") <= decision["known_by"][0])
        alone = decide_indicators(then, NO_ACTIONS, decision, MAX_AGE)
        at = pl.col("as_of") == decision["as_of"][0]
        assert alone[0].equals(read.filter(at))
        assert alone[1].equals(withheld.filter(at))
