"""Mixing: the formula, what a missing or unsure member does, calibration after the mix; and who is heard."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.base import NOTHING, Prediction, Probabilities
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, EnsembleWeights, apply_temperature, select_models
from paiid_pipeline.sentiment.vader import Vader
from paiid_pipeline_tests.sentiment.test_analyzer import GLAD, SAD, Scripted

NAMES = ("vader", "finbert", "custom_bert")
parts = st.integers(0, 1000)
predictions = st.builds(
    lambda a, b, c: Prediction((a / (a + b + c), b / (a + b + c), c / (a + b + c)), max(a, b, c) / (a + b + c)),
    parts, parts.map(lambda n: n + 1), parts,
)  # fmt: skip


def test_the_formula_of_the_seed() -> None:
    """Weights 0.3 / 0.4 / 0.3, each times its member's confidence."""
    unsure = Prediction((0.3, 0.4, 0.3), 0.4)
    mixed = DEFAULT_WEIGHTS.mix({"vader": unsure, "finbert": GLAD, "custom_bert": SAD})
    weights = (0.3 * 0.4, 0.4 * 0.7, 0.3 * 0.8)
    for place in range(3):
        wanted = sum(w * o.probabilities[place] for w, o in zip(weights, (unsure, GLAD, SAD), strict=True)) / sum(
            weights
        )
        assert mixed.probabilities[place] == pytest.approx(wanted)


@given(st.dictionaries(st.sampled_from(NAMES), predictions, min_size=1), st.floats(0.2, 5), st.floats(0, 0.05))
def test_a_mix_is_probabilities_between_those_of_its_members(
    said: dict[str, Prediction], temperature: float, floor: float
) -> None:
    plain = DEFAULT_WEIGHTS.mix(said)
    for place in range(3):
        heard = [prediction.probabilities[place] for prediction in said.values()]
        assert min(heard) - 1e-12 <= plain.probabilities[place] <= max(heard) + 1e-12
    tempered = EnsembleWeights("t", DEFAULT_WEIGHTS.weights, temperature, floor).mix(said)
    assert math.fsum(tempered.probabilities) == pytest.approx(1, abs=1e-12)
    assert 0 <= tempered.confidence <= 1
    order = sorted(range(3), key=lambda place: plain.probabilities[place])
    ranked = [tempered.probabilities[place] for place in order]
    assert ranked == sorted(ranked)


@given(predictions)
def test_one_member_alone_is_the_ensemble_whatever_its_weight(prediction: Prediction) -> None:
    assert EnsembleWeights("w", {"vader": 0.017}).mix({"vader": prediction, "unknown": GLAD}) == prediction


def test_without_evidence_there_is_no_opinion() -> None:
    assert DEFAULT_WEIGHTS.mix({}) == DEFAULT_WEIGHTS.mix({"vader": NOTHING}) == NOTHING


@given(predictions, st.floats(0.1, 10))
def test_a_temperature_sharpens_or_softens(prediction: Prediction, temperature: float) -> None:
    highest = max(apply_temperature(prediction.probabilities, temperature))
    if temperature >= 1:
        assert highest <= max(prediction.probabilities) + 1e-12
    else:
        assert highest >= max(prediction.probabilities) - 1e-12


def test_a_temperature_of_one_changes_no_bit() -> None:
    odd: Probabilities = (0.1, 0.2, 0.7000000000000001)
    assert apply_temperature(odd, 1.0) is odd


@pytest.mark.parametrize(
    "wrong",
    [{"weights": {"vader": -0.1}}, {"weights": {"vader": 0.0}}, {"weights": {}}, {"temperature": 0.0}, {"floor": 0.4}],
)
def test_a_blend_that_cannot_mix_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="blend mine"):
        EnsembleWeights(**{"version": "mine", "weights": {"vader": 1.0}, **wrong})  # type: ignore[arg-type]


def test_the_router_hears_whom_the_budget_allows_and_says_why_not() -> None:
    finbert, ours = Scripted("finbert", {"*": GLAD}, cost_ms=40.0), Scripted("custom_bert", {"*": GLAD}, cost_ms=3.0)
    every = [Vader(), finbert, ours]

    def chosen(budget_ms: float | None) -> list[str]:
        return [member.name for member in select_models(every, {}, DEFAULT_WEIGHTS, budget_ms).members]

    assert chosen(None) == ["custom_bert", "finbert", "vader"]
    assert chosen(41.0) == ["finbert", "vader"]
    assert chosen(10.0) == ["custom_bert", "vader"]
    assert chosen(0.0) == ["vader"]
    left = select_models(every, {}, DEFAULT_WEIGHTS, 10.0).unavailable
    assert list(left) == ["finbert"]
    assert "budget of 10 ms" in left["finbert"]


def test_a_member_of_weight_zero_is_scored_and_not_heard() -> None:
    blend = EnsembleWeights("w", {"vader": 0.0, "finbert": 1.0})
    chosen = select_models([Vader(), Scripted("finbert", {"*": GLAD})], {}, blend)
    assert [member.name for member in chosen.members] == ["finbert", "vader"]
    assert blend.mix({"vader": SAD, "finbert": GLAD}) == GLAD


def test_the_router_repeats_why_a_member_is_absent_and_ignores_one_without_a_weight() -> None:
    made = select_models([Vader(), Scripted("other", {"*": GLAD})], {"finbert": "no folder"}, DEFAULT_WEIGHTS)
    assert [member.name for member in made.members] == ["vader"]
    assert made.unavailable == {"finbert": "no folder", "custom_bert": "not loaded"}
