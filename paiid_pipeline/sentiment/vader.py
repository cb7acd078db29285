"""VADER as a member: a lexicon of general English with rules for negation, emphasis and case.

VADER (Hutto and Gilbert 2014) is made for social media: it scores single words, calls "no problem"
negative, and knows little of finance. It costs no model and starts at once, so it is the first member and the fallback.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import polars as pl

from paiid_pipeline.contracts import Schema
from paiid_pipeline.sentiment.normalise import normalise

MODEL = "vader"
MAPPING = 2
"""Raised whenever normalisation or the mapping below changes what a text scores."""

UNINFORMED = 1 / 3
"""Confidence in a text without one word of the lexicon: one of three classes, drawn blind."""

SCORES: Schema = {
    "score": pl.Float64,
    "p_negative": pl.Float64,
    "p_neutral": pl.Float64,
    "p_positive": pl.Float64,
    "confidence": pl.Float64,
    "flags": pl.List(pl.String),
}


@cache
def model_version() -> str:
    """The version of VADER's package and of the mapping: another one may score the same text otherwise."""
    return f"{version('vaderSentiment')}+mapping.{MAPPING}"


def score(texts: Sequence[str]) -> pl.DataFrame:
    """Score raw texts (they are normalised here): one row a text, in order, columns of ``SCORES``.

    VADER's ``compound`` c in [-1, 1] is the score, being the number that its authors calibrated; its
    neg/neu/pos are shares of words and say little of the text as a whole. So p_positive = max(c, 0),
    p_negative = max(-c, 0) and p_neutral = 1 - |c|, which makes score = p_positive - p_negative exact.
    Confidence is the greatest of the three; ``UNINFORMED`` with the flag ``no_lexicon_word`` where VADER
    knows no word; 0 with the flag ``empty`` where nothing is left to read. Other flags are those of
    :func:`normalise`. Each distinct text is scored once, and its bits do not depend on the others.
    """
    scored = {text: _score(text) for text in dict.fromkeys(texts)}
    return pl.DataFrame([scored[text] for text in texts], schema=SCORES, orient="row")


def _score(text: str) -> tuple[float, float, float, float, float, list[str]]:
    clean = normalise(text)
    flags = list(clean.flags)
    if not clean.text:
        return 0.0, 0.0, 1.0, 0.0, 0.0, [*flags, "empty"]
    shares = _analyser().polarity_scores(clean.text)
    compound = float(shares["compound"])
    positive, negative = max(compound, 0.0), max(-compound, 0.0)
    neutral = round(1.0 - abs(compound), 4)  # VADER rounds to four decimals
    if shares["pos"] == 0.0 and shares["neg"] == 0.0:
        return 0.0, 0.0, 1.0, 0.0, UNINFORMED, [*flags, "no_lexicon_word"]
    return positive - negative, negative, neutral, positive, max(positive, negative, neutral), flags


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
