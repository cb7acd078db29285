"""No look-ahead: what a decision says does not depend on what became known after it, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline_tests.lookahead.histories import History, Output, decide_all, leaks, random_history


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_row_is_the_same_from_data_truncated_at_its_decision(seed: int) -> None:
    """Indicators, sentiment, signals and withheld decisions, over restated, late and adjusted data."""
    assert leaks(decide_all, random_history(seed)) == []


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_one_decision_at_a_time_gives_the_rows_of_a_whole_day_at_once(seed: int) -> None:
    """Live = backfill on the pure level: only the set of decisions differs, the stored rows are the same.

    Each decision finds the positions of those before it, as stored.
    """
    history = random_history(seed)
    whole = decide_all(history)
    parts, made = [], history.prior_positions
    for one in history.decisions.sort("as_of").partition_by("horizon", "as_of", maintain_order=True):
        part = decide_all(replace(history, decisions=one, prior_positions=made))
        parts.append(part)
        made = pl.concat([made, part["signals"].select(made.columns)])
    for name, frame in whole.items():
        key = ["symbol", "horizon", "as_of"]
        assert pl.concat(part[name] for part in parts).sort(key).equals(frame.sort(key)), name


def test_a_ticker_that_changes_hands_gives_no_leak_either() -> None:
    """The bars before the change are cut from the decision that knows of it on, and no earlier."""
    withheld = 0
    for seed in range(4):
        history = random_history(seed)
        renamed = pl.when(pl.col("kind") == "split").then(pl.lit("name_change")).otherwise("kind")
        changed = replace(history, actions=history.actions.with_columns(kind=renamed))
        assert leaks(decide_all, changed) == []
        withheld += decide_all(changed)["withheld"].height - decide_all(history)["withheld"].height
    assert withheld > 0


def test_the_histories_exercise_what_they_should() -> None:
    """Enough decisions are made, and some withheld, for the checks here to mean something."""
    made = [decide_all(random_history(seed)) for seed in range(5)]
    assert all(output["signals"].height > 5 for output in made)
    assert sum(output["withheld"].height for output in made) > 0
    assert sum((output["sentiment"]["article_count"] > 0).sum() for output in made) > 20


def shifted_close(history: History) -> Output:
    """The plant: each bar carries the close of the next one."""
    order = ["symbol", "timeframe"]
    bars = history.bars.sort(*order, "bar_start", "known_at")
    return decide_all(
        History(
            bars.with_columns(pl.col("close").shift(-1).over(order)), history.actions, history.news, history.decisions
        )
    )


def daily_bar_at_its_start(history: History) -> Output:
    """The plant: a daily bar counts from its start, when its close is not yet known."""
    daily = pl.col("timeframe") == "1Day"
    start = pl.col("bar_start")
    bars = history.bars.with_columns(
        pl.when(daily).then(start).otherwise(name).alias(name) for name in ("bar_end", "known_at")
    )
    return decide_all(History(bars, history.actions, history.news, history.decisions))


def article_at_its_publication(history: History) -> Output:
    """The plant: the text of an article as later updated counts from its first publication."""
    news = history.news.with_columns(known_at=pl.col("published_at"))
    return decide_all(History(history.bars, history.actions, news, history.decisions))


def restated_bar_at_once(history: History) -> Output:
    """The plant: a restated bar counts from when the bar was first known."""
    bar = ["symbol", "timeframe", "bar_start"]
    newest = history.bars.sort("known_at").with_columns(pl.col("known_at").first().over(bar))
    return decide_all(
        History(newest.unique(bar, keep="last", maintain_order=True), history.actions, history.news, history.decisions)
    )


def _with_close(history: History, close: pl.Expr) -> Output:
    series = ["symbol", "timeframe"]
    bars = history.bars.sort(*series, "bar_start", "known_at").with_columns(close.over(series).alias("close"))
    return decide_all(replace(history, bars=bars))


def centred_window(history: History) -> Output:
    """The plant: each close smoothed over the bars on both sides of it."""
    return _with_close(history, pl.col("close").rolling_mean(3, center=True, min_samples=1))


def global_scaler(history: History) -> Output:
    """The plant: closes scaled by the mean of the whole series, its future included."""
    return _with_close(history, pl.col("close") / pl.col("close").mean() * 100)


def later_stakes(history: History) -> Output:
    """The plant: each signal carries the price of the next decision, as if it were filled there."""
    output = decide_all(history)
    ahead = pl.col("price").shift(-1).over("symbol", "horizon", order_by="as_of")
    return {**output, "signals": output["signals"].with_columns(ahead.fill_null(pl.col("price")).alias("price"))}


@pytest.mark.parametrize(
    ("plant", "first_seen_in"),
    [
        (centred_window, "indicators"),
        (global_scaler, "indicators"),
        (later_stakes, "signals"),
        (shifted_close, "indicators"),
        (daily_bar_at_its_start, "indicators"),
        (article_at_its_publication, "sentiment"),
        (restated_bar_at_once, "indicators"),
    ],
)
def test_a_planted_leak_is_caught(plant: object, first_seen_in: str) -> None:
    """Each leak shows in its own table, by the very check that the real path passes, on every history."""
    for seed in range(3):
        history = random_history(seed)
        assert leaks(decide_all, history) == []
        found = leaks(plant, history)  # type: ignore[arg-type]
        assert any(leak.startswith(first_seen_in) for leak in found), (seed, found)
