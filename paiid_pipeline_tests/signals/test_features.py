"""Features: scale-free, from their own row alone; and the controls that a model's evaluation has to pass."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.backtest.prices import price_panel
from paiid_pipeline.backtest.return_statistics import block_bootstrap, rank_ic
from paiid_pipeline.backtest.triple_barrier import Barriers, label
from paiid_pipeline.lookahead.audit import audit
from paiid_pipeline.lookahead.decision_path import History, Output
from paiid_pipeline.schemas import DECISION_KEY, STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline.signals.features import FEATURES, features
from paiid_pipeline_tests.lookahead.histories import DECISION_LAG
from paiid_pipeline_tests.lookahead.test_audit import PIPELINE, history


def with_features(history: History) -> Output:
    made = PIPELINE(history)
    return {**made, "features": features(made["technical_indicators"], made["symbol_sentiment"])}


def with_tomorrow(history: History) -> Output:
    """The plant: a feature that is what came of the decision."""
    made = with_features(history)
    grid = price_panel(
        history.bars.filter(pl.col("timeframe") == "1Min")
        .sort("known_at")
        .unique(["symbol", "bar_start"], keep="last", maintain_order=True),
        empty(STORED_CORPORATE_ACTIONS),
    )
    came = label(made["features"].select(*DECISION_KEY, volatility=pl.lit(0.01)), grid, DECISION_LAG, Barriers(bars=3))
    return {**made, "features": made["features"].with_columns(came["forward_return"].alias("heard"))}


def test_no_feature_of_a_random_history_looks_ahead_and_a_planted_one_is_refused() -> None:
    for seed in range(3):
        whole = history(seed)
        honest = audit(with_features, whole, whole.decisions)
        assert honest.differences == []
        assert honest.rows["features, recomputed from all that is known now"] > 5
        leaked = audit(with_tomorrow, whole, whole.decisions)
        assert {(found.table, found.column) for found in leaked.differences} == {("features", "heard")}


def test_a_feature_depends_on_no_other_row() -> None:
    """Bit for bit, one row at a time: no scaler, no rank, no filling."""
    made = PIPELINE(history(1))
    indicators, sentiment = made["technical_indicators"], made["symbol_sentiment"]
    whole = features(indicators, sentiment)
    alone = pl.concat(features(indicators[place], sentiment) for place in range(indicators.height))
    assert whole.equals(alone)
    assert whole.drop(DECISION_KEY).schema == dict.fromkeys(FEATURES, pl.Float64())


@pytest.mark.parametrize("factor", [2.0**-7, 2.0**10])
def test_features_do_not_know_the_unit_of_the_price(factor: float) -> None:
    """Powers of two move no bits, so the features of a stock at 1,000 times the price are the very same."""
    whole = history(2)
    scaled_bars = whole.bars.with_columns(pl.col("open", "high", "low", "close", "vwap") * factor)
    dividends = whole.actions.with_columns(pl.col("amount") * factor)
    scaled = History(scaled_bars, dividends, whole.scores, whole.decisions)
    mine, other = (with_features(each)["features"] for each in (whole, scaled))
    assert mine.height > 5
    for name in FEATURES:
        np.testing.assert_allclose(mine[name], other[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_what_is_not_known_stays_null_and_nothing_is_infinite() -> None:
    made = PIPELINE(history(1))
    silent = features(made["technical_indicators"], made["symbol_sentiment"].clear())
    assert silent["sentiment"].null_count() == silent.height
    assert silent["heard"].to_list() == [0.0] * silent.height
    odd = made["technical_indicators"].with_columns(sma_20=pl.lit(0.0), atr_14=pl.lit(None, dtype=pl.Float64))
    broken = features(odd, made["symbol_sentiment"])
    assert broken["above_sma_20"].null_count() == broken["macd"].null_count() == broken.height


def panel(correlation: float, seed: int, days: int = 750, names: int = 200) -> pl.DataFrame:
    """Cross-sections of outcomes, and a feature that has so much to do with them."""
    rng = np.random.default_rng(seed)
    outcome = rng.normal(size=(days, names))
    feature = correlation * outcome + np.sqrt(1 - correlation**2) * rng.normal(size=(days, names))
    moments = np.repeat(np.arange(days), names)
    return pl.DataFrame({"t": moments, "feature": feature.ravel(), "outcome": outcome.ravel()})


def interval(frame: pl.DataFrame, seed: int = 0) -> tuple[float, float]:
    return block_bootstrap(rank_ic(frame, "feature", "outcome", "t")["ic"].to_numpy(), 10, seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_feature_of_ic_003_is_recovered_within_its_interval(seed: int) -> None:
    """Of a correlation r, Spearman's coefficient of normal variables is 6 / pi asin(r / 2)."""
    low, high = interval(panel(0.03, seed))
    assert 0 < low < 6 / np.pi * np.arcsin(0.03 / 2) + 0.003
    assert high > 6 / np.pi * np.arcsin(0.03 / 2) - 0.003
    assert high - low < 0.02


def test_shuffled_labels_give_an_ic_within_noise() -> None:
    """The same feature with its outcomes dealt out anew: 95 % intervals hold 0 about that often."""
    held = 0
    for seed in range(30):
        frame = panel(0.03, seed, days=250, names=100)
        dealt = frame.with_columns(pl.col("outcome").shuffle(seed=seed))
        low, high = interval(dealt, seed)
        held += low <= 0 <= high
    assert held >= 25
