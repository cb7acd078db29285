"""Backtest of signals, each executed at the open of the next bar after it was known.

Benchmarks: buy and hold, momentum, and the signals' own positions permuted over symbols and time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Mask
from paiid_pipeline.backtest.accounts import Accounts, Costs, simulate
from paiid_pipeline.backtest.prices import PricePanel, symbol_codes
from paiid_pipeline.backtest.return_statistics import (
    block_bootstrap,
    calibration,
    deflated_sharpe,
    drawdown,
    rank_ic,
    sharpe,
    sortino,
    wilson,
)
from paiid_pipeline.schemas import SIDES


def execution_bars(signals: pl.DataFrame, grid: PricePanel, decision_lag: timedelta) -> pl.DataFrame:
    """``signals`` with ``bar`` and ``column``: where in the grid each is executed.

    That is the first bar that starts at or after the decision was known (as_of + ``decision_lag``). Of several
    decisions on a symbol for one bar the newest counts, and of several signals of one decision the last
    row. Signals without a later bar or of a symbol without any are left out.
    """
    known = signals.filter(pl.col("symbol").is_in(list(grid.symbols))).sort("as_of", maintain_order=True)
    moments = (known["as_of"] + decision_lag).to_physical().to_numpy()
    placed = known.with_columns(
        pl.Series("bar", np.searchsorted(grid.starts, moments, side="left").astype(np.int64)),
        pl.Series("column", symbol_codes(known, grid.symbols), dtype=pl.Int64),
    )
    return placed.filter(pl.col("bar") < len(grid.starts)).unique(["symbol", "bar"], keep="last", maintain_order=True)


def signed_weights(placed: pl.DataFrame) -> pl.Series:
    """The share of the equity that each placed signal takes: above 0 long, below short.

    Its ``position_fraction`` where a risk manager has set one, else an equal share of the decisions for
    that bar; 0 for HOLD. Where the shares of one bar add up to more than all, each is cut in proportion.
    """
    side = pl.col("signal").replace_strict(SIDES, return_dtype=pl.Float64)
    size = pl.col("position_fraction").abs().fill_null(1.0 / pl.len().over("bar"))
    weights = placed.select("bar", (side * size).alias("weight"))
    gross = pl.col("weight").abs().sum().over("bar")
    return weights.select(pl.col("weight") / pl.max_horizontal(gross, pl.lit(1.0)))["weight"]


def target_weights_of(placed: pl.DataFrame, weights: pl.Series, grid: PricePanel, hold: int = 1) -> Floats:
    """What share of the equity to hold in each symbol from the open of each bar: (bars, symbols).

    NaN leaves a position as it is. A decision holds for ``hold`` bars; where none has followed by then, because
    it was withheld, the position is closed.
    """
    target_weights = np.zeros((len(grid.starts), len(grid.symbols)))
    bar, column = placed["bar"].to_numpy(), placed["column"].to_numpy()
    for later in range(1, hold):
        standing = bar + later < len(grid.starts)
        target_weights[bar[standing] + later, column[standing]] = np.nan
    target_weights[bar, column] = weights.to_numpy()
    return target_weights


def buy_and_hold(decided: Mask) -> Floats:
    """Targets of an equal share in every symbol decided on so far, traded only when one joins."""
    members: Mask = np.maximum.accumulate(decided, axis=0)
    joined = np.any(np.vstack([members[:1], members[1:] & ~members[:-1]]), axis=1, keepdims=True)
    return np.where(joined, _equal_share(members), np.nan)


def momentum(grid: PricePanel, decided: Mask, decision_lag: timedelta, lookback: int = 252, skip: int = 21) -> Floats:
    """Targets by the sign of the past return, an equal share a decision: Moskowitz, Ooi and Pedersen 2012.

    The return runs from ``lookback`` to ``skip`` bars before the newest bar that was known at the open.
    Without so much history nothing is held.
    """
    delay = decision_lag // timedelta(microseconds=1)
    newest = np.searchsorted(grid.ends + delay, grid.starts, side="right") - 1
    reach = np.maximum(newest - lookback, 0)
    known = newest >= lookback
    past = np.where(known[:, None], grid.marks[np.maximum(newest - skip, 0)] / grid.marks[reach] - 1.0, np.nan)
    return np.where(np.isfinite(past), np.sign(past), 0.0) * _equal_share(decided)


def _equal_share(members: Mask) -> Floats:
    counts = np.maximum(np.sum(members, axis=1, keepdims=True), 1)
    return np.where(members, 1.0 / counts, 0.0)


def permuted_weights(target_weights: Floats, draws: int, seed: int) -> Floats:
    """Targets of the same turnover without information, (draws, bars, symbols).

    Each draw gives every symbol another one's targets, all moved along in time by the same random
    number of bars, around the end: exposure, concentration and turnover stay, what they refer to does not.
    """
    rng = np.random.default_rng(seed)
    bars, names = target_weights.shape
    return np.stack(
        [np.roll(target_weights, int(rng.integers(bars)), axis=0)[:, rng.permutation(names)] for _ in range(draws)]
    )


@dataclass(frozen=True)
class Options:
    """Parameters of a backtest."""

    costs: Costs = field(default_factory=Costs)
    decision_lag: timedelta = timedelta(seconds=15)
    """How long after its moment a decision is known."""
    hold: int = 1
    """The holding period in bars: those between two decisions."""
    trials: int = 1
    """Number of variants tried, this one included: what the deflated Sharpe ratio corrects for."""
    ahead: Sequence[int] = (1, 5, 20)
    """Over how many bars the forward returns of the rank IC run."""
    draws: int = 100
    """How many random strategies to compare with."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.hold, self.trials, self.draws, *self.ahead) < 1:
            raise ValueError(f"{self}: hold, trials, draws and ahead must be at least 1")


