"""A fitted blend: better than the seed's where it can be, calibrated after the mix, the same from the same rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paiid_pipeline.ml.text.ensemble import fit_blend, log_loss
from paiid_pipeline.sentiment.base import Prediction
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS


def rows(seed: int, sharpness: float, count: int = 600) -> tuple[list[int], list[Prediction]]:
    """Labels drawn from known probabilities, and a member that reports them to the power of ``sharpness``."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([0.6, 0.8, 0.6], count)
    labels = [int(rng.choice(3, p=row)) for row in true]
    told = np.clip(true, 1e-6, 1) ** sharpness
    told /= told.sum(1, keepdims=True)
    return labels, [Prediction((float(a), float(b), float(c)), float(max(a, b, c))) for a, b, c in told]


def noise(count: int = 600) -> list[Prediction]:
    _, predictions = rows(99, 3.0, count)
    return predictions


def test_the_temperature_undoes_what_a_member_is_too_sure_of() -> None:
    labels, predictions = rows(1, 2.0)
    assert fit_blend(labels, {"custom_bert": predictions}).temperature == pytest.approx(2.0, rel=0.15)


def test_the_floor_undoes_what_smoothed_labels_left_on_every_class() -> None:
    labels, predictions = rows(4, 1.0, 3000)
    smoothed = [Prediction(tuple(0.91 * p + 0.03 for p in o.probabilities), o.confidence) for o in predictions]  # type: ignore[arg-type]
    fitted = fit_blend(labels, {"custom_bert": smoothed})
    assert fitted.floor == pytest.approx(0.03, abs=0.006)
    assert log_loss(labels, {"custom_bert": smoothed}, fitted) < log_loss(
        labels, {"custom_bert": smoothed}, replace(fitted, floor=0.0)
    )


def test_a_member_that_knows_nothing_loses_its_weight_and_the_fit_beats_the_seed() -> None:
    labels, predictions = rows(2, 1.0)
    said = {"custom_bert": predictions, "vader": noise()}
    fitted = fit_blend(labels, said)
    assert fitted.weights["custom_bert"] >= 0.9
    assert log_loss(labels, said, fitted) < log_loss(labels, said, DEFAULT_WEIGHTS) - 0.1


def test_the_fit_holds_on_rows_that_it_has_not_seen() -> None:
    labels, predictions = rows(3, 2.0, 1200)
    said = {"custom_bert": predictions, "vader": noise(1200)}
    fitted = fit_blend(labels[:600], {name: each[:600] for name, each in said.items()})
    unseen = {name: each[600:] for name, each in said.items()}
    assert log_loss(labels[600:], unseen, fitted) < log_loss(labels[600:], unseen, DEFAULT_WEIGHTS)


def test_the_same_rows_give_the_same_version_and_others_another() -> None:
    first, again, other = (
        fit_blend(*[labels, {"vader": o}]) for labels, o in (rows(1, 2.0), rows(1, 2.0), rows(1, 0.5))
    )
    assert first == again
    assert first.version != other.version


def test_rows_that_do_not_match_are_refused() -> None:
    labels, predictions = rows(1, 1.0, 10)
    for wrong in ([], labels[:5]):
        with pytest.raises(ValueError, match="as many predictions as labels"):
            fit_blend(wrong, {"vader": predictions})
    with pytest.raises(ValueError, match="10 labels"):
        fit_blend(labels, {})
