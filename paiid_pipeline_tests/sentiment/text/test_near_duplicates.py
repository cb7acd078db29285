"""Near-duplicates are found by MinHash and exactly, and in groups that depend on the set of texts only."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.text.near_duplicates import (
    FUNCTIONS,
    _exact,
    _folded_bigrams,
    _is_similar,
    group_near_duplicates,
    minhash,
    near_duplicates,
)

HEADLINE = "Apple beats estimates in the third quarter as iPhone sales surge in China"
texts = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8).map(" ".join), max_size=25)


def test_texts_with_an_addition_are_near_duplicates_and_other_texts_are_not() -> None:
    texts = [
        HEADLINE,
        f"UPDATE 1-{HEADLINE}",
        HEADLINE.upper() + "!",
        HEADLINE.replace("beats", "misses").replace("surge", "fall").replace("iPhone", "iPad"),
        "Nokia sues Apple over patents in Germany",
        "",
        "",
    ]
    assert near_duplicates([minhash(text) for text in texts]) == [(1, 0), (2, 0), (2, 1)]


def test_a_window_limits_who_is_compared() -> None:
    prints = [minhash(HEADLINE)] * 3
    assert near_duplicates(prints, [0, 0, 1]) == [(1, 0), (2, 1)]
    assert near_duplicates([None, *prints], [0, 0, 1, 3]) == [(2, 1)]


@given(st.text(max_size=200))
def test_a_minhash_has_one_form_and_depends_on_words_only(text: str) -> None:
    made = minhash(text)
    assert len(made) in (0, 2 * FUNCTIONS)
    assert minhash(f" {text}... ") == made


def test_the_estimate_is_near_the_similarity_of_the_word_pairs() -> None:
    words = [f"w{i}" for i in range(100)]
    for shared in (20, 50, 80):
        others = [f"x{i}" for i in range(100 - shared)]
        first, second = (
            bytes.fromhex(minhash(" ".join(words))),
            bytes.fromhex(minhash(" ".join(words[:shared] + others))),
        )
        equal = sum(a == b for a, b in zip(first, second, strict=True)) / FUNCTIONS
        jaccard = (shared - 1) / (200 - shared + 1)
        assert abs(equal - jaccard) < 0.3


def test_another_process_makes_the_same_minhash() -> None:
    code = f"from paiid_pipeline.sentiment.text.near_duplicates import minhash; print(minhash({HEADLINE!r}))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == minhash(HEADLINE)


def test_case_links_punctuation_and_the_values_of_numbers_do_not_make_another_text() -> None:
    one, other, third = group_near_duplicates(
        ["Nokia Q3 profit up 5.1% https://t.co/x", "NOKIA Q3: profit up 17 %", "Northfield names a new chairman"]
    )
    assert one == other != third


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    chain = ["a b c d e f g h", "b c d e f g h i", "c d e f g h i j", "d e f g h i j k", "e f g h i j k l"]
    assert len(set(group_near_duplicates(chain))) == 1
    assert len(set(group_near_duplicates([chain[0], chain[-1]]))) == 2


@given(texts, st.randoms())
def test_groups_do_not_depend_on_the_order_or_on_repetition(found: list[str], rng: object) -> None:
    named = dict(zip(found, group_near_duplicates(found), strict=True))
    mixed = found + found[:3]
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert dict(zip(mixed, group_near_duplicates(mixed), strict=True)) == named


@given(texts)
def test_every_pair_that_comparing_all_would_find_is_found(found: list[str]) -> None:
    sets = [_folded_bigrams(text) for text in found]
    slow = {pair for pair in combinations(range(len(sets)), 2) if _is_similar(sets[pair[0]], sets[pair[1]])}
    assert {tuple(sorted(pair)) for pair in _exact(sets)} == slow
