"""What the members of the ensemble have in common: what they read, and what they say of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from paiid_pipeline.sentiment.labels import LABELS

Probabilities = tuple[float, float, float]
"""Of negative, neutral and positive, in this order throughout; they add up to one."""


class ModelError(RuntimeError):
    """A member could not score; the ensemble goes on without it."""


@dataclass(frozen=True)
class Failure:
    """Why a member made no prediction for some texts."""

    reason: str
    """The kind of the first error and what it says."""
    texts: int
    """For how many readings."""


@dataclass(frozen=True)
class TextInput:
    """One text as members read it: normalised, without personal data."""

    text: str
    entity: str | None = None
    """The name, as it stands in the text, that the sentiment is asked for; None: the text as a whole."""
    clause: str | None = None
    """The part of the text that is about the entity, for members that know no entities; None: all of it."""


@dataclass(frozen=True)
class Prediction:
    """What one member says of one reading."""

    probabilities: Probabilities
    confidence: float
    """In [0, 1]; 0 where there was nothing to read."""
    flags: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """p_positive - p_negative, in [-1, 1]."""
        return self.probabilities[2] - self.probabilities[0]


NOTHING = Prediction((0.0, 1.0, 0.0), 0.0, ("empty",))
"""Of a text without content."""


class SentimentModel(Protocol):
    """A model of the ensemble. The opinion of a reading does not depend on the others, to the last bit."""

    @property
    def name(self) -> str:
        """vader | finbert | custom_bert."""

    @property
    def version(self) -> str:
        """What an opinion depends on besides the reading."""

    @property
    def cost_ms(self) -> float:
        """Nominal milliseconds a text on this device: what the router goes by."""

    def score(self, text_inputs: Sequence[TextInput]) -> list[Prediction]:
        """One opinion a reading, in order. Raises ModelError where the model fails."""


_SUM_WITHIN = 1e-3
"""Probabilities may be rounded, each to four decimals."""


def predict_texts(
    member: SentimentModel, text_inputs: Sequence[TextInput]
) -> tuple[list[Prediction | None], Failure | None]:
    """One prediction a reading, in order, and why some are missing.

    None stands where the member fails on that reading or predicts what is no probability: NaN, an infinity, too few
    numbers or such as do not add up to one. A batch that fails is tried reading by reading, so that one text costs
    the others nothing.
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
    """Whether it is three probabilities that add up to one, and a confidence in [0, 1]."""
    numbers = prediction.probabilities
    return (
        len(numbers) == len(LABELS)
        and all(0 <= number <= 1 for number in (*numbers, prediction.confidence))  # NaN is neither
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