@dataclass(frozen=True)
class ScheduledSignals:
    """Signals on a grid that starts with the first bar at which one of them is executed."""

    grid: PricePanel
    signals: pl.DataFrame
    """With ``bar``, ``column`` and ``weight``."""
    target_weights: Mapping[str, Floats]
    """By strategy, (bars, symbols): the signals themselves, and what they are compared with."""
    pending: int
    """Signals for which there is no later bar yet."""


def place_all(signals: pl.DataFrame, grid: PricePanel, options: Options) -> ScheduledSignals:
    """The signals and the strategies to compare them with, on the same grid and universe.

    The universe of a bar is what was decided on for it: no symbol counts before there was a decision on it.
    Raises ValueError where no signal has a later bar.
    """
    placed = execution_bars(signals, grid, options.decision_lag)
    if placed.is_empty():
        raise ValueError(
            f"none of {signals.height} signals has a bar after it among {len(grid.starts)} bars of "
            f"{len(grid.symbols)} symbols: store bars past the decisions first"
        )
    first = int(placed["bar"].min())  # type: ignore[arg-type]
    decided = np.zeros(grid.opens.shape, dtype=np.bool_)
    decided[placed["bar"].to_numpy(), placed["column"].to_numpy()] = True
    weights = signed_weights(placed)
    target_weights = {
        "signals": target_weights_of(placed, weights, grid, options.hold),
        "buy and hold": buy_and_hold(decided),
        "momentum": np.where(
            np.any(decided, axis=1, keepdims=True), momentum(grid, decided, options.decision_lag), np.nan
        ),
    }
    return ScheduledSignals(
        grid=grid.since(first),
        signals=placed.with_columns(weights.alias("weight"), pl.col("bar") - first),
        target_weights={name: target[first:] for name, target in target_weights.items()},
        pending=signals.filter(pl.col("as_of").add(options.decision_lag).to_physical() > grid.starts[-1]).height,
    )


@dataclass(frozen=True)
class Backtest:
    """The results; a statistic with too little data is null or NaN."""

    summary: pl.DataFrame
    """strategy, commission_bp, total_return, annual_return, volatility, sharpe, sortino, max_drawdown,
    annual_turnover, mean_gross, costs_paid; years and shares of 1."""
    curves: pl.DataFrame
    """strategy, commission_bp, moment (the close of each bar), equity, drawdown, turnover, gross."""
    ic: pl.DataFrame
    """bars_ahead, ic, low, high (95 %, block bootstrap), decisions: how many cross-sections."""
    calibration: pl.DataFrame
    """low, high (of confidence), forecasts, confidence, hit_rate."""
    hit_rate: float
    """The share of positions with the sign of the next bar's return; unmoved prices left out."""
    hit_interval: tuple[float, float]
    hits_of: int
    deflated_sharpe: float
    """The probability that the signals' Sharpe ratio is above 0, after all trials; at the middle commission."""
    random_share: float
    """The share of random strategies, and of the signals themselves, that do no worse than the signals."""
    reconciliation_error: float
    """The largest gap between an account's equity and the sum of what its symbols earned."""
    executed: int
    pending: int
    trials: int
    first: datetime
    last: datetime


