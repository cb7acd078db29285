"""Drift: nothing for the same distribution, named for another, holes counted, and limits that are kept."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.ml.signals.drift import DriftLimits, assess, distance, drifts, reference_json

RNG = np.random.default_rng(0)
BEFORE = pl.DataFrame(
    {"a": RNG.normal(size=5000), "b": RNG.exponential(size=5000), "flag": (RNG.random(5000) < 0.1).astype(float)}
)
REFERENCE = json.loads(reference_json(BEFORE, 0.02))


def test_the_same_distribution_has_not_drifted_and_another_has() -> None:
    same = drifts(REFERENCE, BEFORE.sample(2000, seed=1))
    assert same["psi"].max() < 0.02
    assert same["ks"].max() < 0.05
    moved = drifts(REFERENCE, BEFORE.sample(2000, seed=1).with_columns(pl.col("a") + 1.0))
    assert moved["feature"][0] == "a"
    assert moved["psi"][0] > 0.5
    assert moved.filter(pl.col("feature") != "a")["psi"].max() < 0.02


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    from scipy.stats import ks_2samp

    now = RNG.normal(0.4, 1.3, 700)
    quantiles = np.array(REFERENCE["features"]["a"]["quantiles"])
    assert distance(quantiles, now) == pytest.approx(ks_2samp(BEFORE["a"], now).statistic, abs=0.01)


def test_holes_and_flags_are_distributions_too() -> None:
    holes = BEFORE.with_columns(a=pl.when(pl.int_range(pl.len()) % 2 == 0).then("a"))
    found = drifts(REFERENCE, holes)
    assert found["feature"][0] == "a"
    assert (found["known"][0], found["known_before"][0]) == (0.5, 1.0)
    flagged = drifts(REFERENCE, BEFORE.with_columns(flag=1 - pl.col("flag")))
    assert flagged["feature"][0] == "flag"
    never = drifts(REFERENCE, BEFORE.with_columns(a=pl.lit(None, dtype=pl.Float64)))
    assert never.filter(pl.col("feature") == "a")["psi"][0] > 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_both_measures_are_in_their_bounds_whatever_comes(before: list[float], now: list[float]) -> None:
    reference = json.loads(reference_json(pl.DataFrame({"x": before}), 0.0))
    row = drifts(reference, pl.DataFrame({"x": now}, schema={"x": pl.Float64})).row(0, named=True)
    assert row["psi"] >= 0
    assert 0 <= row["ks"] <= 1


def test_the_limits_say_why() -> None:
    moved = BEFORE.sample(500, seed=2).with_columns(pl.col("a", "b") + 5)
    found = assess(REFERENCE, moved, 0.03, DriftLimits())
    assert found.reasons == ("2 of 3 features have drifted: b, a",) or found.reasons == (
        "2 of 3 features have drifted: a, b",
    )
    assert assess(REFERENCE, moved.head(100), 0.03, DriftLimits()).reasons == (), "too few to say"
    calm = BEFORE.sample(500, seed=3)
    assert assess(REFERENCE, calm, None, DriftLimits()).reasons == ()
    assert assess(REFERENCE, calm, 0.09, DriftLimits()).reasons == ("calibration error 0.090, 0.020 in training",)
