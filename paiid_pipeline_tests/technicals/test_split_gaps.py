"""Gaps that look like a split, of which the source does not tell: nothing is decided across them; crashes pass."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.indicator_catalogue import MINIMUM_BARS
from paiid_pipeline.schemas import DECISIONS, STORED_BARS, STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline_tests.lookahead.histories import DECISION_LAG, MAX_AGE, OPEN

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NONE = empty(STORED_CORPORATE_ACTIONS)
WITHOUT = frozenset({"blind"})
GAP = 280


def daily(factor: float, count: int = 300, gap: int = GAP, seed: int = 4, **day: float) -> pl.DataFrame:
    """Daily bars that trade ``factor`` times lower or higher from one of them on, shares the other way.

    ``day``: by what the high, low, close and volume of that bar are multiplied besides.
    """
    rng = np.random.default_rng(seed)
    close = 250.0 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opens = np.concatenate([close[:1], close[:-1]])
    columns = {
        "open": opens,
        "high": np.maximum(opens, close) * 1.004,
        "low": np.minimum(opens, close) * 0.996,
        "close": close,
        "volume": rng.lognormal(13, 0.3, count),
    }
    columns["volume"][gap] = np.median(columns["volume"])
    for name, column in columns.items():
        column[gap:] *= 1 / factor if name == "volume" else factor
        column[gap] *= day.get(name, 1.0)
    starts = [OPEN + DAY * (bar - count) for bar in range(count)]
    return stored(pl.DataFrame({"bar_start": starts, **columns}), "1Day", DAY)


def stored(frame: pl.DataFrame, timeframe: str, length: timedelta, source: str = "blind") -> pl.DataFrame:
    ends = pl.col("bar_start") + length
    return frame.with_columns(
        symbol=pl.lit("S0"), timeframe=pl.lit(timeframe), bar_end=ends, known_at=ends, vwap=None, trade_count=None,
        source=pl.lit(source), nominal=pl.lit(True),
    ).select(pl.col(name).cast(kind) for name, kind in STORED_BARS.items())  # fmt: skip


def decide(
    bars: pl.DataFrame, actions: pl.DataFrame = NONE, first: int = 255, horizon: str = "daily", step: int = 1
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """What each decision reads and why others are withheld, by how many bars had ended."""
    ends = bars["bar_end"].unique().sort()
    rows = [
        ("S0", horizon, at, at + DECISION_LAG, ends[-1].date(), ends[-1], ends[0] - 2 * DAY)
        for at in ends[first - 1 :: step]
    ]
    decisions = pl.DataFrame(rows, schema=DECISIONS, orient="row")
    read, withheld = decide_indicators(bars, actions, decisions, MAX_AGE, WITHOUT)
    number = pl.col("as_of").replace_strict(ends, range(1, len(ends) + 1)).alias("number")
    rows_read = {row["number"]: row for row in read.with_columns(number).to_dicts()}
    return rows_read, dict(withheld.select(number, "reason").rows())


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1 / 2, "a split of 2 for 1"),
        (1 / 7, "a split of 7 for 1"),
        (2 / 3, "a split of 3 for 2"),
        (0.8, "a split of 5 for 4"),
        (1 / 4 * 1.022, "a split of 4 for 1"),
        (3.0, "a reverse split of 1 for 3"),
        (20.0, "a reverse split of 1 for 20"),
    ],
)
def test_a_gap_as_of_a_split_withholds_all_that_reads_across_it(factor: float, words: str) -> None:
    bars = daily(factor)
    rows, withheld = decide(bars)
    before, after = bars["close"][GAP - 1], bars["open"][GAP]
    reason = f"the price went from {before:.2f} to {after:.2f} overnight, as in {words}, and no corporate action"
    assert sorted(withheld) == list(range(GAP + 1, 301))
    assert all(text.startswith(reason) and text.endswith("look at it") for text in withheld.values())
    assert sorted(rows) == list(range(255, GAP + 1))


def test_a_reverse_split_of_a_falling_share_is_one_however_it_was_traded() -> None:
    _, withheld = decide(daily(17.4, high=1.1, low=0.85, volume=10.0))
    assert min(withheld) == GAP + 1
    assert "a reverse split of 1 for 17" in withheld[GAP + 1]


@pytest.mark.parametrize(
    ("factor", "day"),
    [
        (0.5257, {}),  # between the ratios
        (0.5, {"low": 0.8}),
        (0.42, {"high": 1.1, "low": 0.7, "volume": 4.0}),
        (1.77, {"high": 1.2, "low": 0.8}),
        (2 / 3, {"volume": 6.0}),
        (0.8, {"volume": 2.6}),
        (1 / 1.05, {}),
        (2.0, {"volume": 15.0}),
    ],
    ids=str,
)
def test_a_move_that_was_traded_as_one_passes(factor: float, day: dict[str, float]) -> None:
    _, withheld = decide(daily(factor, **day))
    assert not withheld


def test_a_share_of_cents_that_moves_by_a_step_is_not_split() -> None:
    cents = daily(0.8).with_columns(pl.col("open", "high", "low", "close") / 1000)
    assert not decide(cents)[1]


def test_a_source_that_tells_of_actions_is_believed() -> None:
    _, withheld = decide(daily(0.5).with_columns(source=pl.lit("complete")))
    assert not withheld


def split(ratio: float, known: datetime, bars: pl.DataFrame) -> pl.DataFrame:
    at = bars["bar_start"][GAP]
    row = ("a", "S0", "split", at.date(), at, ratio, None, "other", known, True)
    return pl.DataFrame([row], schema=STORED_CORPORATE_ACTIONS, orient="row")


def test_a_known_action_ends_it_and_one_of_another_size_does_not() -> None:
    bars = daily(0.25)
    known = bars["bar_end"][GAP + 5]
    _, withheld = decide(bars, split(4.0, known, bars))
    assert sorted(withheld) == list(range(GAP + 1, GAP + 6))
    _, withheld = decide(bars, split(2.0, known, bars))
    assert sorted(withheld) == list(range(GAP + 1, 301))


def test_bars_fetched_anew_on_one_basis_end_it() -> None:
    bars = daily(0.5)
    after = bars["bar_end"][GAP + 3]
    columns = ("open", "high", "low", "close")
    anew = bars.head(GAP).with_columns(*(pl.col(name) * 0.5 for name in columns), known_at=after, nominal=False)
    rows, withheld = decide(pl.concat([bars, anew.cast(dict(bars.schema))]))
    assert sorted(withheld) == list(range(GAP + 1, GAP + 4))
    assert rows[GAP + 4]["rsi_14"] == pytest.approx(decide(daily(1.0))[0][GAP + 4]["rsi_14"])


def test_it_ends_once_enough_bars_have_come_after_it_and_none_before_is_read() -> None:
    gap = 40
    bars = daily(0.5, gap=gap)
    rows, withheld = decide(bars)
    assert sorted(withheld) == list(range(255, gap + MINIMUM_BARS))
    alone, _ = decide(bars.tail(300 - gap), first=MINIMUM_BARS)
    for number, row in rows.items():
        for name in ("bars", "rsi_14", "macd", "atr_14", "inputs_hash"):
            assert row[name] == alone[number - gap][name]


def test_bars_between_a_gap_and_its_inverse_are_left_out() -> None:
    bars, columns = daily(1.0), ("open", "high", "low", "close")
    wrong = pl.col("bar_start").is_between(*bars["bar_start"].gather([GAP, GAP + 1]))
    halved = bars.with_columns(
        *(pl.when(wrong).then(pl.col(name) * 0.5).otherwise(name).alias(name) for name in columns),
        volume=pl.when(wrong).then(pl.col("volume") * 2).otherwise("volume"),
    )
    rows, withheld = decide(halved)
    assert sorted(withheld) == [GAP + 1, GAP + 2]
    assert rows[GAP + 3]["bars"] == GAP + 1


def minutes(factor: float, busy: float = 1.0, wide: float = 1.0) -> pl.DataFrame:
    """Three sessions of 390 minutes, the last one ``factor`` times as high; ``busy``, ``wide``: what it is besides."""
    rng = np.random.default_rng(5)
    count, last = 3 * 390, 2 * 390
    close = 80.0 * np.exp(np.cumsum(rng.normal(0, 0.0006, count)))
    volume = rng.lognormal(10, 0.5, count)
    close[last:] *= factor
    volume[last:] *= busy / factor
    close[last + 10 : last + 20] *= wide
    opens = np.concatenate([close[:1], close[:-1]])
    opens[last] = close[last - 1] * factor
    starts = [OPEN - DAY * (2 - bar // 390) + MINUTE * (bar % 390) for bar in range(count)]
    frame = pl.DataFrame({
        "bar_start": starts, "open": opens, "close": close, "volume": volume,
        "high": np.maximum(opens, close) * 1.0002, "low": np.minimum(opens, close) * 0.9998,
    })  # fmt: skip
    return stored(frame, "1Min", MINUTE)


@pytest.mark.parametrize(("factor", "words"), [(0.25, "4 for 1"), (2 / 3, "3 for 2"), (8.0, "1 for 8")])
def test_minutes_across_the_gap_are_not_read_and_those_after_it_are(factor: float, words: str) -> None:
    rows, withheld = decide(minutes(factor), first=780, horizon="intraday", step=25)
    assert sorted(withheld) == list(range(805, 780 + MINIMUM_BARS, 25))
    assert all(words in reason for reason in withheld.values())
    assert rows[780 + MINIMUM_BARS]["bars"] == MINIMUM_BARS


def test_minutes_of_a_crash_pass_once_it_shows() -> None:
    assert not decide(minutes(0.5, busy=6.0), first=780, horizon="intraday", step=50)[1]
    _, withheld = decide(minutes(0.5, wide=0.8), first=780, horizon="intraday", step=5)
    assert sorted(withheld) == [785, 790]


@settings(max_examples=12)
@given(factor=st.sampled_from([0.5, 0.4, 0.2, 2.0, 10.0]), seed=st.integers(0, 40), cut=st.integers(276, 300))
def test_what_comes_later_changes_no_verdict(factor: float, seed: int, cut: int) -> None:
    bars = daily(factor, seed=seed)
    rows, withheld = decide(bars, first=270)
    alone, withheld_alone = decide(bars.head(cut), first=270)
    assert withheld_alone == {number: text for number, text in withheld.items() if number <= cut}
    assert [row["inputs_hash"] for row in alone.values()] == [
        row["inputs_hash"] for number, row in rows.items() if number <= cut
    ]
