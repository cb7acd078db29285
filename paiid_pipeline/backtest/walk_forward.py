"""Walk-forward splits with purging and embargo: no training label overlaps the test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Indices


@dataclass(frozen=True)
class Fold:
    """Row numbers of training and test; every row of ``train`` is older than every one of ``test``."""

    train: Indices
    test: Indices


def walk_forward(
    rows: pl.DataFrame, folds: int, embargo: timedelta = timedelta(0), least_train: float = 0.2
) -> list[Fold]:
    """``folds`` successive test spans, each with all rows whose labels ended before it for training.

    ``rows``: ``as_of`` and ``label_end``, the moment by which the outcome of the row was known, in any
    order. A row is in training only if its label ended ``embargo`` or more before the first decision of
    the test: purging and embargo after López de Prado, "Advances in financial machine learning", 2018, 7.4;
    since training never lies after the test, no embargo is needed behind it. Spans hold equal numbers of
    decision times, and rows of one decision time are never parted. The first ``least_train`` of the decision times
    is never tested. Raises ValueError for fewer decision times than folds, or a null.

    >>> from datetime import datetime
    >>> day = timedelta(days=1)
    >>> times = pl.Series("as_of", [datetime(2024, 1, 1) + day * number for number in range(10)])
    >>> [fold] = walk_forward(pl.DataFrame({"as_of": times, "label_end": times + day}), folds=1, least_train=0.5)
    >>> fold.train.tolist(), fold.test.tolist()
    ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    >>> [embargoed] = walk_forward(pl.DataFrame({"as_of": times, "label_end": times + day}), 1, day, 0.5)
    >>> embargoed.train.tolist()
    [0, 1, 2, 3]
    """
    if folds < 1 or not 0 < least_train < 1 or embargo < timedelta(0):
        raise ValueError(f"folds={folds}, least_train={least_train}, embargo={embargo}: use >= 1, inside (0, 1), >= 0")
    if rows.select(pl.col("as_of", "label_end").null_count()).row(0) != (0, 0):
        raise ValueError("as_of or label_end is null: leave out rows whose outcome is not known yet")
    moments = rows["as_of"].unique().sort()
    first = max(int(moments.len() * least_train), 1)
    if moments.len() - first < folds:
        raise ValueError(f"{moments.len()} decision times do not give {folds} folds after the first {first}")
    edges = np.linspace(first, moments.len(), folds + 1).astype(np.int64)
    found = []
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        begin, last = moments[start], moments[stop - 1]
        train = rows.select((pl.col("label_end") + embargo <= begin).arg_true()).to_series()
        test = rows.select(pl.col("as_of").is_between(begin, last).arg_true()).to_series()
        found.append(Fold(*(part.to_numpy().astype(np.int64) for part in (train, test))))
    return found
