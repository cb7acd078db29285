"""The backtest: next-bar execution, costs, accounts that add up, and no reward for what could not be known."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.backtest.accounts import Costs, simulate
from paiid_pipeline.backtest.prices import PricePanel, price_panel
from paiid_pipeline.backtest.simulation import Backtest, Options, backtest
from paiid_pipeline.schemas import STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline_tests.signals.markets import (
    SESSION,
    action,
    daily_bars,
    random_bars,
    signals,
    signals_of,
)

NO_ACTIONS = empty(STORED_CORPORATE_ACTIONS)
FREE = Options(costs=Costs(commission_bp=(0.0,), slippage_bp=0.0, borrow_rate=0.0), draws=20)


def curve(result: Backtest, strategy: str = "signals", level: float = 0.0) -> list[float]:
    chosen = (pl.col("strategy") == strategy) & (pl.col("commission_bp") == level)
    return result.curves.filter(chosen)["equity"].to_list()


def foresight(bars: pl.DataFrame, ahead: int) -> pl.DataFrame:
    """Signals at each close with the sign of the open-to-open return that starts so many bars later."""
    opens = pl.col("open")
    move = opens.shift(-ahead - 1).over("symbol") / opens.shift(-ahead).over("symbol") - 1.0
    decisions = bars.with_columns(strength=(move * 50).clip(-1, 1)).drop_nulls("strength")
    return signals_of(decisions.select("symbol", pl.col("bar_end").alias("as_of"), "strength"))


def test_a_buy_is_filled_at_the_next_open_and_sold_at_the_open_after_the_hold() -> None:
    """Bought at 110, not at the 100 or 105 of its own day; sold at 121 and not at the later 200."""
    bars = daily_bars("A", [100, 110, 121, 200], [105, 115, 150, 300])
    result = backtest(signals("A", [1.0, 0.0, 0.0]), price_panel(bars, NO_ACTIONS), FREE)
    assert curve(result) == pytest.approx([115 / 110, 1.1, 1.1])


def test_a_withheld_decision_closes_the_position() -> None:
    bars = daily_bars("A", [100, 110, 121, 200], [105, 115, 150, 300])
    result = backtest(signals("A", [1.0, None, None]), price_panel(bars, NO_ACTIONS), FREE)
    assert curve(result) == pytest.approx([115 / 110, 1.1, 1.1])


def test_a_decision_is_not_executed_at_an_open_before_it_is_known() -> None:
    """On bars without a pause between them the next bar opens at the decision itself, 15 s too soon."""
    bars = daily_bars("A", [100, 110, 121], [100, 110, 121])
    touching = bars.with_columns(bar_end=pl.col("bar_start") + timedelta(days=1))
    decided = signals("A", [1.0]).with_columns(as_of=touching["bar_end"][0])
    grid = price_panel(touching, NO_ACTIONS)
    assert backtest(decided, grid, FREE).curves["moment"][0] == touching["bar_end"][2]
    at_once = Options(costs=FREE.costs, decision_lag=timedelta(0))
    assert backtest(decided, grid, at_once).curves["moment"][0] == touching["bar_end"][1]


def test_costs_of_a_round_trip_by_hand() -> None:
    """In at 10 + 1 bp, out at the same; a short pays for the days it is borrowed as well."""
    bars = daily_bars("A", [100.0] * 4, [100.0] * 4)
    costs = Costs(commission_bp=(10.0,), slippage_bp=1.0, borrow_rate=0.0)
    long = backtest(signals("A", [1.0, 0.0]), price_panel(bars, NO_ACTIONS), Options(costs=costs))
    assert curve(long, level=10.0)[-1] == pytest.approx(1 - 2 * 11e-4)
    borrowing = Costs(commission_bp=(0.0,), slippage_bp=0.0, borrow_rate=0.05)
    short = backtest(signals("A", [-1.0, 0.0]), price_panel(bars, NO_ACTIONS), Options(costs=borrowing))
    assert curve(short)[-1] == pytest.approx(1 - 0.05 / 365.25)


def test_higher_costs_never_leave_more() -> None:
    bars = random_bars(5, 60)
    result = backtest(foresight(bars, 5), price_panel(bars, NO_ACTIONS))
    for strategy in result.summary["strategy"].unique():
        ordered = result.summary.filter(pl.col("strategy") == strategy).sort("commission_bp")
        assert ordered["total_return"].to_list() == sorted(ordered["total_return"].to_list(), reverse=True)
        assert ordered["costs_paid"].is_sorted()


def test_foresight_of_the_next_return_is_found_out_and_foresight_of_the_past_earns_nothing() -> None:
    """The plants: the coming return wins everything; the return that the fill comes too late for is noise."""
    bars = random_bars(12, 300, seed=3)
    grid = price_panel(bars, NO_ACTIONS)
    coming, past = backtest(foresight(bars, 1), grid, FREE), backtest(foresight(bars, 0), grid, FREE)
    assert coming.ic["ic"][0] > 0.95
    assert coming.hit_rate > 0.99
    assert coming.random_share == pytest.approx(1 / 21)
    assert coming.summary["sharpe"][0] > 15
    # What fills at the next open has only that open left of the return that the signal knew.
    assert past.ic["low"][0] < 0 < past.ic["high"][0]
    assert abs(past.hit_rate - 0.5) < 0.05
    assert past.random_share > 0.05


def test_noise_is_reported_as_noise() -> None:
    bars = random_bars(10, 400, seed=4)
    ends = bars.select("symbol", as_of="bar_end")
    strength = pl.Series("strength", np.random.default_rng(5).uniform(-1, 1, ends.height))
    result = backtest(signals_of(ends.with_columns(strength)), price_panel(bars, NO_ACTIONS))
    assert all(row["low"] < 0 < row["high"] for row in result.ic.iter_rows(named=True))
    assert result.hit_interval[0] < 0.5 < result.hit_interval[1]
    assert result.deflated_sharpe < 0.9
    assert result.random_share > 0.05


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_equity_is_what_the_symbols_earned(seed: int) -> None:
    """For random targets, prices with holes, late joiners and symbols that end, long and short, all costs."""
    rng = np.random.default_rng(seed)
    bars, names, accounts = 40, 6, 3
    prices = 50 * np.exp(np.cumsum(rng.normal(0, 0.03, (bars * 2, names)), axis=0))
    prices[np.repeat(rng.random((bars, names)) < 0.1, 2, axis=0)] = np.nan
    first, last = rng.integers(0, 10, names), rng.integers(20, 41, names)
    outside = (np.arange(bars)[:, None] < first) | (np.arange(bars)[:, None] >= last)
    prices[np.repeat(outside, 2, axis=0)] = np.nan
    day = 86_400_000_000
    starts = np.arange(bars) * day
    ends = prices[::2], prices[1::2]
    grid = PricePanel(tuple("ABCDEF"), starts, starts + day // 4, *ends, np.maximum(*ends), np.minimum(*ends))
    targets = rng.uniform(-0.5, 0.5, (accounts, bars, names))
    targets[rng.random(targets.shape) < 0.3] = np.nan
    kept = simulate(grid, targets, np.array([0.0, 0.0005, 0.01]), 0.03)
    assert kept.reconciliation_error < 1e-10
    assert np.isfinite(kept.equity).all()
    assert (np.diff(kept.paid) > 0).all()


@pytest.mark.parametrize("cut", [30, 45])
def test_a_curve_does_not_depend_on_what_comes_after(cut: int) -> None:
    """The curves of signals, momentum and buy and hold on bars up to a day are the start of the full ones."""
    bars = random_bars(4, 60, seed=6)
    decided = foresight(bars, 3)
    end = bars["bar_end"].unique().sort()[cut]
    known = bars.filter(pl.col("bar_end") <= end)
    full = backtest(decided, price_panel(bars, NO_ACTIONS))
    then = backtest(decided.filter(pl.col("as_of") < end), price_panel(known, NO_ACTIONS))
    key = ["strategy", "commission_bp", "moment"]
    assert then.curves.sort(key).equals(full.curves.filter(pl.col("moment") <= end).sort(key))


def test_a_split_earns_nothing_and_a_dividend_is_earned() -> None:
    split = daily_bars("A", [700, 700, 100, 100], [700, 700, 100, 100])
    held = backtest(signals("A", [1.0, 1.0, 1.0]), price_panel(split, action("A", "split", 2, ratio=7.0)), FREE)
    assert curve(held) == pytest.approx([1.0, 1.0, 1.0])
    paid = daily_bars("A", [100, 100, 98, 98], [100, 100, 98, 98])
    held = backtest(signals("A", [1.0, 1.0, 1.0]), price_panel(paid, action("A", "cash_dividend", 2, amount=2.0)), FREE)
    assert curve(held) == pytest.approx([1.0, 1.0, 1.0])


def test_at_an_open_that_is_unknown_nothing_is_traded_and_the_close_still_counts() -> None:
    """The order is for the open of the second bar, which nobody knows: it is never executed."""
    bars = daily_bars("A", [100, 999, 110, 110], [100, 120, 110, 110])
    bars = bars.with_columns(open=pl.when(pl.col("open") < 999).then("open"))
    grid = price_panel(bars, NO_ACTIONS)
    assert grid.marks[:, 0].tolist() == [100.0, 120.0, 110.0, 110.0]
    held = backtest(signals("A", [1.0, 1.0, 1.0]), grid, FREE)
    assert curve(held) == pytest.approx([1.0, 1.0, 1.0])


def test_a_real_crash_is_a_loss() -> None:
    crash = daily_bars("A", [100, 100, 48, 48], [100, 100, 48, 48])
    assert curve(backtest(signals("A", [1.0, 1.0, 1.0]), price_panel(crash, NO_ACTIONS), FREE))[-1] == pytest.approx(
        0.48
    )


def test_a_symbol_that_ends_is_left_at_its_last_close_and_one_that_is_halted_cannot_be_left() -> None:
    ended = pl.concat(
        [daily_bars("A", [100, 100, None, None], [100, 90, None, None]), daily_bars("B", [1] * 4, [1] * 4)]
    )
    result = backtest(signals("A", [1.0, 1.0, 1.0]), price_panel(ended, NO_ACTIONS), FREE)
    assert curve(result) == pytest.approx([0.9, 0.9, 0.9])
    halted = pl.concat([daily_bars("A", [100, 100, None, 50], [100, 90, None, 40]), daily_bars("B", [1] * 4, [1] * 4)])
    result = backtest(signals("A", [1.0, 0.0, 0.0]), price_panel(halted, NO_ACTIONS), FREE)
    assert curve(result) == pytest.approx([0.9, 0.9, 0.5])


def test_position_fractions_count_and_never_add_up_to_more_than_all() -> None:
    bars = pl.concat([daily_bars(name, [100, 100, 200], [100, 100, 200]) for name in "AB"])
    grid = price_panel(bars, NO_ACTIONS)
    small = pl.concat([signals(name, [1.0, 1.0], fraction=0.1) for name in "AB"])
    assert curve(backtest(small, grid, FREE))[-1] == pytest.approx(1.2)
    large = pl.concat([signals(name, [1.0, 1.0], fraction=0.9) for name in "AB"])
    assert curve(backtest(large, grid, FREE))[-1] == pytest.approx(2.0)


def test_a_decision_between_two_others_stands_for_its_hold() -> None:
    """As on minute bars, with a decision every few."""
    bars = daily_bars("A", [100, 100, 110, 120, 130], [100, 110, 120, 130, 130])
    held = Options(costs=FREE.costs, hold=2)
    result = backtest(signals("A", [1.0]), price_panel(bars, NO_ACTIONS), held)
    assert curve(result) == pytest.approx([1.1, 1.2, 1.2, 1.2])


def test_no_symbol_counts_before_there_was_a_decision_on_it() -> None:
    """B has run up tenfold before its first decision: neither strategy nor comparison may have held it."""
    bars = pl.concat([daily_bars("A", [100] * 5, [100] * 5), daily_bars("B", [1, 2, 5, 10, 10], [2, 5, 10, 10, 10])])
    decided = pl.concat([signals("A", [1.0] * 4), signals("B", [None, None, None, 1.0])])
    result = backtest(decided, price_panel(bars, NO_ACTIONS), FREE)
    assert curve(result) == pytest.approx([1.0] * 4)
    assert curve(result, "buy and hold") == pytest.approx([1.0] * 4)


def test_unusable_bars_count_as_missing() -> None:
    bars = daily_bars("A", [100, 100, 110], [100, 100, 110])
    odd = bars.with_columns(open=pl.Series([100.0, float("nan"), 110.0]), close=pl.Series([100.0, 0.0, 110.0]))
    assert price_panel(odd.sample(fraction=1.0, shuffle=True, seed=1), NO_ACTIONS).opens.tolist() == [[100.0], [110.0]]


def test_what_cannot_be_tested_is_refused() -> None:
    grid = price_panel(daily_bars("A", [100, 100], [100, 100]), NO_ACTIONS)
    with pytest.raises(ValueError, match="none of 1 signals has a bar after it"):
        backtest(signals("A", [None, 1.0]), grid)
    with pytest.raises(ValueError, match="none of 1 signals"):
        backtest(signals("Z", [1.0]), grid)
    with pytest.raises(ValueError, match="trials"):
        Options(trials=0)
    with pytest.raises(ValueError, match="nothing below 0"):
        Costs(slippage_bp=-1.0)
    mixed = pl.concat([daily_bars("A", [1], [1]), daily_bars("A", [1], [1]).with_columns(timeframe=pl.lit("1Min"))])
    with pytest.raises(ValueError, match="one timeframe"):
        price_panel(mixed, NO_ACTIONS)


def test_what_has_no_later_bar_yet_is_counted() -> None:
    result = backtest(signals("A", [1.0, 1.0, 1.0]), price_panel(daily_bars("A", [1, 1, 1], [1, 1, 1]), NO_ACTIONS))
    assert (result.executed, result.pending) == (2, 1)


def test_signals_of_real_prices_and_their_comparisons_come_out_sound(data_dir: object) -> None:
    """stocknet, two years, momentum signs as signals: finite where it should be, and the accounts add up."""
    frame = pl.read_parquet(f"{data_dir}/bars/stocknet_daily.parquet")
    time = next(name for name in ("ts", "date", "bar_start") if name in frame.columns)
    start = pl.col(time).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    bars = frame.select(
        "symbol", "open", "high", "low", "close", bar_start=start, bar_end=start + SESSION, timeframe=pl.lit("1Day")
    ).filter(pl.col("close").is_not_null())
    change = pl.col("close").pct_change(5).over("symbol")
    decided = bars.with_columns(strength=(change * 10).clip(-1, 1)).drop_nulls("strength")
    result = backtest(
        signals_of(decided.select("symbol", pl.col("bar_end").alias("as_of"), "strength")),
        price_panel(bars, NO_ACTIONS),
    )
    assert result.reconciliation_error < 1e-9
    assert result.summary.select(pl.all().is_null().any()).row(0) == (False,) * result.summary.width
    assert result.ic["decisions"].min() > 400  # type: ignore[operator]
    assert abs(result.ic["ic"][0]) < 0.1
