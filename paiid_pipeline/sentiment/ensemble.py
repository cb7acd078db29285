"""The ensemble: members mixed by weight and confidence, then calibrated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from paiid_pipeline.sentiment.base import NOTHING, Prediction, Probabilities, SentimentModel

MODEL = "ensemble"
LEFT = 0.001
"""Minimum probability of a class after the floor is removed."""


@dataclass(frozen=True)
class EnsembleWeights:
    """Weights and calibration of the ensemble; another fit is another version."""

    version: str
    weights: Mapping[str, float]
    """By member, at least 0; they need not sum to one."""
    temperature: float = 1.0
    """Softens the mix above 1, sharpens it below; fitted on the mix, since mixing undoes calibration."""
    floor: float = 0.0
    """Subtracted from every class first, to undo the label smoothing of the members' training."""

    def __post_init__(self) -> None:
        if not all(weight >= 0 for weight in self.weights.values()) or not any(self.weights.values()):
            raise ValueError(
                f"blend {self.version}: weights {dict(self.weights)} must be at least 0, one of them above"
            )
        if not self.temperature > 0:
            raise ValueError(f"blend {self.version}: temperature {self.temperature} must be above 0")
        if not 0 <= self.floor < 1 / 3:
            raise ValueError(f"blend {self.version}: floor {self.floor} must be at least 0 and under a third")

    def mix(self, predictions: Mapping[str, Prediction]) -> Prediction:
        """The ensemble's prediction from those of its members; members without weight are ignored.

        p = sum(w c p_member) / sum(w c), with c the member's confidence, then (p - floor) ** (1 / temperature)
        normalised. Confidence is the least of the greatest probability and the weighted mean confidence of the members.
        Where sum(w c) is 0, it is neutral with confidence 0.
        """
        weighted = [
            (self.weights[name], predictions[name]) for name in sorted(predictions) if self.weights.get(name, 0) > 0
        ]
        evidence = math.fsum(weight * prediction.confidence for weight, prediction in weighted)
        if evidence <= 0:
            return NOTHING
        shares = [weight * prediction.confidence / evidence for weight, prediction in weighted]
        mixed = _weighted(shares, [prediction.probabilities for _, prediction in weighted])
        total = math.fsum(weight for weight, _ in weighted)
        mean = math.fsum(weight / total * prediction.confidence for weight, prediction in weighted)
        tempered = apply_temperature(remove_floor(mixed, self.floor), self.temperature)
        return Prediction(tempered, min(max(tempered), mean, 1.0))


DEFAULT_WEIGHTS = EnsembleWeights("seed.1", {"vader": 0.3, "finbert": 0.4, "custom_bert": 0.3})
"""Weights without a fit, and without calibration."""


def remove_floor(probabilities: Probabilities, floor: float) -> Probabilities:
    """max(p - floor, 0.001) normalised; unchanged where the floor is 0."""
    if floor == 0.0:
        return probabilities
    negative, neutral, positive = (max(p - floor, LEFT) for p in probabilities)
    total = math.fsum((negative, neutral, positive))
    return negative / total, neutral / total, positive / total


def apply_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """p ** (1 / temperature) normalised; unchanged where the temperature is 1."""
    if temperature == 1.0:
        return probabilities
    highest = max(probabilities)
    negative, neutral, positive = ((p / highest) ** (1 / temperature) for p in probabilities)
    total = math.fsum((negative, neutral, positive))
    return negative / total, neutral / total, positive / total


def _weighted(shares: Sequence[float], predictions: Iterable[Probabilities]) -> Probabilities:
    rows = list(predictions)
    negative, neutral, positive = (math.fsum(s * row[k] for s, row in zip(shares, rows, strict=True)) for k in range(3))
    return min(negative, 1.0), min(neutral, 1.0), min(positive, 1.0)


@dataclass(frozen=True)
class Selection:
    """The members that score, and why others do not."""

    members: tuple[SentimentModel, ...]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """The reason, by member."""


def select_models(
    available: Sequence[SentimentModel],
    absent: Mapping[str, str],
    blend: EnsembleWeights,
    budget_ms: float | None = None,
) -> Selection:
    """Select the available members that the blend names, as many as ``budget_ms`` a text allows.

    One with a weight of 0 is scored for comparison, but not mixed. ``absent``: why each other member is unavailable.
    Within a budget the greatest weights come first, and the cheapest member is always selected. Costs are nominal, so
    that scores do not depend on load.
    """
    unavailable = {name: absent.get(name, "not loaded") for name, weight in blend.weights.items() if weight > 0}
    wanted = [member for member in available if member.name in blend.weights]
    chosen: list[SentimentModel] = sorted(wanted, key=lambda member: member.cost_ms)[:1]
    spent = sum(member.cost_ms for member in chosen)
    for member in sorted(wanted, key=lambda each: (-blend.weights[each.name], each.name)):
        if member in chosen:
            continue
        if budget_ms is not None and spent + member.cost_ms > budget_ms:
            unavailable[member.name] = f"costs {member.cost_ms:g} ms a text, over the budget of {budget_ms:g} ms"
            continue
        chosen.append(member)
        spent += member.cost_ms
    names = [member.name for member in chosen]
    return Selection(
        tuple(sorted(chosen, key=lambda member: member.name)),
        {n: why for n, why in unavailable.items() if n not in names},
    )
