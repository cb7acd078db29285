"""Accounts of strategies that trade on a price panel.

Accounts are kept in shares and cash, bar by bar, for many strategies at once: positions drift with prices, costs are
paid on the traded value, and the equity is 1 plus the gains of all symbols. Cash earns no interest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paiid_pipeline.arrays import Floats
from paiid_pipeline.backtest.prices import _YEAR, PricePanel


@dataclass(frozen=True)
class Costs:
    """Trading costs: basis points a side on the traded value, and a yearly rate on short positions."""

    commission_bp: Sequence[float] = (0.0, 5.0, 10.0)
    """Levels, each with its own accounts."""
    slippage_bp: float = 1.0
    """On top of every level: half the spread plus market impact."""
    borrow_rate: float = 0.01
    """On the value of short positions, for the calendar time that they are held."""

    def __post_init__(self) -> None:
        if not self.commission_bp or min(*self.commission_bp, self.slippage_bp, self.borrow_rate) < 0:
            raise ValueError(f"{self}: give at least one commission, and nothing below 0")


@dataclass(frozen=True)
class Accounts:
    """Accounts as arrays of (bars, accounts), at the close of each bar but for ``turnover``.

    ``turnover``: what was traded at the open over the equity, both sides counted. ``gross``: the value of
    all positions, long and short, over the equity. ``earned``: (accounts, symbols), after costs, in units of the
    equity at the start. ``paid``: (accounts,), all costs.
    """

    equity: Floats
    turnover: Floats
    gross: Floats
    earned: Floats
    paid: Floats

    @property
    def returns(self) -> Floats:
        """The return of each bar, (bars, accounts); 0 once an account is ruined."""
        before = np.vstack([np.ones(self.equity.shape[1]), self.equity[:-1]])
        return np.divide(self.equity, before, out=np.ones_like(before), where=before > 0) - 1.0

    @property
    def reconciliation_error(self) -> float:
        """The largest difference between an account's equity and 1 + the gains of its symbols: rounding alone."""
        return float(np.max(np.abs(self.equity[-1] - 1.0 - self.earned.sum(axis=1))))


def simulate(grid: PricePanel, targets: Floats, cost_rates: Floats, borrow_rate: float) -> Accounts:
    """Simulate ``targets`` (accounts, bars, symbols), shares of the equity, each account with its cost rate a side.

    At each open a position is rebalanced to its target share of the equity then; one without
    a bar cannot be traded and is marked at its newest close. A symbol whose bars end for good is sold
    (or bought back) at its last close, costs paid. An account worth nothing or less takes no new position.
    """
    count, bars, names = targets.shape
    shares, cash, mark = np.zeros((count, names)), np.ones(count), np.zeros(names)
    equity, turnover, gross = (np.empty((bars, count)) for _ in range(3))
    earned, paid = np.zeros((count, names)), np.zeros(count)
    years = np.diff(grid.starts, prepend=grid.starts[0]) / _YEAR
    priced = np.isfinite(grid.closes)
    last = np.where(priced.any(axis=0), bars - 1 - np.argmax(priced[::-1], axis=0), -1)
    rates = cost_rates[:, None]
    for bar in range(bars):
        live, target = grid.live[bar], targets[:, bar]
        opens = np.where(live, grid.opens[bar], mark)
        closes = np.where(priced[bar], grid.closes[bar], mark)
        borrowed = np.maximum(-shares, 0.0) * mark * (borrow_rate * years[bar])
        cash -= borrowed.sum(axis=1)
        worth = np.maximum(cash + shares @ opens, 0.0)
        wanted = target * (worth[:, None] / np.where(live, opens, 1.0))
        traded = np.where(live & np.isfinite(target), wanted - shares, 0.0)
        value = np.abs(traded) * opens
        fees = value * rates
        cash -= traded @ opens + fees.sum(axis=1)
        gains = shares * (opens - mark) - borrowed - fees
        shares = shares + traded
        gains += shares * (closes - opens)
        leaving = (last == bar) & (bar < bars - 1)
        if leaving.any():
            left = np.where(leaving, shares, 0.0)
            exit_fees = np.abs(left) * closes * rates
            cash += left @ closes - exit_fees.sum(axis=1)
            gains -= exit_fees
            fees = fees + exit_fees
            shares = shares - left
        earned += gains
        paid += (fees + borrowed).sum(axis=1)
        mark = closes
        equity[bar] = cash + shares @ mark
        turnover[bar] = np.divide(value.sum(axis=1), worth, out=np.zeros(count), where=worth > 0)
        held = np.abs(shares) @ mark
        gross[bar] = np.divide(held, equity[bar], out=np.zeros(count), where=equity[bar] > 0)
    return Accounts(equity, turnover, gross, earned, paid)
