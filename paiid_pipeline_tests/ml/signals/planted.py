"""A market in which one reading tells of what comes, as much as the test wants, and all others tell nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from paiid_pipeline.backtest.prices import PricePanel, price_panel
from paiid_pipeline.backtest.simulation import Options
from paiid_pipeline.backtest.triple_barrier import Barriers
from paiid_pipeline.ml.signals.dataset import SignalData, signal_data
from paiid_pipeline.ml.signals.evaluation import EvaluationInputs
from paiid_pipeline.schemas import INDICATORS, MOMENT, STORED_CORPORATE_ACTIONS, SYMBOL_SENTIMENT, empty
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.model_engine import ModelGenerator
from paiid_pipeline.signals.risk import RiskInputs
from paiid_pipeline_tests.signals.markets import DAY, FIRST, SESSION

DECISION_LAG = timedelta(seconds=15)
SIGMA, BARS = 0.01, 5
LATER = FIRST + DAY * 5000


@dataclass(frozen=True)
class Planted:
    """Decisions at each close, the bars around them, and how they are decided and traded."""

    indicators: pl.DataFrame
    sentiment: pl.DataFrame
    grid: PricePanel

    def data(self) -> SignalData:
        return signal_data(self.indicators, self.sentiment, self.grid, DECISION_LAG, Barriers(bars=BARS), LATER)

    def stage(self) -> EvaluationInputs:
        return EvaluationInputs(
            self.indicators, self.sentiment, self.grid, SignalGenerator(), ModelGenerator, RiskInputs(), Options(), BARS
        )


def planted(correlation: float, symbols: int, days: int, seed: int = 0, persistence: float = 0.0) -> Planted:
    """The logarithm of ``volume_ratio`` correlates so much with the return of the five bars that follow.

    With ``persistence``, from day to day, it correlates with itself, and more than so much with the returns.
    """
    rng = np.random.default_rng(seed)
    told = rng.normal(size=(days, symbols))
    for day in range(1, days):
        told[day] = persistence * told[day - 1] + np.sqrt(1 - persistence**2) * told[day]
    drift = np.zeros((days, symbols))
    for lag in range(1, BARS + 1):
        drift[lag:] += told[:-lag] * correlation * SIGMA / np.sqrt(BARS)
    closes = 100 * np.exp(np.cumsum(drift + rng.normal(0, SIGMA, (days, symbols)), axis=0))
    opens = np.vstack([np.full((1, symbols), 100.0), closes[:-1]])
    names = [f"S{i:03d}" for i in range(symbols)]
    starts = [FIRST + DAY * day for day in range(days)]
    reach = 1 + np.abs(rng.normal(0, 0.002, (days, symbols)))
    keys = pl.DataFrame({"bar_start": pl.Series(starts, dtype=MOMENT)}).join(
        pl.DataFrame({"symbol": names}), how="cross"
    )
    bars = keys.with_columns(
        timeframe=pl.lit("1Day"),
        bar_end=pl.col("bar_start") + SESSION,
        open=pl.Series(opens.ravel()),
        close=pl.Series(closes.ravel()),
        high=pl.Series((np.maximum(opens, closes) * reach).ravel()),
        low=pl.Series((np.minimum(opens, closes) / reach).ravel()),
    )
    sentiment, actions = empty(SYMBOL_SENTIMENT), empty(STORED_CORPORATE_ACTIONS)
    return Planted(_indicators(bars, told, rng), sentiment, price_panel(bars, actions))


def _indicators(bars: pl.DataFrame, told: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    price, noise = bars["close"].to_numpy(), rng.normal(size=(12, bars.height))
    words = {1: "bullish", 0: "none", -1: "bearish"}
    crosses = [words[each] for each in rng.integers(-1, 2, bars.height).tolist()]
    columns = {
        "price": price, "close": price, "rsi_14": np.clip(50 + 12 * noise[0], 1, 99), "macd": price * 0.01 * noise[1],
        "macd_signal": price * 0.01 * noise[2], "macd_histogram": price * 0.002 * noise[3],
        "bb_middle": price * (1 + 0.01 * noise[4]), "bb_upper": price * 1.03, "bb_lower": price * 0.97,
        "bb_percent_b": 0.5 + 0.3 * noise[5], "bb_bandwidth": 0.06 + 0.01 * np.abs(noise[6]),
        "sma_20": price * (1 + 0.02 * noise[7]), "sma_50": price * (1 + 0.03 * noise[8]), "atr_14": price * 0.012,
        "atr_percent": np.full(len(price), 0.012), "adx_14": 20 + 5 * np.abs(noise[9]), "obv_share": 0.1 * noise[10],
        "volume_ratio": np.exp(0.5 * told.ravel()), "volatility_20": np.full(len(price), SIGMA),
        "turnover_20": np.full(len(price), 1e9),
    }  # fmt: skip
    made = bars.select(
        "symbol",
        "bar_start",
        "bar_end",
        horizon=pl.lit("daily"),
        as_of=pl.col("bar_end"),
        bars=pl.lit(300, pl.Int64),
        macd_cross=pl.Series(crosses),
        inputs_hash=pl.format("{}|{}", "symbol", "bar_end"),
        **{name: pl.Series(values) for name, values in columns.items()},
    )
    missing = {name: pl.lit(None, dtype=kind) for name, kind in INDICATORS.items() if name not in made.columns}
    return made.with_columns(**missing).select(pl.col(name).cast(kind) for name, kind in INDICATORS.items())
