"""The metadata of a backtest: tables, plots and scalars."""

from typing import Any

import dagster as dg
import polars as pl

from paiid_pipeline.backtest.simulation import Backtest
from paiid_pipeline.defs.metadata import picture, table
from paiid_pipeline.ml.plots import COLOURS, figure, png

STRATEGIES = ("signals", "buy and hold", "momentum")


def report(result: Backtest) -> dict[str, Any]:
    """The metadata of a backtest; matplotlib is imported when the first plot is drawn."""
    low, high = result.hit_interval
    return {
        "summary": table(result.summary),
        "equity": _plot(result, "equity", "Equity net of costs, 1 at the start"),
        "drawdown": _plot(result, "drawdown", "Drawdown"),
        "turnover": _plot(result, "turnover", "Turnover at each open, share of equity"),
        "rank IC": table(result.ic),
        "calibration": table(result.calibration),
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


def _plot(result: Backtest, column: str, title: str) -> dg.MarkdownMetadataValue:
    """A line a strategy, at the middle commission; the signals drawn on top."""
    levels = result.summary["commission_bp"].unique().sort()
    level = levels[len(levels) // 2]
    curves = result.curves.filter(pl.col("commission_bp") == level)
    drawn, axes = figure(width=9.0)
    for place, (strategy, colour) in enumerate(zip(STRATEGIES, COLOURS, strict=False)):
        curve = curves.filter(pl.col("strategy") == strategy)
        axes.plot(curve["moment"].to_list(), curve[column], color=colour, label=strategy, zorder=5 - place)
    moments = curves["moment"].unique().sort()
    ends = [moments[0], moments[-1]]
    axes.set_xticks(ends, [f"{end:%Y-%m-%d}" for end in ends])
    axes.set_title(f"{title}, at {level:g} bp a side")
    drawn.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return picture(title, png(drawn))
