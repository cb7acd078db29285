"""Bars that come at a constant ratio to those stored are another price basis; corrections and dividends are none."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import BARS
from paiid_pipeline.technicals.rebasing import LEAST_BARS, rebased
from paiid_pipeline_tests.lookahead.histories import OPEN

DAY = timedelta(days=1)


def daily(ratio: float = 1.0, count: int = 20, level: float = 80.0, digits: int = 2, first: int = 0) -> pl.DataFrame:
    """Bars of a split of ``ratio`` for 1 after all of them, rounded as a vendor does; from the ``first`` on."""
    rng = np.random.default_rng(3)
    close = level * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    opens = np.concatenate([close[:1], close[:-1]])
    prices = {"open": opens, "high": np.maximum(opens, close) * 1.01, "low": np.minimum(opens, close) * 0.99}
    starts = [OPEN + DAY * bar for bar in range(count)]
    columns = {name: np.round(price / ratio, digits) for name, price in {**prices, "close": close}.items()}
    frame = pl.DataFrame({"bar_start": starts, **columns, "volume": np.full(count, 1e6 * ratio)})
    return frame.with_columns(
        symbol=pl.lit("S0"), timeframe=pl.lit("1Day"), bar_end=pl.col("bar_start") + DAY, vwap=None, trade_count=None,
        source=pl.lit("blind"),
    ).select(pl.col(name).cast(kind) for name, kind in BARS.items())[first:]  # fmt: skip


@pytest.mark.parametrize("ratio", [2.0, 4.0, 1.5, 1.1, 0.1, 0.05, 100.0])
@pytest.mark.parametrize("level", [80.0, 2500.0])
def test_a_constant_ratio_is_another_price_basis(ratio: float, level: float) -> None:
    found = rebased(daily(level=level), daily(ratio, level=level))
    assert found["symbol"].to_list() == ["S0"]
    assert found["ratio"][0] == pytest.approx(ratio, rel=0.01)


def test_the_newest_bars_may_be_as_they_were() -> None:
    """The split was four sessions ago, and the vendor restates only now."""
    before, after = daily(4.0), daily()
    assert rebased(daily(), pl.concat([before[:16], after[16:]]))["ratio"][0] == pytest.approx(4.0, rel=0.01)


def test_one_bar_corrected_besides_hides_nothing() -> None:
    came = daily(2.0).with_columns(
        close=pl.when(pl.col("bar_start") == OPEN + 7 * DAY).then(pl.col("close") * 1.1).otherwise("close")
    )
    assert rebased(daily(), came)["ratio"][0] == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(
    ("stored", "came"),
    [
        (daily(), daily()),
        (daily(), daily(1 / 0.993)),
        (daily(), daily(1.03)),
        (daily(), daily(4.0, count=LEAST_BARS - 1)),
        (daily(first=17), daily(4.0)),
        (daily(), daily(4.0).with_columns(close=pl.col("close") * pl.Series(np.linspace(1, 1.5, 20)))),
        (daily(), pl.concat([daily()[:18], daily(4.0)[18:]])),
        (daily(level=0.02), daily(1.3, level=0.02)),
        (daily(), daily().clear()),
        (daily().clear(), daily(4.0)),
    ],
    ids=["same", "dividend", "small", "few", "few overlap", "no constant", "newest only", "coarse", "none", "new"],
)
def test_what_is_none(stored: pl.DataFrame, came: pl.DataFrame) -> None:
    assert rebased(stored, came).is_empty()


@settings(max_examples=30)
@given(ratio=st.sampled_from([2.0, 3.0, 1.5, 0.2]), seed=st.integers(0, 9), noise=st.floats(0.05, 0.5))
def test_prices_at_odds_are_no_price_basis(ratio: float, seed: int, noise: float) -> None:
    factors = np.exp(np.random.default_rng(seed).normal(0, noise, 20))
    came = daily(ratio).with_columns(pl.col("open", "high", "low", "close") * pl.Series(factors))
    assert rebased(daily(), came).is_empty()
