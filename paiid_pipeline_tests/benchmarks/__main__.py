"""All benchmarks, one after the other: ``make bench`` (small), ``BENCH=full make bench``."""

from paiid_pipeline_tests.benchmarks import (
    bench_attacks,
    bench_backtest,
    bench_features,
    bench_indicators,
    bench_sentiment,
    bench_signals,
    bench_startup,
    bench_warehouse,
)

for benchmark in (
    bench_indicators,
    bench_features,
    bench_signals,
    bench_warehouse,
    bench_startup,
    bench_backtest,
    bench_sentiment,
    bench_attacks,
):
    benchmark.main()
