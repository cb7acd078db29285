"""VADER as a member of the ensemble: a lexicon of general English with rules for negation, emphasis and case.

VADER (Hutto and Gilbert 2014) was made for social media: it scores single words, calls "no problem" negative, and has
few finance terms. It needs no model files, so it is always available.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from paiid_pipeline.sentiment.base import NOTHING, Prediction, TextInput

MODEL = "vader"
MAPPING = 5
"""The version of normalisation and of the mapping below."""

UNINFORMED = 1 / 3
"""Confidence for a text without a lexicon word: chance among three classes."""


@cache
def model_version() -> str:
    """The versions of VADER's package and of the mapping."""
    return f"{version('vaderSentiment')}+mapping.{MAPPING}"


class Vader:
    """VADER as a :class:`~paiid_pipeline.sentiment.base.SentimentModel`.

    The score is VADER's calibrated ``compound`` c in [-1, 1]; its neg/neu/pos are word fractions. So
    p_positive = max(c, 0), p_negative = max(-c, 0) and p_neutral = 1 - |c|, which makes
    score = p_positive - p_negative exact. Confidence is the greatest of the three; ``UNINFORMED`` with the flag
    ``no_lexicon_word`` without a lexicon word; 0 with the flag ``empty`` for an empty text. With an entity, its clause
    is scored.
    """

    name = MODEL
    cost_ms = 0.1

    @property
    def version(self) -> str:
        """:func:`model_version`."""
        return model_version()

    def score(self, text_inputs: Sequence[TextInput]) -> list[Prediction]:
        """One prediction an input; distinct texts are scored once."""
        texts = [text_input.clause or text_input.text for text_input in text_inputs]
        scored = {text: _score(text) for text in dict.fromkeys(texts)}
        return [scored[text] for text in texts]


def _score(text: str) -> Prediction:
    if not text:
        return NOTHING
    shares = _analyser().polarity_scores(text)
    if shares["pos"] == 0.0 and shares["neg"] == 0.0:
        return Prediction((0.0, 1.0, 0.0), UNINFORMED, ("no_lexicon_word",))
    compound = float(shares["compound"])
    positive, negative = max(compound, 0.0), max(-compound, 0.0)
    neutral = round(1.0 - abs(compound), 4)  # VADER rounds to four decimals
    return Prediction((negative, neutral, positive), max(positive, negative, neutral))


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
