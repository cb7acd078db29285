"""The table that every benchmark prints: what was measured, against what, and the ratio in the same run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Row:
    """One comparison; the ratio is ours over theirs unless the goal says otherwise."""

    what: str
    ours: str
    against: str
    ratio: float
    goal: str


def show(title: str, rows: Sequence[Row]) -> None:
    """Print the rows under a title, in aligned columns."""
    cells = [("", "ours", "against", "ratio", "goal")]
    for row in rows:
        what, ours, against, ratio, goal = astuple(row)
        cells.append((what, ours, against, f"{ratio:.2f}", goal))
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    sys.stdout.write(f"\n{title}\n")
    for line in cells:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
    sys.stdout.flush()