def backtest(signals: pl.DataFrame, grid: PricePanel, options: Options | None = None) -> Backtest:
    """Trade ``signals`` on ``grid``, and compare with benchmarks.

    ``signals``: `schemas.SIGNALS` of one horizon and engine, each with what was decided then; ``grid``:
    of the bars of that horizon's timeframe, with a year of history for the momentum that it is compared
    with. Next-bar execution, costs a side and on what is borrowed (see `Costs`); stops are not simulated,
    since every bar brings a new decision. Raises ValueError where no signal has a later bar.
    """
    options = options or Options()
    placed = place_all(signals, grid, options)
    levels = np.array(options.costs.commission_bp)
    names = list(placed.target_weights)
    rates = (levels + options.costs.slippage_bp) * 1e-4
    stacked = np.stack([placed.target_weights[name] for name in names for _ in rates])
    accounts = simulate(placed.grid, stacked, np.tile(rates, len(names)), options.costs.borrow_rate)
    labels = [(name, level) for name in names for level in levels.tolist()]
    middle = len(levels) // 2
    returns = accounts.returns
    hits = _hits(placed)
    right, count = int(hits["hit"].sum()), hits.height
    return Backtest(
        summary=pl.DataFrame([_summary(*label, accounts, i, grid.bars_a_year) for i, label in enumerate(labels)]),
        curves=pl.concat(_curve(*label, accounts, i, placed.grid) for i, label in enumerate(labels)),
        ic=pl.DataFrame([_ic(placed, ahead, options.seed) for ahead in options.ahead], schema=_IC, orient="row"),
        calibration=calibration(hits, "confidence", "hit"),
        hit_rate=right / count if count else math.nan,
        hit_interval=wilson(right, count),
        hits_of=count,
        deflated_sharpe=deflated_sharpe(returns[:, middle], options.trials),
        random_share=_random_share(placed, options, float(rates[middle]), returns[:, middle]),
        reconciliation_error=accounts.reconciliation_error,
        executed=placed.signals.height,
        pending=placed.pending,
        trials=options.trials,
        first=signals["as_of"].min(),  # type: ignore[arg-type]
        last=signals["as_of"].max(),  # type: ignore[arg-type]
    )


_IC = {"bars_ahead": pl.Int64, "ic": pl.Float64, "low": pl.Float64, "high": pl.Float64, "decisions": pl.Int64}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _summary(strategy: str, level: float, accounts: Accounts, index: int, bars_a_year: float) -> dict[str, object]:
    equity, returns = accounts.equity[:, index], accounts.returns[:, index]
    years = len(equity) / bars_a_year
    final = float(equity[-1])
    numbers = {
        "total_return": final - 1.0,
        "annual_return": max(final, 0.0) ** (1 / years) - 1.0 if years >= 0.25 else math.nan,
        "volatility": float(np.std(returns, ddof=1)) * math.sqrt(bars_a_year) if len(returns) > 1 else math.nan,
        "sharpe": sharpe(returns, bars_a_year),
        "sortino": sortino(returns, bars_a_year),
        "max_drawdown": float(np.min(drawdown(np.append(1.0, equity)))),
        "annual_turnover": float(np.mean(accounts.turnover[:, index])) * bars_a_year,
        "mean_gross": float(np.mean(accounts.gross[:, index])),
        "costs_paid": float(accounts.paid[index]),
    }
    return {"strategy": strategy, "commission_bp": level, **{name: _known(value) for name, value in numbers.items()}}


def _curve(strategy: str, level: float, accounts: Accounts, index: int, grid: PricePanel) -> pl.DataFrame:
    equity = accounts.equity[:, index]
    return pl.DataFrame(
        {
            "strategy": [strategy] * len(equity),
            "commission_bp": [level] * len(equity),
            "moment": pl.Series(grid.ends).cast(pl.Datetime("us", "UTC")),
            "equity": equity,
            "drawdown": drawdown(np.append(1.0, equity))[1:],
            "turnover": accounts.turnover[:, index],
            "gross": accounts.gross[:, index],
        }
    )


def _outcomes(placed: ScheduledSignals, ahead: int) -> pl.DataFrame:
    """The placed signals with ``outcome``, the return from their execution to so many bars on; null at the end."""
    outcomes = placed.grid.forward_returns(ahead)
    found = outcomes[placed.signals["bar"].to_numpy(), placed.signals["column"].to_numpy()]
    return placed.signals.with_columns(pl.Series("outcome", found).fill_nan(None))


def _hits(placed: ScheduledSignals) -> pl.DataFrame:
    moved = _outcomes(placed, 1).filter((pl.col("weight") != 0) & (pl.col("outcome") != 0))
    return moved.select("confidence", (pl.col("weight").sign() == pl.col("outcome").sign()).alias("hit"))


def _ic(placed: ScheduledSignals, ahead: int, seed: int) -> tuple[int, float | None, float | None, float | None, int]:
    within = rank_ic(_outcomes(placed, ahead), "strength", "outcome", "bar")["ic"].to_numpy()
    if not len(within):
        return ahead, None, None, None, 0
    # Outcomes of neighbouring decisions overlap for `ahead` bars: the blocks must be longer than that.
    low, high = block_bootstrap(within, max(2 * ahead, 10), seed=seed)
    return ahead, float(np.mean(within)), _known(low), _known(high), len(within)


def _random_share(placed: ScheduledSignals, options: Options, rate: float, returns: Floats) -> float:
    own = sharpe(returns, 1.0)
    if math.isnan(own):
        return math.nan
    draws = permuted_weights(placed.target_weights["signals"], options.draws, options.seed)
    random = simulate(placed.grid, draws, np.full(options.draws, rate), options.costs.borrow_rate).returns
    better = sum(sharpe(random[:, draw], 1.0) >= own for draw in range(options.draws))
    return (1 + better) / (1 + options.draws)
