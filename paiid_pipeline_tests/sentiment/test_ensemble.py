"""Mixing: the formula, what a missing or unsure member does, calibration after the mix; and who is heard."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.base import NOTHING, Opinion, Probabilities
from paiid_pipeline.sentiment.ensemble import SEED, Blend, route, temper
from paiid_pipeline.sentiment.vader import Vader
from paiid_pipeline_tests.sentiment.test_analyzer import GLAD, SAD, Scripted

NAMES = ("vader", "finbert", "custom_bert")
parts = st.integers(0, 1000)
opinions = st.builds(
    lambda a, b, c: Opinion((a / (a + b + c), b / (a + b + c), c / (a + b + c)), max(a, b, c) / (a + b + c)),
    parts, parts.map(lambda n: n + 1), parts,
)  # fmt: skip


def test_the_formula_of_the_seed() -> None:
    """Weights 0.3 / 0.4 / 0.3, each times its member's confidence."""
    unsure = Opinion((0.3, 0.4, 0.3), 0.4)
    mixed = SEED.mix({"vader": unsure, "finbert": GLAD, "custom_bert": SAD})
    weights = (0.3 * 0.4, 0.4 * 0.7, 0.3 * 0.8)
    for place in range(3):
        wanted = sum(w * o.probabilities[place] for w, o in zip(weights, (unsure, GLAD, SAD), strict=True)) / sum(
            weights
        )
        assert mixed.probabilities[place] == pytest.approx(wanted)


@given(st.dictionaries(st.sampled_from(NAMES), opinions, min_size=1), st.floats(0.2, 5), st.floats(0, 0.05))
def test_a_mix_is_probabilities_between_those_of_its_members(
    said: dict[str, Opinion], temperature: float, floor: float
) -> None:
    plain = SEED.mix(said)
    for place in range(3):
        heard = [opinion.probabilities[place] for opinion in said.values()]
        assert min(heard) - 1e-12 <= plain.probabilities[place] <= max(heard) + 1e-12
    tempered = Blend("t", SEED.weights, temperature, floor).mix(said)
    assert math.fsum(tempered.probabilities) == pytest.approx(1, abs=1e-12)
    assert 0 <= tempered.confidence <= 1
    order = sorted(range(3), key=lambda place: plain.probabilities[place])
    ranked = [tempered.probabilities[place] for place in order]
    assert ranked == sorted(ranked)


@given(opinions)
def test_one_member_alone_is_the_ensemble_whatever_its_weight(opinion: Opinion) -> None:
    assert Blend("w", {"vader": 0.017}).mix({"vader": opinion, "unknown": GLAD}) == opinion


def test_without_evidence_there_is_no_opinion() -> None:
    assert SEED.mix({}) == SEED.mix({"vader": NOTHING}) == NOTHING


@given(opinions, st.floats(0.1, 10))
def test_a_temperature_sharpens_or_softens(opinion: Opinion, temperature: float) -> None:
    highest = max(temper(opinion.probabilities, temperature))
    if temperature >= 1:
        assert highest <= max(opinion.probabilities) + 1e-12
    else:
        assert highest >= max(opinion.probabilities) - 1e-12


def test_a_temperature_of_one_changes_no_bit() -> None:
    odd: Probabilities = (0.1, 0.2, 0.7000000000000001)
    assert temper(odd, 1.0) is odd


@pytest.mark.parametrize(
    "wrong",
    [{"weights": {"vader": -0.1}}, {"weights": {"vader": 0.0}}, {"weights": {}}, {"temperature": 0.0}, {"floor": 0.4}],
)
def test_a_blend_that_cannot_mix_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="blend mine"):
        Blend(**{"version": "mine", "weights": {"vader": 1.0}, **wrong})  # type: ignore[arg-type]


def test_the_router_hears_whom_the_budget_allows_and_says_why_not() -> None:
    finbert, ours = Scripted("finbert", {"*": GLAD}, cost_ms=40.0), Scripted("custom_bert", {"*": GLAD}, cost_ms=3.0)
    every = [Vader(), finbert, ours]

    def chosen(budget_ms: float | None) -> list[str]:
        return [member.name for member in route(every, {}, SEED, budget_ms).members]

    assert chosen(None) == ["custom_bert", "finbert", "vader"]
    assert chosen(41.0) == ["finbert", "vader"]
    assert chosen(10.0) == ["custom_bert", "vader"]
    assert chosen(0.0) == ["vader"]
    left = route(every, {}, SEED, 10.0).left_out
    assert list(left) == ["finbert"]
    assert "budget of 10 ms" in left["finbert"]


def test_a_member_of_weight_zero_is_scored_and_not_heard() -> None:
    blend = Blend("w", {"vader": 0.0, "finbert": 1.0})
    chosen = route([Vader(), Scripted("finbert", {"*": GLAD})], {}, blend)
    assert [member.name for member in chosen.members] == ["finbert", "vader"]
    assert blend.mix({"vader": SAD, "finbert": GLAD}) == GLAD


def test_the_router_repeats_why_a_member_is_absent_and_ignores_one_without_a_weight() -> None:
    made = route([Vader(), Scripted("other", {"*": GLAD})], {"finbert": "no folder"}, SEED)
    assert [member.name for member in made.members] == ["vader"]
    assert made.left_out == {"finbert": "no folder", "custom_bert": "not loaded"}
