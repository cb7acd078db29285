"""What the members of the ensemble have in common: what they read, and what they say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Probabilities = tuple[float, float, float]
"""Of negative, neutral and positive, in this order throughout; they add up to one."""

LABELS = ("negative", "neutral", "positive")


class MemberError(RuntimeError):
    """A member could not score; the ensemble goes on without it."""


@dataclass(frozen=True)
class Failure:
    """Why a member was not heard of a batch."""

    reason: str
    """One line, without personal data: the kind of the error and what it says."""
    texts: int
    """How many readings it left unscored."""


@dataclass(frozen=True)
class Reading:
    """One text as members read it: normalised, without personal data."""

    text: str
    entity: str | None = None
    """The name, as it stands in the text, that the sentiment is asked for; None: the text as a whole."""
    clause: str | None = None
    """The part of the text that is about the entity, for members that know no entities; None: all of it."""


@dataclass(frozen=True)
class Opinion:
    """What one member says of one reading."""

    probabilities: Probabilities
    confidence: float
    """In [0, 1]; 0 where there was nothing to read."""
    flags: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """p_positive - p_negative, in [-1, 1]."""
        return self.probabilities[2] - self.probabilities[0]


NOTHING = Opinion((0.0, 1.0, 0.0), 0.0, ("empty",))
"""Of a text without content."""


class Member(Protocol):
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

    def score(self, readings: Sequence[Reading]) -> list[Opinion]:
        """One opinion a reading, in order. Raises MemberError where the model fails."""
