"""The panel: at every bar the bits of a decision then, from any prefix, whatever holes and neighbours there are."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import INDICATORS, STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline.technicals.panel import indicator_panel
from paiid_pipeline_tests.lookahead.histories import MAX_AGE, MINUTE, OPEN, random_history
from paiid_pipeline_tests.technicals.test_decision_indicators import decisions_at

READ = [name for name in INDICATORS if name not in ("symbol", "horizon", "as_of", "bar_start", "bar_end", "bars",
                                                    "close", "inputs_hash", "version")]  # fmt: skip


def minutes(seed: int, symbols: int = 2) -> pl.DataFrame:
    """Minute bars with gaps, the first version of each, without actions."""
    bars = (
        random_history(seed, symbols).bars.filter(pl.col("timeframe") == "1Min").sort("symbol", "bar_start", "known_at")
    )
    return bars.unique(["symbol", "bar_start"], keep="first", maintain_order=True)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_row_equals_the_decision_at_its_bar_to_the_bit(seed: int) -> None:
    bars = minutes(seed).with_columns(known_at=pl.col("bar_end"))
    panel = indicator_panel(bars, ["symbol"])
    moments = [OPEN + 5 * MINUTE * step for step in range(1, 7)]
    made = pl.concat(
        decide_indicators(bars, empty(STORED_CORPORATE_ACTIONS), decisions_at(*moments, symbol=symbol), MAX_AGE)[0]
        for symbol in ("S0", "S1")
    )
    assert made.height
    for row in made.to_dicts():
        [same] = panel.filter(
            (pl.col("symbol") == row["symbol"]) & (pl.col("bar_start") == row["bar_start"])
        ).to_dicts()
        assert {name: same[name] for name in READ} == {name: row[name] for name in READ}


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), length=st.integers(0, 320))
def test_a_prefix_has_the_rows_that_the_whole_has(seed: int, length: int) -> None:
    bars = minutes(seed, 1)
    assert indicator_panel(bars.head(length), ["symbol"]).equals(indicator_panel(bars, ["symbol"]).head(length))


def test_a_symbol_does_not_feel_its_neighbours_and_nothing_comes_early() -> None:
    bars = minutes(7, 3)
    panel = indicator_panel(bars, ["symbol"])
    for alone, part in zip(bars.partition_by("symbol"), panel.partition_by("symbol"), strict=True):
        assert indicator_panel(alone, ["symbol"]).equals(part)
        assert part.head(249).select(READ).null_count().row(0) == (249,) * len(READ)
        assert part[249].select("rsi_14", "atr_14", "regime", "volatility_ratio").null_count().row(0) == (0,) * 4


@pytest.mark.parametrize("column", ["close", "high", "low", "volume"])
@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), -1.0])
def test_a_hole_reads_null_and_the_series_goes_on_without_it(column: str, bad: float | None) -> None:
    bars = minutes(3, 1).with_row_index("n")
    hole = pl.when(pl.col("n") == 270).then(pl.lit(bad, dtype=pl.Float64)).otherwise(column).alias(column)
    spoilt = indicator_panel(bars.with_columns(hole), ["symbol"])
    assert spoilt[270].select(READ).row(0) == (None,) * len(READ)
    without = indicator_panel(bars.filter(pl.col("n") != 270), ["symbol"])
    assert spoilt.filter(pl.col("n") != 270).equals(without)


def test_nothing_one_bar_and_a_flat_price() -> None:
    bars = minutes(3, 1)
    assert indicator_panel(bars.clear(), ["symbol"]).columns == indicator_panel(bars, ["symbol"]).columns
    assert indicator_panel(bars.head(1), ["symbol"]).select(READ).row(0) == (None,) * len(READ)
    flat = bars.with_columns(pl.lit(7.0).alias(name) for name in ("close", "high", "low"))
    last = indicator_panel(flat, ["symbol"]).row(-1, named=True)
    assert [last[name] for name in ("rsi_14", "bb_percent_b", "volatility_ratio", "regime")] == [None] * 4
    assert np.isfinite(last["sma_50"])
