"""Walk-forward splits: nothing learnt from overlaps what is tested, whatever the labels' lengths."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.backtest.walk_forward import walk_forward
from paiid_pipeline.schemas import MOMENT
from paiid_pipeline_tests.signals.markets import DAY, FIRST


def rows(days: list[int], lengths: list[int]) -> pl.DataFrame:
    pairs = [(FIRST + DAY * day, FIRST + DAY * (day + length)) for day, length in zip(days, lengths, strict=True)]
    return pl.DataFrame(pairs, schema={"as_of": MOMENT, "label_end": MOMENT}, orient="row")


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(st.integers(0, 60), min_size=30, max_size=120),
    folds=st.integers(1, 4),
    embargo=st.integers(0, 5),
    data=st.data(),
)
def test_no_label_learnt_from_reaches_into_the_test(
    days: list[int], folds: int, embargo: int, data: st.DataObject
) -> None:
    lengths = data.draw(st.lists(st.integers(0, 10), min_size=len(days), max_size=len(days)))
    frame = rows(days, lengths)
    if frame["as_of"].n_unique() < folds * 2:
        return
    found = walk_forward(frame, folds, DAY * embargo)
    assert len(found) == folds
    tested: list[int] = []
    for fold in found:
        begin = frame[fold.test]["as_of"].min()
        if len(fold.train):
            latest = frame[fold.train]["label_end"].max()
            assert isinstance(latest, datetime)
            assert isinstance(begin, datetime)
            assert latest + DAY * embargo <= begin
        tested += fold.test.tolist()
    assert len(set(tested)) == len(tested)
    first = frame[found[0].test]["as_of"].min()
    assert sorted(tested) == frame.select((pl.col("as_of") >= first).arg_true()).to_series().to_list()


def test_purging_and_embargo_leave_out_exactly_what_they_must() -> None:
    frame = rows(list(range(10)), [3] * 10)
    (fold,) = walk_forward(frame, 1, least_train=0.5)
    assert (fold.train.tolist(), fold.test.tolist()) == ([0, 1, 2], [5, 6, 7, 8, 9])
    (fold,) = walk_forward(frame, 1, DAY, least_train=0.5)
    assert fold.train.tolist() == [0, 1]


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValueError, match="2 decision times do not give 4 folds"):
        walk_forward(rows([0, 1], [1, 1]), 4)
    with pytest.raises(ValueError, match="label_end is null"):
        walk_forward(rows([0], [1]).with_columns(label_end=pl.lit(None, dtype=MOMENT)), 1)
    with pytest.raises(ValueError, match="folds=0"):
        walk_forward(rows([0], [1]), 0)
    with pytest.raises(ValueError, match="embargo"):
        walk_forward(rows([0], [1]), 1, timedelta(days=-1))
