"""How the whole feature set compares with the same features by the pandas package ``ta``.

    python -m paiid_pipeline_tests.benchmarks.bench_features                40 symbols x 1,000 bars
    BENCH=full python -m paiid_pipeline_tests.benchmarks.bench_features   200 symbols x 1,000 bars

Both start from the same bars and end with one frame. What ``ta`` has is taken from it, the rest is done the
plain pandas way; divergences, squeeze and regime, which it has not, are left out of its time but not of ours.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.signals.features import FEATURES
from paiid_pipeline.technicals.panel import indicator_panel
from paiid_pipeline_tests.benchmarks.table import Row, show

BARS = 1000
SETTLED = 950
"""From here on the different seeds of the recursive ones, EMA 200 above all, no longer show."""
_HEARD = ("sentiment", "sentiment_disagreement", "heard")
OURS = {name: feature for name, feature in FEATURES.items() if name not in _HEARD}
ALIKE = (
    "rsi", "macd", "macd_histogram", "band_position", "bandwidth", "above_sma_20", "above_sma_50", "above_sma_200",
    "sma_20_above_50", "ema_20_above_50", "range", "trend_strength", "volume_flow", "volume", "volatility",
    "volatility_change", "above_vwap",
)  # fmt: skip


def frame(symbols: int) -> pl.DataFrame:
    """Random walks with ranges and volumes, sorted by symbol."""
    rng = np.random.default_rng(0)
    shape = (symbols, BARS)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, shape), axis=1)).ravel()
    reach = rng.uniform(0, 0.02, (2, close.size))
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{i:04d}" for i in range(symbols)], BARS),
            "bar_start": [start + timedelta(minutes=i) for i in range(BARS)] * symbols,
            "close": close,
            "high": close * (1 + reach[0]),
            "low": close * (1 - reach[1]),
            "volume": np.round(rng.lognormal(8, 1, close.size)) + 1,
        }
    )


def ours(bars: pl.DataFrame) -> pl.DataFrame:
    """Every indicator and reading, and what models see of them."""
    return indicator_panel(bars, ["symbol"]).select("symbol", **OURS)


def by_ta(bars: Any) -> Any:
    """The same of one symbol, from a pandas frame."""
    import pandas as pd
    from ta.momentum import RSIIndicator
    from ta.trend import MACD, ADXIndicator, EMAIndicator, SMAIndicator
    from ta.volatility import AverageTrueRange, BollingerBands
    from ta.volume import OnBalanceVolumeIndicator, VolumeWeightedAveragePrice

    close, high, low, volume = bars["close"], bars["high"], bars["low"], bars["volume"]
    macd, bands = MACD(close), BollingerBands(close)
    atr = AverageTrueRange(high, low, close).average_true_range()
    sma = {n: SMAIndicator(close, n).sma_indicator() for n in (20, 50, 200)}
    ema = {n: EMAIndicator(close, n).ema_indicator() for n in (20, 50, 200)}
    obv = OnBalanceVolumeIndicator(close, volume).on_balance_volume()
    volatility = close.pct_change().rolling(20).std(ddof=0)
    vwap = VolumeWeightedAveragePrice(high, low, close, volume, window=20).volume_weighted_average_price()
    return pd.DataFrame(
        {
            "rsi": (RSIIndicator(close).rsi() - 50) / 50,
            "macd": macd.macd() / atr,
            "macd_histogram": macd.macd_diff() / atr,
            "band_position": bands.bollinger_pband() - 0.5,
            "bandwidth": bands.bollinger_wband() / 100,
            "above_sma_20": close / sma[20] - 1,
            "above_sma_50": close / sma[50] - 1,
            "above_sma_200": close / sma[200] - 1,
            "sma_20_above_50": sma[20] / sma[50] - 1,
            "ema_20_above_50": ema[20] / ema[50] - 1,
            "range": atr / close,
            "trend_strength": ADXIndicator(high, low, close).adx() / 100,
            "volume_flow": obv.diff(20) / volume.rolling(20).sum(),
            "volume": volume / volume.rolling(20).mean(),
            "volatility": volatility,
            "volatility_change": volatility / volatility.rolling(200).mean(),
            "above_vwap": close / vwap - 1,
        }
    )


def theirs(bars: Any) -> Any:
    """Symbol by symbol, as the package is used."""
    import pandas as pd

    return pd.concat([by_ta(part) for _, part in bars.groupby("symbol", sort=False)])


def same_values(bars: pl.DataFrame, pandas: Any) -> None:
    """Where the seeds no longer show, both say the same of every bar."""
    mine, other = ours(bars), theirs(pandas)
    late = np.arange(bars.height) % BARS >= SETTLED
    for name in ALIKE:
        ask, answer = mine[name].to_numpy()[late], other[name].to_numpy()[late]
        assert np.allclose(ask, answer, rtol=1e-3, atol=1e-5), (name, float(np.max(np.abs(ask - answer))))


def main() -> None:
    """Measure and print the table."""
    full = os.environ.get("BENCH") == "full"
    symbols, turns = (200, 3) if full else (40, 3)
    bars = frame(symbols)
    pandas = bars.to_pandas()
    same_values(bars, pandas)
    mine, other = [], []
    for _ in range(turns):
        for contestant, given, times in ((ours, bars, mine), (theirs, pandas, other)):
            gc.collect()
            began = time.perf_counter()
            contestant(given)
            times.append(time.perf_counter() - began)
    ratio = statistics.median(b / a for a, b in zip(mine, other, strict=True))
    shown = (f"{statistics.median(mine) * 1e3:.1f} ms", f"{statistics.median(other) * 1e3:.0f} ms")
    show(
        f"{len(OURS)} features of indicators: {symbols} symbols x {BARS:,} bars, frame to frame",
        [Row(f"the pandas package ta ({len(ALIKE)} of them)", *shown, ratio, ">= 30 (theirs / ours)")],
    )


if __name__ == "__main__":
    main()
