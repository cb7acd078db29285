"""A swap of letters is undone where a model's vocabulary leaves one way to, and nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.spelling import speller

WORDS = {
    "profit",
    "loss",
    "fraud",
    "sales",
    "shares",
    "form",
    "from",
    "trial",
    "trail",
    "united",
    "untied",
    "salt",
    "slat",
}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("porfit and fruad", "profit and fraud"),
        ("Porfit, SLAES!", "Profit, SALES!"),
        ("form the trail", "form the trail"),  # known words stay
        ("Nokia Outotec Kesko", "Nokia Outotec Kesko"),
        ("rpofit lsos", "rpofit loss"),  # the first letter is never swapped
        ("fro", "fro"),
        ("", ""),
    ],
)
def test_each_case(text: str, right: str) -> None:
    assert speller(WORDS)(text) == right


@given(st.text(max_size=60))
def test_a_text_keeps_its_length_and_a_second_pass_changes_nothing(text: str) -> None:
    once = speller(WORDS)(text)
    assert len(once) == len(text)
    assert speller(WORDS)(once) == once


@given(
    st.sampled_from(sorted(WORDS - {"form", "from", "trial", "trail", "united", "untied", "salt", "slat"})), st.data()
)
def test_every_swap_of_a_word_without_neighbours_is_undone(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(word) - 2))
    swapped = f"{word[:place]}{word[place + 1]}{word[place]}{word[place + 2 :]}"
    assert speller(WORDS)(swapped) == word
