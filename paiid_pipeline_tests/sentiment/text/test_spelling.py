"""Disguised words are put right where a model's vocabulary leaves one clear way to, and nothing else is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.ml.text.classifier import bundled_base
from paiid_pipeline.sentiment.text import spelling
from paiid_pipeline.sentiment.text.normalise import normalise
from paiid_pipeline.sentiment.text.spelling import speller
from paiid_pipeline_tests.sentiment.texts import SPARSE_TEXTS, mixed_texts, real_texts

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


def at_length(words: list[str]) -> Callable[[str], str]:
    """What :func:`speller` makes of a text, with every pair of neighbours and every token looked into."""
    known = spelling._Speller(words)

    def read(text: str) -> str:
        tokens = spelling._LETTERS.sub(known._spell_out, text).split(" ")
        bare = [token.lower().replace(",", "").replace(".", "") for token in tokens]
        pairs = {
            place: known._cost(left + right)
            for place, (left, right) in enumerate(pairwise(bare))
            if tokens[place].isalpha() and tokens[place + 1][:1].islower() and known._is_one_word(left, right, True)
        }
        joined: set[int] = set()
        for place in sorted(pairs, key=pairs.__getitem__):
            joined |= {place} if joined.isdisjoint({place - 1, place, place + 1}) else set()
        made = "".join(token + " " * (place not in joined) for place, token in enumerate(tokens))
        return " ".join(map(token_at_length, made.removesuffix(" ").split(" ")))

    def token_at_length(token: str) -> str:
        plain = spelling._PARTS.sub(known._join, spelling._DIGITS.sub(known._digits, token))
        return spelling._WORD.sub(known._word, plain)

    return read


_AT_LENGTH, _PUT_RIGHT = at_length(["a", "i", *WORDS]), speller(["a", "i", *WORDS])


@given(mixed_texts | st.text(alphabet="aiefmoprstS1 ._,-", max_size=40))
def test_a_text_is_passed_over_only_where_nothing_in_it_changes(raw: str) -> None:
    """By one speller for all texts, so that what it remembers of other texts is seen to change nothing either."""
    for text in (raw, normalise(raw).text):
        assert _PUT_RIGHT(text) == _AT_LENGTH(text)


def test_one_thing_to_change_is_enough() -> None:
    assert [text for text in SPARSE_TEXTS if _PUT_RIGHT(text) != _AT_LENGTH(text)] == []


def test_no_real_text_that_needs_a_change_is_passed_over(data_dir: Path) -> None:
    vocabulary = json.loads((bundled_base() / "tokenizer.json").read_text())["model"]["vocab"]
    words = [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word.lstrip("#").isalpha()]
    restore, slowly = speller(words), at_length(words)
    texts = [normalise(text).text for text in real_texts(data_dir)]
    assert len(texts) > 1000
    assert [text for text in texts if restore(text) != slowly(text)] == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In number and in length: neither ever new words nor endless ones fill the memory."""
    monkeypatch.setattr(spelling, "_REMEMBERED", 10)
    known = spelling._Speller(WORDS)
    for number in range(100):
        known.restore(f"fruad word{number} {'x' * 1000}{number}")
    assert 0 < len(known._kinds) <= 10
    assert max(map(len, known._kinds)) < 100


@given(st.sampled_from(["profit", "fraud", "sales", "shares", "operating"]), st.data())
def test_every_swap_of_a_word_without_neighbours_is_undone(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(word) - 2))
    swapped = f"{word[:place]}{word[place + 1]}{word[place]}{word[place + 2 :]}"
    assert speller(WORDS)(swapped) == word


@pytest.mark.parametrize("piece", ["a b ", "a.b", "pro fit ", "x ", "a_", "1a", "aa ", "a"])
def test_as_much_as_normalised_text_can_hold_is_bounded(piece: str) -> None:
    """A step quadratic in the length would hang here."""
    assert speller(WORDS)(piece * (65_000 // len(piece)))
