"""How the batch of indicators compares with a bare loop over TA-Lib and with polars-talib.

    python -m paiid_pipeline_tests.benchmarks.bench_indicators                300 symbols x 1,000 bars
    BENCH=full python -m paiid_pipeline_tests.benchmarks.bench_indicators   1,000 symbols x 1,000 bars

All contestants compute RSI 14, MACD 12/26/9 and Bollinger 20/2 from the same frame in the same process, in
turns; the table gives the median times, and the median of ours over theirs within a turn.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import polars as pl
import polars_talib
import talib

from paiid_pipeline.technicals.indicators import VALUES, indicators
from paiid_pipeline_tests.benchmarks.table import Row, show

BARS = 1000


def frame(symbols: int) -> pl.DataFrame:
    """Random walks, sorted by symbol."""
    steps = np.random.default_rng(0).normal(0, 0.01, (symbols, BARS))
    closes = 100 * np.exp(np.cumsum(steps, axis=1))
    names = np.repeat([f"S{i:04d}" for i in range(symbols)], BARS)
    return pl.DataFrame({"symbol": names, "close": closes.ravel()})


def bare_loop(bars: pl.DataFrame) -> object:
    """What anyone would write: TA-Lib's functions over numpy slices, results kept in a list, no frame made."""
    close = bars["close"].to_numpy()
    return [
        (talib.RSI(part, 14), *talib.MACD(part, 12, 26, 9), *talib.BBANDS(part, 20, 2.0, 2.0, 0))
        for part in (close[start : start + BARS] for start in range(0, len(close), BARS))
    ]


def unwrapped_loop(bars: pl.DataFrame) -> object:
    """The same without TA-Lib's argument wrappers: the least that its C functions cost from Python."""
    rsi, macd, bbands = (f.__wrapped__ for f in (talib.RSI, talib.MACD, talib.BBANDS))
    close = bars["close"].to_numpy()
    return [
        (rsi(part, 14), *macd(part, 12, 26, 9), *bbands(part, 20, 2.0, 2.0, 0))
        for part in (close[start : start + BARS] for start in range(0, len(close), BARS))
    ]


def ours(bars: pl.DataFrame) -> object:
    """From frame to frame, with holes, flat series, overflow and short series looked after."""
    return indicators(bars, ["symbol"])


def polars_talib_over(bars: pl.DataFrame) -> object:
    """polars-talib's expressions over the symbols."""
    close = pl.col("close")
    return bars.with_columns(
        polars_talib.rsi(close, 14).over("symbol").alias("rsi"),
        polars_talib.macd(close, 12, 26, 9).over("symbol").alias("macd"),
        polars_talib.bbands(close, 20, 2.0, 2.0, 0).over("symbol").alias("bands"),
    )


AGAINST: tuple[tuple[str, Callable[[pl.DataFrame], object], str], ...] = (
    ("bare loop over talib.*", bare_loop, "<= 1.1"),
    ("polars-talib .over('symbol')", polars_talib_over, "< 1"),
    ("bare loop, wrappers taken off", unwrapped_loop, ""),
)


def same_values(bars: pl.DataFrame) -> None:
    """All that is compared computes the same, where something is emitted at all."""
    loop = bare_loop(bars)
    mine = indicators(bars, ["symbol"])
    for place, name in enumerate(VALUES):
        expected = np.concatenate([series[place][249:] for series in loop])  # type: ignore[attr-defined]
        assert np.array_equal(mine[name].drop_nulls().to_numpy(), expected), name


def main() -> None:
    """Measure and print the table."""
    full = os.environ.get("BENCH") == "full"
    symbols, turns = (1000, 30) if full else (300, 15)
    bars = frame(symbols)
    same_values(bars)
    contestants = [ours, *(contestant for _, contestant, _ in AGAINST)]
    times: dict[Callable[[pl.DataFrame], object], list[float]] = {contestant: [] for contestant in contestants}
    for turn in range(turns):
        # Each in turn goes first: what one leaves in the caches and the heap meets them all.
        for contestant in contestants[turn % 4 :] + contestants[: turn % 4]:
            gc.collect()
            began = time.perf_counter()
            result = contestant(bars)
            times[contestant].append(time.perf_counter() - began)
            del result
    mine = statistics.median(times[ours])
    rows = []
    for name, contestant, goal in AGAINST:
        theirs = statistics.median(times[contestant])
        ratio = statistics.median(a / b for a, b in zip(times[ours], times[contestant], strict=True))
        rows.append(Row(name, f"{mine * 1e3:.1f} ms", f"{theirs * 1e3:.1f} ms", ratio, goal))
    show(f"RSI 14, MACD 12/26/9, Bollinger 20/2: {symbols:,} symbols x {BARS:,} bars, frame to frame", rows)


if __name__ == "__main__":
    main()
