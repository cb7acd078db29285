"""`paiid models movement`: next-day price direction, predicted and measured by the StockNet protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from paiid_pipeline.console import print_err, print_out, table, timed
from paiid_pipeline.ml.classification_metrics import Interval
from paiid_pipeline.ml.signals.stocknet import PUBLISHED, TEST, examples, measure, read
from paiid_pipeline.settings import Settings
from paiid_pipeline.wiring import Components


def movement(settings: Settings, data: Path | None, *, as_json: bool) -> int:
    """Train and measure on the bars and posts under a folder, and print it. Returns the exit code; 2 for bad files."""
    folder = data or settings.data_dir
    if folder is None:
        print_err("paiid models movement: give --data FOLDER, or set PAIID_DATA_DIR")
        return 2
    analyzer = Components(settings).analyzer()

    def score(texts: Sequence[str]) -> list[float]:
        return [result.score for result in analyzer.analyze_batch(texts)]

    try:
        with timed(quiet=as_json) as parts:
            bars, posts = read(folder)
            rows = examples(bars, posts, score)
            report = measure(rows)
            parts.append(f"{rows.height} movements, {posts.height} posts")
    except ValueError as error:
        print_err(f"paiid models movement: {error}")
        return 2
    if as_json:
        print_out(
            json.dumps({**asdict(report), "posts_scored_by": analyzer.model_version, "published": PUBLISHED}, indent=2)
        )
        return 0
    for span, count in report.rows.items():
        print_out(f"{span:12} {count:6} movements on {report.days[span]:3} days, {report.rising[span]:.1%} of them up")
    print_out(f"posts scored by {analyzer.model_version}")
    header = ["measured on", "forecast", "accuracy", "95 %", "MCC", "95 %"]
    lines = [
        [
            span,
            name,
            f"{each.accuracy.value:.1%}",
            _bounds(each.accuracy, "%"),
            f"{each.mcc.value:+.3f}",
            _bounds(each.mcc),
        ]
        for span, forecasts in report.measured.items()
        for name, each in forecasts.items()
    ]
    lines += [["test", f"{name} (published)", f"{a:.1%}", "", f"{m:+.3f}", ""] for name, (a, m) in PUBLISHED.items()]
    for line in table(header, lines, [False, False, *[True] * 4]):
        print_out(line)
    if "test" not in report.measured:
        print_out(f"no movements from {TEST[0]} on in {folder}: the test waits for them")
    return 0


def _bounds(interval: Interval, form: str = "") -> str:
    return f"{interval.low:+.3f} to {interval.high:+.3f}" if not form else f"{interval.low:.1%} to {interval.high:.1%}"
