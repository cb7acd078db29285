"""The stream of indicators: to the bit the batch, in any portions, over restarts, holes, flat and short series."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from paiid_pipeline.indicator_catalogue import MINIMUM_BARS
from paiid_pipeline.technicals.panel import indicator_panel
from paiid_pipeline.technicals.streaming import IndicatorStream
from paiid_pipeline_tests.lookahead.histories import OPEN

KINDS = ("walk", "flat", "falling", "stepped", "still for long", "halted", "tiny")


def series(symbol: str, kind: str, count: int, rng: np.random.Generator, holes: float) -> pl.DataFrame:
    """Minute bars with some holes: null, NaN, infinite and negative prices and volumes."""
    steps = {
        "walk": rng.normal(0, 0.01, count),
        "flat": np.zeros(count),
        "falling": np.full(count, -0.001),
        "stepped": np.where(rng.random(count) < 0.02, rng.normal(0, 0.05, count), 0.0),
        "still for long": np.where(np.arange(count) < 60, rng.normal(0, 0.01, count), 0.0),
        "halted": np.where(np.arange(count) % 400 < 300, rng.normal(0, 0.01, count), 0.0),
        "tiny": rng.normal(0, 0.01, count),
    }[kind]
    close = np.round(100 * np.exp(np.cumsum(steps)), 2 if kind != "falling" else 6)
    close *= 1e-8 if kind == "tiny" else 1.0
    reach = rng.uniform(0, 0.02, (2, count)) * (kind != "flat")
    columns = {
        "close": close,
        "high": close * (1 + reach[0]),
        "low": close * (1 - reach[1]),
        "volume": np.round(rng.lognormal(8, 1, count)) * (rng.random(count) > 0.1) * (steps != 0.0),
        "vwap": np.where(rng.random(count) < 0.7, close * 1.001, np.nan),
    }
    for name, column in columns.items():
        bad = rng.choice([np.nan, np.inf, -1.0], count)
        columns[name] = np.where(rng.random(count) < holes, bad, column)
    starts = [OPEN + timedelta(minutes=i) for i in range(count)]
    frame = pl.DataFrame({"symbol": [symbol] * count, "bar_start": starts, **columns})
    null = pl.Series(rng.random(count) < holes)
    return frame.with_columns(close=pl.when(~null).then("close"))


def portions(bars: pl.DataFrame, cuts: list[int]) -> list[pl.DataFrame]:
    """``bars`` by time, in portions of so many moments, the last one with what is left."""
    moments = bars["bar_start"].unique().sort()
    bounds = [0, *sorted(cuts), len(moments)]
    return [bars.filter(pl.col("bar_start").is_in(moments[a:b].implode())) for a, b in pairwise(bounds)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
    count=st.integers(1, 700),
    holes=st.sampled_from([0.0, 0.02]),
    data=st.data(),
)
def test_any_portions_and_any_restarts_give_the_rows_of_the_batch_to_the_bit(
    seed: int, kinds: list[str], count: int, holes: float, data: st.DataObject
) -> None:
    """After a restart a new stream is given the bars so far at once, and goes on."""
    rng = np.random.default_rng(seed)
    bars = pl.concat(series(f"S{i}", kind, max(1, count - 90 * i), rng, holes) for i, kind in enumerate(kinds))
    cuts = data.draw(st.lists(st.integers(0, count), max_size=12))
    restarts = data.draw(st.sets(st.integers(0, 12), max_size=3))
    stream, came, said = IndicatorStream(), bars.clear(), []
    for number, portion in enumerate(portions(bars, cuts)):
        if number in restarts:
            stream = IndicatorStream()
            stream.update(came)
        said.append(stream.update(portion))
        came = pl.concat([came, portion])
    whole = indicator_panel(bars.sort("symbol", "bar_start"), ["symbol"])
    assert_frame_equal(pl.concat(said).sort("symbol", "bar_start"), whole, check_exact=True)


def test_one_bar_at_a_time_gives_every_row_of_the_batch_to_the_bit() -> None:
    bars = series("A", "walk", 620, np.random.default_rng(5), 0.01)
    stream = IndicatorStream()
    said = pl.concat(stream.update(bar) for bar in bars.iter_slices(1))
    assert said.equals(indicator_panel(bars, ["symbol"]))
    assert said["rsi_14"].count() > 300
    assert said["macd_divergence"].n_unique() > 2
    assert said["ema_200"].count() > 100


def test_rows_come_back_in_their_order_whatever_it_is() -> None:
    rng = np.random.default_rng(2)
    bars = pl.concat([series("A", "walk", 300, rng, 0.0), series("B", "walk", 300, rng, 0.0)])
    shuffled = bars.sample(fraction=1.0, shuffle=True, seed=3)
    said = IndicatorStream().update(shuffled)
    assert said.select(bars.columns).equals(shuffled)
    assert said.sort("symbol", "bar_start").equals(indicator_panel(bars, ["symbol"]))


def test_without_vwap_and_without_bars() -> None:
    bars = series("A", "walk", 300, np.random.default_rng(4), 0.0).drop("vwap")
    stream = IndicatorStream()
    assert stream.update(bars.clear()).equals(indicator_panel(bars.clear(), ["symbol"]))
    assert stream.update(bars).equals(indicator_panel(bars, ["symbol"]))


def test_what_follows_a_split_is_read_on_the_price_basis_that_it_is_given() -> None:
    """A symbol that is forgotten and told its adjusted history stands where one stands that never knew another."""
    bars = series("A", "walk", 400, np.random.default_rng(6), 0.0)
    prices = ("close", "high", "low", "vwap")
    adjusted = bars.with_columns(pl.col(*prices) * 0.5, pl.col("volume") * 2)
    stream = IndicatorStream()
    stream.update(bars.head(300))
    stream.forget("A")
    stream.forget("never seen")
    stream.update(adjusted.head(300))
    assert stream.update(adjusted.tail(100)).equals(indicator_panel(adjusted, ["symbol"]).tail(100))


@pytest.mark.parametrize(
    ("rows", "message"),
    [([310, 310], "came twice"), ([299], "is not newer than .* forget\\('A'\\)"), ([310, 12], "is not newer")],
)
def test_a_bar_that_comes_twice_or_too_late_is_refused_and_changes_nothing(rows: list[int], message: str) -> None:
    bars = series("A", "walk", 400, np.random.default_rng(8), 0.0)
    stream = IndicatorStream()
    stream.update(bars.head(300))
    with pytest.raises(ValueError, match=message):
        stream.update(bars[rows])
    assert stream.update(bars[300:]).equals(indicator_panel(bars, ["symbol"])[300:])


def test_nothing_is_read_before_enough_bars_and_holes_do_not_count_as_bars() -> None:
    bars = series("A", "walk", MINIMUM_BARS + 1, np.random.default_rng(9), 0.0)
    bars = bars.with_columns(close=pl.when(pl.int_range(pl.len()) != 100).then("close"))
    stream = IndicatorStream()
    assert stream.update(bars.head(MINIMUM_BARS))["rsi_14"].count() == 0
    assert stream.update(bars.tail(1))["rsi_14"].count() == 1
