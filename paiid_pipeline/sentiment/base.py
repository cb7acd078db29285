"""The interface of the ensemble's members: their inputs and predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from paiid_pipeline.sentiment.labels import LABELS

Probabilities = tuple[float, float, float]
"""P(negative), P(neutral), P(positive), in this order throughout; they sum to one."""


class ModelError(RuntimeError):
    """A member cannot score; the ensemble goes on without it."""


@dataclass(frozen=True)
class Failure:
    """Why a member has no prediction for some texts."""

    reason: str
    """Type and message of the first error."""
    texts: int
    """The number of texts affected."""


@dataclass(frozen=True)
class TextInput:
    """A normalised text without personal data, the input of a member."""

    text: str
    entity: str | None = None
    """The name, as written in the text, whose sentiment is wanted; None: the text as a whole."""
    clause: str | None = None
    """The part of the text about the entity, for members without entity input; None: all of it."""


@dataclass(frozen=True)
class Prediction:
    """The prediction of a member for one input."""

    probabilities: Probabilities
    confidence: float
    """In [0, 1]; 0 for a text without content."""
    flags: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """p_positive - p_negative, in [-1, 1]."""
        return self.probabilities[2] - self.probabilities[0]


NOTHING = Prediction((0.0, 1.0, 0.0), 0.0, ("empty",))
"""The prediction for a text without content."""


class SentimentModel(Protocol):
    """A member of the ensemble. A prediction is bit-identical whatever other inputs the batch has."""

    @property
    def name(self) -> str:
        """vader | finbert | custom_bert."""

    @property
    def version(self) -> str:
        """All that a prediction depends on besides the input."""

    @property
    def cost_ms(self) -> float:
        """Nominal milliseconds a text on this device, for the budget."""

    def score(self, text_inputs: Sequence[TextInput]) -> list[Prediction]:
        """One prediction an input, in order. Raises ModelError where the model fails."""


_SUM_WITHIN = 1e-3
"""Probabilities may be rounded, each to four decimals."""


def predict_texts(
    member: SentimentModel, text_inputs: Sequence[TextInput]
) -> tuple[list[Prediction | None], Failure | None]:
    """One prediction an input, in order, and the reason of missing ones.

    None where the member fails on the input or returns invalid probabilities (not finite, not three, not summing to
    one). A batch that fails is repeated input by input, so that one text does not cost the others their predictions.
    """
    try:
        found = _as_many(member.score(text_inputs), len(text_inputs))
        first = None
    except Exception as error:  # noqa: BLE001 - the runtimes' own exceptions have no common base
        first = _reason(error)
        found = (
            [_alone(member, text_input) for text_input in text_inputs]
            if len(text_inputs) > 1
            else [None] * len(text_inputs)
        )
    sound = [each if each is not None and is_sound(each) else None for each in found]
    missing = sound.count(None)
    if not missing:
        return sound, None
    unsound = next((each.probabilities for each in found if each is not None and not is_sound(each)), None)
    return sound, Failure(first or f"{member.name} predicts {unsound}, which are no probabilities", missing)


def is_sound(prediction: Prediction) -> bool:
    """Whether it has three probabilities that sum to one, and a confidence in [0, 1]."""
    numbers = prediction.probabilities
    return (
        len(numbers) == len(LABELS)
        and all(0 <= number <= 1 for number in (*numbers, prediction.confidence))  # false for NaN
        and abs(math.fsum(numbers) - 1) <= _SUM_WITHIN
    )


def _alone(member: SentimentModel, text_input: TextInput) -> Prediction | None:
    try:
        return _as_many(member.score([text_input]), 1)[0]
    except Exception:  # noqa: BLE001
        return None


def _as_many(found: Sequence[Prediction | None], expected: int) -> list[Prediction | None]:
    if len(found) != expected:
        raise ModelError(f"{len(found)} predictions for {expected} texts")
    return list(found)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
