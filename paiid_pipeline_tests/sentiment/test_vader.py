"""VADER as a member: its numbers hold together, and odd texts have a defined score."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from paiid_pipeline.sentiment.vader import SCORES, UNINFORMED, model_version, score

GOOD, BAD = "Great profit, excellent growth!", "Terrible loss and fraud."


def test_the_score_is_vaders_compound() -> None:
    compounds = [SentimentIntensityAnalyzer().polarity_scores(text)["compound"] for text in (GOOD, BAD)]
    assert score([GOOD, BAD])["score"].to_list() == compounds
    assert compounds[0] > 0.5 > -0.5 > compounds[1]


@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from([GOOD, BAD, "not " + GOOD, "", "the"])), max_size=8))
def test_scores_are_probabilities_and_do_not_depend_on_the_batch(texts: list[str]) -> None:
    got = score(texts)
    assert got.schema == pl.Schema(SCORES)
    for text, row in zip(texts, got.iter_rows(named=True), strict=True):
        assert row["score"] == row["p_positive"] - row["p_negative"]
        assert -1 <= row["score"] <= 1
        assert row["p_negative"] + row["p_neutral"] + row["p_positive"] == pytest.approx(1, abs=1e-12)
        assert all(0 <= row[name] <= 1 for name in ("p_negative", "p_neutral", "p_positive", "confidence"))
        assert score([text]).row(0, named=True) == row


def test_texts_that_say_nothing() -> None:
    empty, blank, unknown, foreign = score(["", " \u200b ", "Quarterly report filed", "株価が上昇"]).to_dicts()
    for row in (empty, blank):
        assert (row["p_neutral"], row["score"], row["confidence"]) == (1.0, 0.0, 0.0)
        assert row["flags"][-1] == "empty"
    for row in (unknown, foreign):
        assert (row["score"], row["confidence"], row["flags"][-1]) == (0.0, UNINFORMED, "no_lexicon_word")


def test_a_disguised_text_scores_like_the_plain_one() -> None:
    plain, disguised = score(["fraud and loss", "fr\u0430ud and l\u200boss"]).to_dicts()
    assert disguised["score"] == plain["score"] < 0
    assert disguised["flags"] == ["hidden", "look_alikes", "tampered"]


def test_the_version_names_the_package_and_the_mapping() -> None:
    assert model_version() == "3.3.2+mapping.2"


def test_it_is_better_than_chance_on_real_headlines(data_dir: Path) -> None:
    """Financial PhraseBank: three classes by the score's sign at 0.5; the majority class is 0.59 of it."""
    phrases = pl.read_csv(data_dir / "sentiment" / "financial_phrasebank.csv")
    polar = phrases.filter(pl.col("label") != "neutral")
    got = score(polar["text"].to_list())["score"]
    clear = (got.abs() > 0.3).to_list()
    agree = [(s > 0) == (label == "positive") for s, label, c in zip(got, polar["label"], clear, strict=True) if c]
    assert len(agree) > 300
    assert sum(agree) / len(agree) > 0.72
