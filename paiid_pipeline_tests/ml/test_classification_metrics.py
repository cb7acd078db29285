"""Measures agree with independent ones, and calibration and paired tests find what was put into the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score

from paiid_pipeline.ml.classification_metrics import (
    evaluate,
    expected_calibration_error,
    fit_temperature,
    is_better,
    majority_baseline,
    mcnemar,
    scale_temperature,
)
from paiid_pipeline.ml.text.comparison import compare

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4000, 3)) * 2
TRUE = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
DRAWN = np.array([RNG.choice(3, p=row) for row in TRUE])


def test_accuracy_and_f1_agree_with_another_implementation() -> None:
    found = evaluate(DRAWN[:500], TRUE[:500])
    predicted = TRUE[:500].argmax(1)
    assert found.accuracy.value == accuracy_score(DRAWN[:500], predicted)
    assert found.macro_f1.value == pytest.approx(f1_score(DRAWN[:500], predicted, average="macro"))
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high
    assert sum(map(sum, found.confusion)) == found.rows == 500


def test_the_interval_is_as_wide_as_theory_says_and_wider_for_groups() -> None:
    right = np.zeros((400, 3))
    right[:, 1] = 1
    labels = np.repeat([1, 0] * 20, 10)
    alone = evaluate(labels, right).accuracy
    together = evaluate(labels, right, groups=np.repeat(np.arange(40), 10)).accuracy
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.1)
    assert together.high - together.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(40), rel=0.15)


def test_the_same_seed_gives_the_same_bounds() -> None:
    assert evaluate(DRAWN[:200], TRUE[:200], seed=3) == evaluate(DRAWN[:200], TRUE[:200], seed=3)


def test_calibrated_probabilities_have_no_error_and_sharpened_ones_do() -> None:
    assert expected_calibration_error(DRAWN, TRUE) < 0.02
    assert expected_calibration_error(DRAWN, scale_temperature(TRUE, 0.4)) > 0.08


def test_chance_alone_explains_the_error_of_the_calibrated_and_not_of_the_distorted() -> None:
    """Over few rows even a perfect calibration shows an error, as large as is said; a real one stands out of it."""
    errors = [expected_calibration_error(DRAWN[at : at + 200], TRUE[at : at + 200]) for at in range(0, 4000, 200)]
    said = [evaluate(DRAWN[at : at + 200], TRUE[at : at + 200]).ece_by_chance for at in range(0, 4000, 200)]
    assert np.mean(errors) == pytest.approx(np.mean(said), rel=0.1)
    few, many = (evaluate(DRAWN[:rows], scale_temperature(TRUE[:rows], 0.4)) for rows in (200, 4000))
    assert many.ece_by_chance < few.ece_by_chance < few.ece.value


@pytest.mark.parametrize("distortion", [0.4, 1.0, 2.5])
def test_the_fitted_temperature_undoes_a_distortion(distortion: float) -> None:
    distorted = scale_temperature(TRUE, distortion)
    fitted = fit_temperature(DRAWN, distorted)
    assert fitted == pytest.approx(1 / distortion, rel=0.1)
    assert expected_calibration_error(DRAWN, scale_temperature(distorted, fitted)) < 0.02


def test_certain_and_wrong_probabilities_stay_finite() -> None:
    certain = np.eye(3)[[0, 1, 2]]
    assert np.isfinite(fit_temperature(np.array([1, 1, 2]), certain))
    assert np.isfinite(scale_temperature(certain, 0.05)).all()


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_paired_test_is_the_exact_binomial_one(first_only: int, second_only: int) -> None:
    labels = np.zeros(first_only + second_only + 5, int)
    right, wrong = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    first = np.array([right] * first_only + [wrong] * second_only + [right] * 5)
    second = np.array([wrong] * first_only + [right] * second_only + [right] * 5)
    n = first_only + second_only
    expected = binomtest(first_only, n).pvalue if n else 1.0
    assert mcnemar(labels, first, second) == pytest.approx(expected)


def test_better_by_noise_is_not_better() -> None:
    worse = np.array(TRUE)
    worse[:3] = worse[:3][:, ::-1]
    assert not is_better(DRAWN, TRUE, worse)
    assert is_better(DRAWN, TRUE, majority_baseline(DRAWN, len(DRAWN)))


def test_the_gate_needs_every_rival_beaten_and_says_by_how_much() -> None:
    naive = majority_baseline(DRAWN, len(DRAWN))
    assert compare(DRAWN, TRUE, {"majority": naive}).promote
    verdict = compare(DRAWN, TRUE, {"majority": naive, "champion": TRUE})
    assert not verdict.promote
    assert verdict.reasons[0].startswith("better than majority: 0.")
    assert verdict.reasons[1].startswith("not better than champion: 0.")
    assert not compare(DRAWN, naive, {"champion": TRUE}).promote
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(DRAWN, TRUE, {})


def test_empty_or_misshapen_input_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no rows"):
        evaluate(np.array([], int), np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        evaluate(np.array([0, 1]), np.zeros((2, 2)))
