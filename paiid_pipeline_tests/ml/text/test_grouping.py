"""Near-duplicates end in one group, whatever the order, and no pair is missed for the sake of speed."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.ml.text.grouping import _alike, _pairs, _word_pairs, group_near_duplicates

texts = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8).map(" ".join), max_size=25)


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
    sets = [_word_pairs(text) for text in found]
    slow = {pair for pair in combinations(range(len(sets)), 2) if _alike(sets[pair[0]], sets[pair[1]])}
    assert {tuple(sorted(pair)) for pair in _pairs(sets)} == slow
