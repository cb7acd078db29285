"""Disguised words are put right where a model's vocabulary leaves one clear way to, and nothing else is touched."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.spelling import speller

COMMON = re.findall(
    r"\S+", "the to in on and form from profit loss sales shares fraud said that will rose net again along long"
)
FILLERS = ["".join(letters) for letters in product("qxz", "vwj", "kqz", "xqj", "zv")]
RARE = re.findall(r"\S+", "gain pro fit trial trail united untied salt slat hat ill operating surgeon surge ##ised ##s")
WORDS = [*COMMON, *(filler + ending for filler in FILLERS for ending in ("", "a", "o")), *RARE]
"""By how common they are; between the common ones and the rare ones, some hundred others."""


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("porfit and fruad", "profit and fraud"),
        ("Porfit, SLAES!", "Profit, SALES!"),
        ("form the trail", "form the trail"),  # known words stay
        ("Nokia Outotec Kesko", "Nokia Outotec Kesko"),
        ("rpofit asles", "profit sales"),
        ("Rpofit lsos", "Rpofit loss"),  # the first letter of a name is never swapped
        ("$SLAES #slaes @slaes", "$SLAES #slaes @slaes"),
        ("proooofit saless", "profit sales"),
        ("pr0f1t of 5ales, FR4UD, 10ss lo$$", "profit of sales, FRAUD, loss loss"),
        ("$1055 1055 5054 $10ss @10ss Q1055", "$1055 1055 5054 $10ss @10ss Q1055"),
        ("o p e r a t i n g p r o f i t r o s e to 5", "operating profit rose to 5"),
        ("O p e r a t i n g P R O F I T", "Operating PROFIT"),
        ("S A L E S rose", "SALES rose"),
        ("classes A B C D of J R R T", "classes A B C D of J R R T"),
        ("oper ating prof it", "operating profit"),
        ("s ales w ill", "sales will"),
        ("fraudis ed Tele nor", "fraudised Tele nor"),
        ("in profi t from fra ud on los s", "in profit from fraud on loss"),  # and not "int", "fromfra" or "udon"
        ("EUR 5 m in t hat", "EUR 5 m in that"),
        ("a long a gain surge on", "a long a gain surge on"),
        ("pro_fit pro.fit sa*les", "profit profit sales"),
        ("fro", "fro"),
        ("", ""),
    ],
)
def test_each_case(text: str, right: str) -> None:
    assert speller(WORDS)(text) == right


@given(st.text(alphabet="aeflmoprst1 ._", max_size=40))
def test_only_what_parts_letters_is_lost(text: str) -> None:
    """Nothing is added to a text."""
    clean = " ".join(text.split())
    assert len(speller(WORDS)(clean)) <= len(clean)


@given(st.sampled_from(["profit", "fraud", "sales", "shares", "operating"]), st.data())
def test_every_swap_of_a_word_without_neighbours_is_undone(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(word) - 2))
    swapped = f"{word[:place]}{word[place + 1]}{word[place]}{word[place + 2 :]}"
    assert speller(WORDS)(swapped) == word


@pytest.mark.parametrize("piece", ["a b ", "a.b", "pro fit ", "x ", "a_", "1a", "aa ", "a"])
def test_as_much_as_normalised_text_can_hold_is_bounded(piece: str) -> None:
    """A step quadratic in the length would hang here."""
    assert speller(WORDS)(piece * (65_000 // len(piece)))
