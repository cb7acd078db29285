"""A backtest as a person reads it in Dagster: tables and charts in Markdown."""

from base64 import b64encode
from typing import Any

import dagster as dg
import polars as pl

from paiid_pipeline.backtest.simulation import Backtest
from paiid_pipeline.defs.ml.charts import line_chart

STRATEGIES = ("signals", "buy and hold", "momentum")


def report(result: Backtest) -> dict[str, Any]:
    """The metadata of a backtest."""
    low, high = result.hit_interval
    return {
        "summary": dg.MetadataValue.md(markdown(result.summary)),
        "equity": _chart(result, "equity", "Equity after costs, 1 at the start"),
        "drawdown": _chart(result, "drawdown", "Below the highest equity so far"),
        "turnover": _chart(result, "turnover", "Traded at each open, share of the equity"),
        "rank IC": dg.MetadataValue.md(markdown(result.ic)),
        "calibration": dg.MetadataValue.md(markdown(result.calibration)),
        "hit rate": dg.MetadataValue.text(
            f"{result.hit_rate:.1%} of {result.hits_of} positions (95 %: {low:.1%} to {high:.1%})"
            if result.hits_of
            else "no position has moved yet"
        ),
        "deflated Sharpe": dg.MetadataValue.text(
            f"{result.deflated_sharpe:.3f}: probability that the Sharpe ratio is above 0, after {result.trials} trials"
        ),
        "random strategies as good": f"{result.random_share:.1%}",
        "decisions executed": result.executed,
        "decisions pending": result.pending,
        "first": dg.MetadataValue.timestamp(result.first),
        "last": dg.MetadataValue.timestamp(result.last),
    }


def markdown(frame: pl.DataFrame) -> str:
    """A frame as a Markdown table; numbers to four digits, a dash for what is not known."""
    lines = [f"| {' | '.join(frame.columns)} |", f"|{' --- |' * frame.width}"]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in frame.iter_rows()]
    return "\n".join(lines)


def picture(name: str, image: bytes) -> dg.MarkdownMetadataValue:
    """A PNG as metadata."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{b64encode(image).decode()})")


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _chart(result: Backtest, column: str, title: str) -> dg.MarkdownMetadataValue:
    """One line a strategy, at the middle commission."""
    levels = result.summary["commission_bp"].unique().sort()
    level = levels[len(levels) // 2]
    curves = result.curves.filter(pl.col("commission_bp") == level)
    lines = {name: curves.filter(pl.col("strategy") == name)[column].to_list() for name in STRATEGIES}
    days = curves["moment"].dt.strftime("%Y-%m-%d")
    return dg.MetadataValue.md(line_chart(f"{title}, at {level:g} bp a side", lines, days[0], days[-1]))
