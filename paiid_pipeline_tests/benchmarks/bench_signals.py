"""What the whole set of indicators costs over the first three, and signals for a universe at one decision time.

    python -m paiid_pipeline_tests.benchmarks.bench_signals                100 symbols x 1,000 bars
    BENCH=full python -m paiid_pipeline_tests.benchmarks.bench_signals   1,000 symbols x 1,000 bars

Signals: 500 symbols in ten segments, warm, with two hours of earlier signals for the risk manager.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from paiid_pipeline.schemas import INDICATORS, PRIOR_POSITIONS, SYMBOL_SENTIMENT, Schema, empty
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.risk import RiskInputs
from paiid_pipeline.technicals.indicators import indicators
from paiid_pipeline.technicals.panel import indicator_panel
from paiid_pipeline_tests.benchmarks.table import Row, show

BARS, SYMBOLS, MOMENTS, TURNS = 1000, 500, 24, 9
T = datetime(2026, 3, 10, 12, tzinfo=UTC)
STEP = timedelta(minutes=5)
GOAL = 0.2


def bars(symbols: int) -> pl.DataFrame:
    """Random walks with ranges and volumes, sorted by symbol."""
    rng = np.random.default_rng(0)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, (symbols, BARS)), axis=1)).ravel()
    names = np.repeat([f"S{i:04d}" for i in range(symbols)], BARS)
    reach = rng.uniform(0, 0.002, (2, len(closes)))
    volume = np.round(rng.lognormal(8, 1, len(closes)))
    columns = {"close": closes, "high": closes * (1 + reach[0]), "low": closes * (1 - reach[1]), "volume": volume}
    return pl.DataFrame({"symbol": names, **columns})


def decisions(walks: pl.DataFrame) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """Indicators and news of each symbol at the last ``MOMENTS`` + 1 decision times, five bars apart."""
    panel = indicator_panel(walks, ["symbol"]).with_columns(bar=pl.int_range(pl.len()).over("symbol"))
    rng, made = np.random.default_rng(1), []
    for back in range(MOMENTS, -1, -1):
        at = T - STEP * back
        rows = panel.filter(pl.col("bar") == BARS - 1 - 5 * back).with_columns(
            horizon=pl.lit("intraday"), as_of=pl.lit(at), bar_start=pl.lit(at - timedelta(minutes=1)),
            bar_end=pl.lit(at), bars=pl.lit(BARS), inputs_hash=pl.col("symbol"),
        )  # fmt: skip
        news = rows.select("symbol", "horizon", "as_of").with_columns(
            score=pl.Series(rng.uniform(-1, 1, rows.height)), confidence=pl.Series(rng.random(rows.height)),
            article_count=pl.lit(5), disagreement=pl.lit(0.1), newest_published_at=pl.lit(at),
            model=pl.lit("m"), model_version=pl.lit("1"), inputs_hash=pl.lit("h"),
        )  # fmt: skip
        made.append((_typed(rows, INDICATORS), _typed(news, SYMBOL_SENTIMENT)))
    return made


def _typed(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The columns of a contract, null where the frame has none."""
    lacking = [pl.lit(None, dtype=kind).alias(name) for name, kind in schema.items() if name not in frame.columns]
    return frame.with_columns(lacking).select(pl.col(name).cast(kind) for name, kind in schema.items())


def median(work: Callable[[], object], turns: int = TURNS) -> float:
    """Seconds, the first turn not counted."""
    times = []
    for _ in range(turns + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print the tables."""
    symbols = 1000 if os.environ.get("BENCH") == "full" else 100
    walks = bars(symbols)
    three = median(lambda: indicators(walks, ["symbol"]))
    whole = median(lambda: indicator_panel(walks, ["symbol"]))
    spent = [f"{seconds * 1e9 / walks.height:.0f} ns a bar" for seconds in (whole, three)]
    row = Row("all indicators, against the first three", *spent, whole / three, "")
    show(f"All indicators and readings: {symbols:,} symbols x {BARS:,} bars, frame to frame", [row])

    engine = SignalGenerator(segments={f"S{i:04d}": f"segment {i % 10}" for i in range(SYMBOLS)})
    earlier, last = empty(PRIOR_POSITIONS), decisions(bars(SYMBOLS))
    for rows, news in last[:-1]:
        earlier = pl.concat([earlier, engine.decide(rows, news, RiskInputs(earlier))[0].select(earlier.columns)])
    signals, _ = engine.decide(*last[-1], RiskInputs(earlier))
    assert signals.height == SYMBOLS
    took = median(lambda: engine.decide(*last[-1], RiskInputs(earlier)))
    row = Row("rules, risk, validation", f"{took * 1e3:.0f} ms", f"{GOAL * 1e3:.0f} ms", took / GOAL, "<= 1")
    show(f"Signals for {SYMBOLS} symbols at one decision time, warm", [row])


if __name__ == "__main__":
    main()
