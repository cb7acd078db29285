"""Plots of a signal model's evaluation, as PNG."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from paiid_pipeline.ml.plots import COLOURS, LIGHT, figure, png
from paiid_pipeline.ml.signals.evaluation import SignalEvaluation

_SHOWN = 15


def signal_plots(
    evaluation: SignalEvaluation, reliability: pl.DataFrame, importance: Mapping[str, float]
) -> dict[str, bytes]:
    """``equity``, ``reliability`` and ``importance``."""
    return {
        "equity": _equity(evaluation),
        "reliability": _reliability(reliability),
        "importance": _importance(importance),
    }


def _equity(evaluation: SignalEvaluation) -> bytes:
    drawn, axes = figure()
    for (name, equity), colour in zip(evaluation.rivals.items(), COLOURS, strict=False):
        axes.plot(equity, color=colour, linewidth=1.6 if name == "model" else 1.0, label=name)
    axes.set_xlabel("bars")
    axes.set_title("Equity net of costs, out of sample")
    drawn.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return png(drawn)


def _reliability(table: pl.DataFrame) -> bytes:
    drawn, axes = figure()
    axes.plot([0, 1], [0, 1], color=LIGHT, linestyle="--", linewidth=1)
    axes.plot(table["forecast"], table["observed"], marker="o", markersize=4, color=COLOURS[0])
    ends = [*table["forecast"], *table["observed"]]
    margin = 0.02
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    axes.set_ylim(min(ends) - margin, max(ends) + margin)
    axes.set_xlabel("forecast P(up before down)")
    axes.set_ylabel("observed frequency")
    axes.set_title("Reliability, out of sample")
    return png(drawn)


def _importance(shares: Mapping[str, float]) -> bytes:
    drawn, axes = figure()
    names = list(shares)[:_SHOWN][::-1]
    axes.barh(names, [shares[name] for name in names], color=COLOURS[0])
    axes.set_xlabel("mean absolute attribution (logits)")
    return png(drawn)
