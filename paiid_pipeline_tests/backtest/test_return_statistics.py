"""The statistics: known answers, their definitions done by hand, and the coverage that they promise."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.backtest.return_statistics import (
    block_bootstrap,
    calibration,
    deflated_sharpe,
    drawdown,
    expected_best_sharpe,
    probability_above,
    rank_ic,
    sharpe,
    sortino,
    wilson,
)


def test_sharpe_and_sortino_by_hand() -> None:
    returns = np.array([0.02, -0.01, 0.03, 0.0])
    assert sharpe(returns, 252) == pytest.approx(0.01 / (math.sqrt(10e-4 / 3)) * math.sqrt(252))
    assert sortino(returns, 252) == pytest.approx(0.01 / math.sqrt(1e-4 / 4) * math.sqrt(252))


@pytest.mark.parametrize("returns", [[], [0.01], [0.01, 0.01, 0.01], [0.1 + 0.2, 0.3]])
def test_what_does_not_vary_has_no_ratio(returns: list[float]) -> None:
    assert math.isnan(sharpe(np.array(returns), 252))
    assert math.isnan(deflated_sharpe(np.array(returns), 1))


def test_the_deflated_sharpe_ratio_answers_its_authors_example() -> None:
    """Bailey and López de Prado 2014: annual ratio 2.5 of 1,250 days, best of 100 trials of variance 1/2."""
    hurdle = expected_best_sharpe(100, 0.5 / 250)
    assert hurdle == pytest.approx(0.1132, abs=1e-4)
    assert probability_above(2.5 / math.sqrt(250), hurdle, 1250, -3, 10) == pytest.approx(0.9004, abs=1e-4)


def test_more_trials_make_the_same_returns_less_convincing() -> None:
    returns = np.random.default_rng(0).normal(0.001, 0.01, 500)
    sure = [deflated_sharpe(returns, trials) for trials in (1, 2, 10, 1000)]
    assert sure == sorted(sure, reverse=True)
    with pytest.raises(ValueError, match="at least 1"):
        deflated_sharpe(returns, 0)


def test_the_best_of_many_worthless_strategies_is_not_convincing() -> None:
    """Uncorrected, the best of 200 looks all but certain; corrected for the 200 it hardly ever does."""
    convinced, fooled = 0, 0
    for seed in range(40):
        trials = np.random.default_rng(seed).normal(0, 0.01, (200, 500))
        best = max(trials, key=lambda returns: sharpe(returns, 1.0))
        fooled += deflated_sharpe(best, 1) > 0.95
        convinced += deflated_sharpe(best, 200) > 0.95
    assert fooled == 40
    assert convinced <= 6


def test_drawdown_is_measured_from_the_highest_so_far() -> None:
    assert drawdown(np.array([1.0, 2.0, 1.0, 3.0])).tolist() == [0.0, 0.0, -0.5, 0.0]


def test_rank_ic_is_the_correlation_of_ranks_within_each_group() -> None:
    rng = np.random.default_rng(1)
    score, outcome = rng.normal(size=60), rng.normal(size=60)
    frame = pl.DataFrame({"t": [2] * 30 + [1] * 30, "score": score, "outcome": outcome})
    found = rank_ic(frame, "score", "outcome", "t")
    assert found["t"].to_list() == [1, 2]
    for place, part in ((1, slice(0, 30)), (0, slice(30, 60))):
        ranks = [values[part].argsort().argsort() for values in (score, outcome)]
        assert found["ic"][place] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert found["names"].to_list() == [30, 30]


def test_rank_ic_leaves_out_what_cannot_be_ranked() -> None:
    """Two names, no variation, and rows with a hole or NaN."""
    frame = pl.DataFrame(
        {
            "t": [1, 1, 2, 2, 2, 3, 3, 3, 3],
            "score": [1.0, 2, 5, 5, 5, 1, 2, 3, math.nan],
            "outcome": [1.0, 2, 1, 2, 3, 1, 2, 3, -9],
        }
    )
    found = rank_ic(frame, "score", "outcome", "t")
    assert found.rows() == [(3, pytest.approx(1.0), 3)]


def test_the_block_bootstrap_covers_the_mean_of_a_dependent_series_where_single_draws_do_not() -> None:
    """AR(1) with coefficient 0.7: of 150 intervals at 95 %, blocks hold nearly all, blocks of one far fewer."""
    held = {1: 0, 25: 0}
    for seed in range(150):
        noise = np.random.default_rng(seed).normal(size=500)
        series = np.zeros(500)
        for step in range(1, 500):
            series[step] = 0.7 * series[step - 1] + noise[step]
        for block in held:
            low, high = block_bootstrap(series, block, draws=400, seed=seed)
            held[block] += low <= 0 <= high
    assert held[25] >= 125
    assert held[1] <= 105


def test_the_bootstrap_repeats_itself_and_refuses_nonsense() -> None:
    values = np.arange(30.0)
    assert block_bootstrap(values, 5, seed=3) == block_bootstrap(values, 5, seed=3)
    assert all(math.isnan(edge) for edge in block_bootstrap(values[:1], 5))
    with pytest.raises(ValueError, match="block=0"):
        block_bootstrap(values, 0)


def test_wilson_interval() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert all(math.isnan(edge) for edge in wilson(0, 0))


def test_calibration_sets_confidence_beside_what_came_true() -> None:
    frame = pl.DataFrame({"c": [0.1, 0.15, 0.9, 1.0, None], "hit": [False, True, True, True, True]})
    assert calibration(frame, "c", "hit").rows() == [
        (0.0, 0.2, 2, pytest.approx(0.125), 0.5),
        (0.8, 1.0, 2, pytest.approx(0.95), 1.0),
    ]
