"""VADER as a member: its numbers hold together, and odd texts have a defined score."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from paiid_pipeline.sentiment.base import NOTHING, TextInput
from paiid_pipeline.sentiment.vader import UNINFORMED, Vader, model_version

GOOD, BAD = "Great profit, excellent growth!", "Terrible loss and fraud."


def inputs(*texts: str) -> list[TextInput]:
    return [TextInput(text) for text in texts]


def test_the_score_is_vaders_compound() -> None:
    compounds = [SentimentIntensityAnalyzer().polarity_scores(text)["compound"] for text in (GOOD, BAD)]
    assert [prediction.score for prediction in Vader().score(inputs(GOOD, BAD))] == compounds
    assert compounds[0] > 0.5 > -0.5 > compounds[1]


@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from([GOOD, BAD, "not " + GOOD, "", "the"])), max_size=8))
def test_scores_are_probabilities_and_do_not_depend_on_the_batch(texts: list[str]) -> None:
    for text, prediction in zip(texts, Vader().score(inputs(*texts)), strict=True):
        assert -1 <= prediction.score <= 1
        assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-12)
        assert all(0 <= number <= 1 for number in (*prediction.probabilities, prediction.confidence))
        assert Vader().score(inputs(text)) == [prediction]


def test_texts_that_say_nothing() -> None:
    empty, unknown, foreign = Vader().score(inputs("", "Quarterly report filed", "株価が上昇"))
    assert empty == NOTHING
    for prediction in (unknown, foreign):
        assert (prediction.score, prediction.confidence, prediction.flags) == (0.0, UNINFORMED, ("no_lexicon_word",))


def test_it_reads_the_clause_of_an_entity() -> None:
    whole, clause = Vader().score([TextInput(GOOD + BAD), TextInput(GOOD + BAD, "x", BAD)])
    assert clause == Vader().score(inputs(BAD))[0] != whole


def test_the_version_names_the_package_and_the_mapping() -> None:
    assert model_version() == Vader().version == "3.3.2+mapping.5"


def test_it_is_better_than_chance_on_real_headlines(data_dir: Path) -> None:
    """Financial PhraseBank: three classes by the score's sign at 0.5; the majority class is 0.59 of it."""
    phrases = pl.read_csv(data_dir / "sentiment" / "financial_phrasebank.csv")
    polar = phrases.filter(pl.col("label") != "neutral")
    got = [prediction.score for prediction in Vader().score(inputs(*polar["text"]))]
    agree = [(s > 0) == (label == "positive") for s, label in zip(got, polar["label"], strict=True) if abs(s) > 0.3]
    assert len(agree) > 300
    assert sum(agree) / len(agree) > 0.72
