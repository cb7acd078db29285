"""Corporate actions as vendors send them: one event under several ids, corrected, or impossible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from paiid_pipeline.schemas import CORPORATE_ACTIONS, MOMENT
from paiid_pipeline.technicals.adjustment import adjust
from paiid_pipeline.technicals.corporate_actions import TOO_LARGE, WIDENS, judged

DAY = timedelta(days=1)
START = datetime(2024, 7, 8, 20, tzinfo=UTC)


def bars(*closes: float) -> pl.DataFrame:
    ends = pl.Series([START + DAY * i for i in range(len(closes))], dtype=MOMENT)
    return pl.DataFrame({"symbol": "X", "bar_end": ends, "close": pl.Series(closes, dtype=pl.Float64)})


def actions(*told: tuple[str, int, float]) -> pl.DataFrame:
    """(kind, the bar before which it is effective, ratio or amount), each under an id of its own."""
    rows = []
    for name, (kind, bar, size) in enumerate(told):
        at = START + DAY * bar - timedelta(hours=16)
        cash = kind == "cash_dividend"
        rows.append((f"v:{name}", "X", kind, at.date(), at, None if cash else size, size if cash else None, "v"))
    return pl.DataFrame(rows, schema=CORPORATE_ACTIONS, orient="row")


SPLIT = bars(1000, 1000, 1000, 100, 100)


@pytest.mark.parametrize(
    "told",
    [
        [("split", 3, 10.0), ("split", 3, 10.0)],
        [("split", 3, 10.0), ("split", 2, 10.0)],
        [("split", 4, 10.0), ("split", 3, 10.0), ("split", 3, 10.0)],
        [("split", 3, 10.0), ("stock_dividend", 3, 10.0)],
        [("split", 3, 12.0), ("split", 3, 10.0)],
        [("split", 3, 10.0), ("split", 3, 20.0), ("stock_dividend", 2, 10.0)],
    ],
)
def test_a_split_that_is_told_several_times_counts_once_on_the_night_that_shows_it(
    told: list[tuple[str, int, float]],
) -> None:
    for order in (told, told[::-1]):
        assert adjust(SPLIT, actions(*order))["close"].to_list() == pytest.approx([100] * 5)


@pytest.mark.parametrize(
    ("told", "factor"),
    [
        ([("cash_dividend", 2, 0.15), ("cash_dividend", 3, 0.15)], 1 - 0.15 / 5),
        ([("cash_dividend", 3, 0.092), ("cash_dividend", 3, 0.0916667)], 1 - 0.0916667 / 5),
        ([("cash_dividend", 3, 0.1), ("cash_dividend", 3, 0.5)], (1 - 0.1 / 5) * (1 - 0.5 / 5)),
        ([("split", 3, 1.05), ("cash_dividend", 3, 0.1)], (1 / 1.05) * (1 - 0.1 / 5)),
    ],
)
def test_a_dividend_counts_once_and_two_of_different_amounts_both(
    told: list[tuple[str, int, float]], factor: float
) -> None:
    assert adjust(bars(5, 5, 5, 5), actions(*told))["close"][0] == pytest.approx(5 * factor)


def test_the_same_dividend_a_quarter_later_is_another() -> None:
    told = actions(("cash_dividend", 1, 0.1), ("cash_dividend", 8, 0.1))
    assert adjust(bars(*[5.0] * 10), told)["close"][0] == pytest.approx(5 * 0.98 * 0.98)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (("cash_dividend", 2, 15.0), TOO_LARGE),
        (("cash_dividend", 2, 5.0), TOO_LARGE),
        (("cash_dividend", 2, 2.5), WIDENS),
        (("split", 2, 2.0), WIDENS),
        (("split", 2, 0.05), WIDENS),
        (("stock_dividend", 2, 1.5), WIDENS),
    ],
)
def test_an_action_that_the_prices_contradict_is_named_and_moves_nothing(
    told: tuple[str, int, float], reason: str
) -> None:
    prices = bars(5, 5, 5, 5)
    assert judged(actions(told), prices)["reason"].to_list() == [reason]
    assert adjust(prices, actions(told))["close"].to_list() == [5, 5, 5, 5]


def test_a_split_on_a_day_of_a_large_move_is_believed() -> None:
    prices = bars(100, 100, 56, 50)
    assert judged(actions(("split", 2, 2.0)), prices)["reason"].to_list() == [None]
    assert adjust(prices, actions(("split", 2, 2.0)))["close"].to_list() == [50, 50, 56, 50]
