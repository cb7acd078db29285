"""Labels: entry at the next tradable open, barriers met in order, and when each outcome was known."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.backtest.prices import price_panel
from paiid_pipeline.backtest.triple_barrier import Barriers, label
from paiid_pipeline.schemas import STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline_tests.signals.markets import DAY, FIRST, action, daily_bars, random_bars, signals

DECISION_LAG = timedelta(seconds=15)
NO_ACTIONS = empty(STORED_CORPORATE_ACTIONS)


def decisions(count: int, volatility: float | None = 0.05, symbol: str = "A") -> pl.DataFrame:
    made = signals(symbol, [1.0] * count).select("symbol", "as_of")
    return made.with_columns(volatility=pl.lit(volatility, dtype=pl.Float64))


def labelled(opens: list[float | None], closes: list[float | None], bars: int = 2) -> list[dict[str, object]]:
    """The labels of all decisions on one symbol, barriers 10 % away."""
    grid = price_panel(daily_bars("A", opens, closes), NO_ACTIONS)
    return label(decisions(len(opens)), grid, DECISION_LAG, Barriers(bars=bars)).to_dicts()


def test_the_forward_return_runs_from_the_next_open_and_never_from_the_decisions_own_bar() -> None:
    first = labelled([100, 104, 106, 107], [103, 105, 106.5, 107])[0]
    assert first["forward_return"] == pytest.approx(107 / 104 - 1)
    assert (first["barrier"], first["barrier_return"]) == (0, pytest.approx(106.5 / 104 - 1))
    assert first["entry"] == FIRST + DAY
    assert first["label_end"] == FIRST + 3 * DAY


@pytest.mark.parametrize(
    ("opens", "closes", "barrier", "at"),
    [
        ([1, 100, 100, 100], [1, 111, 100, 100], 1, 110),  # met within the bar: left at the barrier
        ([1, 100, 100, 100], [1, 89, 100, 100], -1, 90),
        ([1, 100, 115, 100], [1, 100, 115, 100], 1, 115),  # opened beyond it: left at that open
        ([1, 100, 80, 100], [1, 100, 80, 100], -1, 80),
        ([1, 100, 120, 100], [1, 85, 120, 100], -1, 90),  # the first one counts
    ],
)
def test_the_first_barrier_met_counts(opens: list[float], closes: list[float], barrier: int, at: float) -> None:
    first = labelled(list(opens), list(closes))[0]
    assert (first["barrier"], first["barrier_return"]) == (barrier, pytest.approx(at / 100 - 1))


def test_a_bar_that_meets_both_barriers_counts_as_the_lower() -> None:
    wide = daily_bars("A", [100.0] * 4, [100.0] * 4).with_columns(high=pl.lit(130.0), low=pl.lit(70.0))
    assert label(decisions(1), price_panel(wide, NO_ACTIONS), DECISION_LAG)["barrier"].to_list() == [None]
    found = label(decisions(1), price_panel(wide, NO_ACTIONS), DECISION_LAG, Barriers(bars=2))
    assert found["barrier"].to_list() == [-1]


def test_what_is_not_over_yet_or_cannot_be_bought_has_no_label() -> None:
    rows = labelled([100, 100, 100, 100], [100, 100, 100, 100])
    assert [row["barrier"] for row in rows] == [0, None, None, None]
    assert [row["label_end"] is None for row in rows] == [False, True, True, True]
    grid = price_panel(
        pl.concat([daily_bars("A", [1, None, 1, 1], [1, None, 1, 1]), daily_bars("B", [1] * 4, [1] * 4)]), NO_ACTIONS
    )
    assert label(decisions(1), grid, DECISION_LAG, Barriers(bars=1))["forward_return"].to_list() == [None]
    unknown = label(
        decisions(1, volatility=None),
        price_panel(daily_bars("A", [1] * 4, [1] * 4), NO_ACTIONS),
        DECISION_LAG,
        Barriers(1),
    )
    assert unknown["barrier"].to_list() == [None]


def test_a_split_is_no_move_and_a_crash_is_one() -> None:
    bars = daily_bars("A", [700, 700, 100, 100], [700, 700, 100, 100])
    split, crash = (
        label(decisions(1), price_panel(bars, actions), DECISION_LAG, Barriers(bars=2)).row(0, named=True)
        for actions in (action("A", "split", 2, ratio=7.0), NO_ACTIONS)
    )
    assert (split["barrier"], split["forward_return"]) == (0, pytest.approx(0.0))
    assert (crash["barrier"], crash["forward_return"]) == (-1, pytest.approx(100 / 700 - 1))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 8))
def test_a_label_is_known_when_it_says_so(seed: int, bars: int) -> None:
    """All labels that ended by a moment are the same, to the bit, from the bars that had ended by then."""
    stored = random_bars(3, 40, seed=seed)
    made = stored.select("symbol", as_of="bar_end").with_columns(volatility=pl.lit(0.01))
    full = label(made, price_panel(stored, NO_ACTIONS), DECISION_LAG, Barriers(bars=bars))
    moment = stored["bar_end"].unique().sort()[25]
    known = price_panel(stored.filter(pl.col("bar_end") <= moment), NO_ACTIONS)
    then = label(made, known, DECISION_LAG, Barriers(bars=bars))
    ended = (pl.col("label_end") <= moment).fill_null(False)
    assert full.filter(ended).height > 0
    assert then.filter(ended).equals(full.filter(ended))
    assert full["entry"].drop_nulls().is_between(FIRST, FIRST + 40 * DAY).all()
    assert (full.drop_nulls("entry")["entry"] >= full.drop_nulls("entry")["as_of"] + DECISION_LAG).all()
    assert np.isin(full["barrier"].drop_nulls().to_numpy(), [-1, 0, 1]).all()


def test_barriers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="bars must be at least 1"):
        Barriers(bars=0)
