"""How long a backtest takes, against the same accounts kept in plain Python.

    python -m paiid_pipeline_tests.benchmarks.bench_backtest               50 symbols x 1 year
    BENCH=full python -m paiid_pipeline_tests.benchmarks.bench_backtest   100 symbols x 3 years

Ours goes from frames of bars and signals to the whole report: three strategies at three cost levels, 100
random ones, IC with intervals. Theirs keeps one account at one cost level, so its time is multiplied by the number
of accounts that ours keeps.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from paiid_pipeline.backtest.prices import PricePanel, price_panel
from paiid_pipeline.backtest.simulation import Backtest, Options, backtest, place_all
from paiid_pipeline.schemas import STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline_tests.benchmarks.table import Row, show
from paiid_pipeline_tests.signals.markets import random_bars, signals_of

HISTORY = 260
TURNS = 5
OPTIONS = Options()
ACCOUNTS = 3 * len(OPTIONS.costs.commission_bp) + OPTIONS.draws


def inputs(symbols: int, days: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bars with a year of history, and a random signal a symbol and day after it."""
    bars = random_bars(symbols, days + HISTORY)
    first = bars["bar_start"].unique().sort()[HISTORY]
    moments = bars.filter(pl.col("bar_start") >= first).select("symbol", as_of="bar_end")
    strength = pl.Series("strength", np.random.default_rng(0).uniform(-1, 1, moments.height))
    return bars, signals_of(moments.with_columns(strength))


def whole(bars: pl.DataFrame, signals: pl.DataFrame) -> Backtest:
    """From frames to the report."""
    return backtest(signals, price_panel(bars, empty(STORED_CORPORATE_ACTIONS)), OPTIONS)


def plain_account(grid: PricePanel, targets: list[list[float]], rate: float) -> list[float]:
    """The equity at each close of one account without shorts' borrow, symbol by symbol."""
    opens, closes = grid.opens.tolist(), grid.closes.tolist()
    cash, shares, curve = 1.0, [0.0] * len(grid.symbols), []
    for row, target in enumerate(targets):
        worth = cash + sum(held * price for held, price in zip(shares, opens[row], strict=True))
        for column, price in enumerate(opens[row]):
            traded = target[column] * worth / price - shares[column]
            shares[column] += traded
            cash -= traded * price + abs(traded) * price * rate
        curve.append(cash + sum(held * price for held, price in zip(shares, closes[row], strict=True)))
    return curve


def timed(function: Callable[[], object]) -> float:
    """The median seconds of a few calls."""
    times = []
    for _ in range(TURNS):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Measure and print the table."""
    symbols, days = (100, 756) if os.environ.get("BENCH") == "full" else (50, 252)
    bars, signals = inputs(symbols, days)
    placed = place_all(signals, price_panel(bars, empty(STORED_CORPORATE_ACTIONS)), OPTIONS)
    targets = placed.target_weights["signals"].tolist()
    free = Options(costs=type(OPTIONS.costs)(commission_bp=(5.0,), slippage_bp=0.0, borrow_rate=0.0), draws=1)
    same = backtest(signals, price_panel(bars, empty(STORED_CORPORATE_ACTIONS)), free).curves
    np.testing.assert_allclose(
        same.filter(pl.col("strategy") == "signals")["equity"], plain_account(placed.grid, targets, 5e-4), rtol=1e-9
    )
    ours = timed(lambda: whole(bars, signals))
    theirs = timed(lambda: plain_account(placed.grid, targets, 5e-4)) * ACCOUNTS
    rows = [Row(f"{ACCOUNTS} accounts, IC, report", f"{ours:.2f} s", f"{theirs:.2f} s", ours / theirs, "<= 2 s")]
    show(f"Backtest: {symbols} symbols x {days} days, frames to report, against plain Python", rows)


if __name__ == "__main__":
    main()
