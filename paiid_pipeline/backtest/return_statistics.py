"""Performance statistics of returns and forecasts, with intervals.

Returns are simple, one a period (0.01 is one percent). A statistic with too little data is NaN, never 0.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats

EULER_GAMMA = 0.5772156649015329
MINIMUM_NAMES = 3
"""A rank correlation over fewer names is -1, 0 or 1 by luck."""
_NORMAL = NormalDist()
_NEGLIGIBLE = 1e-12
"""A standard deviation below this is the rounding of returns that do not vary."""


def sharpe(returns: Floats, periods: float) -> float:
    """mean / standard deviation (n - 1), times sqrt(periods a year); Sharpe 1994, risk-free rate 0.

    >>> round(sharpe(np.array([0.01, -0.005, 0.02, 0.0]), periods=252), 2)
    8.95
    """
    if len(returns) < 2 or (spread := float(np.std(returns, ddof=1))) < _NEGLIGIBLE:
        return math.nan
    return float(np.mean(returns)) / spread * math.sqrt(periods)


def sortino(returns: Floats, periods: float) -> float:
    """mean / sqrt(mean(min(r, 0)^2)), times sqrt(periods a year); Sortino and Price 1994, target 0."""
    if len(returns) < 2 or (downside := math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))) < _NEGLIGIBLE:
        return math.nan
    return float(np.mean(returns)) / downside * math.sqrt(periods)


def expected_best_sharpe(trials: int, variance: float) -> float:
    """The expected maximum of the Sharpe ratios of so many trials whose true ratio is 0.

    sqrt(V) ((1 - g) z(1 - 1/N) + g z(1 - 1/(N e))), g Euler's constant: Bailey and López de Prado, "The
    deflated Sharpe ratio", 2014. ``variance``: of the trials' Sharpe ratios, a period. 0 for one trial.
    """
    if trials < 1:
        raise ValueError(f"{trials} trials: the strategy itself is one, so give at least 1")
    if trials == 1:
        return 0.0
    low, high = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_GAMMA) * low + EULER_GAMMA * high)


def probability_above(single: float, hurdle: float, count: int, skew: float, kurtosis: float) -> float:
    """The probability that the true Sharpe ratio is above ``hurdle``, where ``count`` returns show ``single``.

    Phi((S - S0) sqrt(n - 1) / sqrt(1 - skew S + (kurtosis - 1) / 4 S^2)): the same paper. Ratios a period;
    3 is the kurtosis of a normal distribution.
    """
    spread = 1 - skew * single + (kurtosis - 1) / 4 * single**2
    return _NORMAL.cdf((single - hurdle) * math.sqrt(count - 1) / math.sqrt(spread)) if spread > 0 else math.nan


def deflated_sharpe(returns: Floats, trials: int, variance: float | None = None) -> float:
    """The probability that the true Sharpe ratio is above 0, though this is the best of ``trials``.

    :func:`probability_above` the :func:`expected_best_sharpe` of so many trials. ``variance`` of their
    ratios; where it is not known, 1 / (n - 1), that of trials of this length whose true ratio is 0.
    """
    single, count = sharpe(returns, 1.0), len(returns)
    if math.isnan(single) or count < 3:
        return math.nan
    standard = (returns - np.mean(returns)) / np.std(returns)
    hurdle = expected_best_sharpe(trials, 1 / (count - 1) if variance is None else variance)
    return probability_above(single, hurdle, count, float(np.mean(standard**3)), float(np.mean(standard**4)))


def drawdown(equity: Floats) -> Floats:
    """The equity relative to its running maximum, minus 1: in [-1, 0].

    >>> drawdown(np.array([1.0, 1.25, 1.0, 1.5])).round(2).tolist()
    [0.0, 0.0, -0.2, 0.0]
    """
    return equity / np.maximum.accumulate(equity) - 1.0


def rank_ic(frame: pl.DataFrame, score: str, outcome: str, by: str) -> pl.DataFrame:
    """Spearman's rank correlation of ``score`` and ``outcome`` within each ``by``: (by, ic, names), in order.

    Rows where one of them is null or not finite do not count. ``by`` with fewer than ``MINIMUM_NAMES``
    rows, or with no variation, is left out. Ties share their mean rank.
    """
    sound = frame.filter(pl.col(score).is_finite() & pl.col(outcome).is_finite()).sort(by)
    ranks = sound.select(by, *(pl.col(name).rank("average").over(by).alias(name) for name in (score, outcome)))
    within = ranks.group_by(by, maintain_order=True).agg(
        pl.corr(score, outcome).alias("ic"), pl.len().cast(pl.Int64).alias("names")
    )
    return within.filter((pl.col("names") >= MINIMUM_NAMES) & pl.col("ic").is_finite())


def block_bootstrap(
    values: Floats, block: int, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The percentile interval of the mean of a dependent series, by the circular block bootstrap.

    Politis and Romano 1992: blocks of ``block`` consecutive values, wrapping around, drawn with
    replacement to the length of the series. The same seed gives the same interval. NaN below two values.
    """
    n = len(values)
    if block < 1 or draws < 1 or not 0 < level < 1:
        raise ValueError(f"block={block}, draws={draws}, level={level}: use block >= 1, draws >= 1, 0 < level < 1")
    if n < 2:
        return math.nan, math.nan
    block = min(block, n)
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values]))])
    rng = np.random.default_rng(seed)
    count = -(-n // block)
    starts = rng.integers(0, n, size=(draws, count))
    lengths = np.full(count, block)
    lengths[-1] = n - block * (count - 1)
    means = (running[starts + lengths] - running[starts]).sum(axis=1) / n
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson(hits: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's 1927 score interval of a proportion; (NaN, NaN) without observations.

    >>> tuple(round(end, 3) for end in wilson(8, 10))
    (0.49, 0.943)
    """
    if count == 0:
        return math.nan, math.nan
    z = _NORMAL.inv_cdf((1 + level) / 2)
    share, squared = hits / count, z * z / count
    middle = (share + squared / 2) / (1 + squared)
    half = z / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    return middle - half, middle + half


def calibration(frame: pl.DataFrame, confidence: str, hit: str, bins: int = 5) -> pl.DataFrame:
    """Reliability of forecasts: (low, high, forecasts, confidence, hit_rate), a row a bin.

    Equal bins of [0, 1], those without forecasts left out. ``hit``: Boolean; rows with nulls do not count.
    """
    known = frame.select(confidence, hit).drop_nulls()
    places = (pl.col(confidence) * bins).floor().clip(0, bins - 1).cast(pl.Int64)
    binned = known.group_by(places.alias("bin")).agg(
        pl.len().cast(pl.Int64).alias("forecasts"),
        pl.col(confidence).mean().alias("confidence"),
        pl.col(hit).mean().alias("hit_rate"),
    )
    edges = [((pl.col("bin") + step) / float(bins)).alias(name) for step, name in ((0, "low"), (1, "high"))]
    return binned.sort("bin").select(*edges, "forecasts", "confidence", "hit_rate")
