"""Plots of a text model's evaluation, as PNG; matplotlib is imported when one is drawn."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from paiid_pipeline.ml.classification_metrics import Evaluation
from paiid_pipeline.sentiment.labels import LABELS

_DARK, LIGHT = "#0f172a", "#94a3b8"
COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0f172a")


def plots(found: Evaluation, curves: Mapping[str, Evaluation]) -> dict[str, bytes]:
    """``confusion`` of one evaluation, and ``reliability`` of several by name, on the same rows."""
    return {"confusion": confusion_plot(found), "reliability": reliability_plot(curves)}


def confusion_plot(found: Evaluation) -> bytes:
    """The confusion matrix: rows are true labels, columns predicted ones; counts, coloured by row fraction."""
    drawn, axes = figure()
    shares = [[n / max(sum(row), 1) for n in row] for row in found.confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(found.confusion):
        for x, count in enumerate(row):
            dark = shares[y][x] > 0.5
            axes.text(x, y, f"{count:,}", ha="center", va="center", color="white" if dark else _DARK)
    axes.set_xticks(range(3), LABELS)
    axes.set_yticks(range(3), LABELS)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{found.rows:,} held-out texts, accuracy {found.accuracy.value:.3f}")
    return png(drawn)


def reliability_plot(curves: Mapping[str, Evaluation]) -> bytes:
    """The reliability diagram: accuracy by confidence, for several models."""
    drawn, axes = figure()
    axes.plot([1 / 3, 1], [1 / 3, 1], color=LIGHT, linestyle="--", linewidth=1)
    for (name, found), colour in zip(curves.items(), COLOURS, strict=False):
        confidence, right, _ = zip(*found.reliability, strict=True)
        axes.plot(confidence, right, marker="o", markersize=4, color=colour, label=f"{name}, ECE {found.ece.value:.3f}")
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    axes.set_xlim(0.3, 1.02)
    axes.set_ylim(0, 1.02)
    drawn.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    axes.set_title("Reliability on held-out texts")
    return png(drawn)


def figure(width: float = 4.8) -> tuple[Any, Any]:
    """An empty figure of a width in inches, and its axes."""
    # Without pyplot a figure needs no display and is garbage-collected.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4.0), dpi=80, layout="constrained")
    return figure, figure.subplots()


def png(drawn: Any) -> bytes:
    """A figure as PNG."""
    image = io.BytesIO()
    drawn.savefig(image, format="png", metadata={"Software": None})
    return image.getvalue()
