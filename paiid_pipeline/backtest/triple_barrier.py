"""Labels of decisions: the forward return from the next tradable price, and the barrier met first.

Labels look ahead: they are for training and evaluation, never for decisions. Each carries the moment when it was known,
so that a split can purge it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Indices
from paiid_pipeline.backtest.prices import PricePanel
from paiid_pipeline.backtest.simulation import execution_bars
from paiid_pipeline.schemas import MOMENT, Schema

LABELS: Schema = {
    "forward_return": pl.Float64,  # from the open of entry to the open so many bars later
    "barrier": pl.Int64,  # 1 the upper one was met first, -1 the lower, 0 neither in time
    "barrier_return": pl.Float64,  # from the open of entry to where the barriers let go
    "entry": MOMENT,  # start of the bar at whose open the decision is executed
    "label_end": MOMENT,  # when both outcomes were known
}
"""The columns that :func:`label` adds; null where the bars end before the outcome."""


@dataclass(frozen=True)
class Barriers:
    """Distances of the barriers, in units of the decision's own volatility, and their horizon in bars."""

    bars: int = 5
    upper: float = 2.0
    lower: float = 2.0

    def __post_init__(self) -> None:
        if self.bars < 1 or self.upper <= 0 or self.lower <= 0:
            raise ValueError(f"{self}: bars must be at least 1, upper and lower above 0")


def label(
    decisions: pl.DataFrame, grid: PricePanel, decision_lag: timedelta, barriers: Barriers | None = None
) -> pl.DataFrame:
    """``decisions`` with ``LABELS``, in their order.

    ``decisions``: symbol, as_of and volatility (a bar, as a share of the price; known at the decision), at
    most one row a symbol and moment. Entry is the open of the first bar that starts ``decision_lag`` or more
    after as_of; where the symbol has no bar then, nothing can be bought and nothing is labelled. The triple
    barrier is that of López de Prado 2018, 3.2: of a bar that meets both barriers the lower one counts, and a
    bar that opens beyond one leaves at that open. A price path that ends for good leaves at its last close.
    """
    barriers = barriers or Barriers()
    numbered = decisions.with_row_index("_row")
    placed = execution_bars(numbered, grid, decision_lag)
    bar, column = placed["bar"].to_numpy(), placed["column"].to_numpy()
    volatility = placed["volatility"].fill_null(float("nan")).to_numpy()
    side, left, exit_bar = _first_met(grid, bar, column, volatility, barriers)
    forward = grid.forward_returns(barriers.bars)[bar, column]
    over = bar + barriers.bars < len(grid.starts)
    known = over & np.isfinite(forward) & np.isfinite(left)
    # The forward return is known at the open that ends it, a barrier at the end of the bar that met it.
    last = np.maximum(grid.starts[np.minimum(bar + barriers.bars, len(grid.starts) - 1)], grid.ends[exit_bar])
    outcome = pl.DataFrame(
        {
            "_row": placed["_row"],
            "forward_return": forward,
            "barrier": side,
            "barrier_return": left,
            "entry": pl.Series(grid.starts[bar]).cast(MOMENT),
            "label_end": pl.Series(last).cast(MOMENT),
        }
    ).filter(pl.Series(known, dtype=pl.Boolean))
    return numbered.join(outcome, on="_row", how="left", maintain_order="left").drop("_row")


def _first_met(
    grid: PricePanel, bar: Indices, column: Indices, volatility: Floats, barriers: Barriers
) -> tuple[Indices, Floats, Indices]:
    """Of each entry: which barrier was met first, the return at which it left, and in which bar."""
    entry = grid.opens[bar, column]
    upper, lower = entry * (1 + barriers.upper * volatility), entry * (1 - barriers.lower * volatility)
    side = np.zeros(len(bar), dtype=np.int64)
    price, exit_bar = np.full(len(bar), np.nan), bar.copy()
    waiting = np.isfinite(entry) & np.isfinite(volatility)
    for step in range(barriers.bars):
        now = np.minimum(bar + step, len(grid.starts) - 1)
        opens, highs, lows = (prices[now, column] for prices in (grid.opens, grid.highs, grid.lows))
        for sign, met, level in (
            (-1, lows <= lower, np.fmin(opens, lower)),
            (1, highs >= upper, np.fmax(opens, upper)),
        ):
            hit = waiting & met
            side[hit], price[hit], exit_bar[hit] = sign, level[hit], now[hit]
            waiting &= ~hit
        exit_bar[waiting] = now[waiting]
        price[waiting] = grid.marks[now, column][waiting]
    return side, price / entry - 1.0, exit_bar
