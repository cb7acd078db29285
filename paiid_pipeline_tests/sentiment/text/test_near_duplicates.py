"""Near copies of a story are known by their fingerprints, and different stories are not taken for copies."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.text.near_duplicates import FUNCTIONS, fingerprint, near_duplicates

STORY = "Apple beats estimates in the third quarter as iPhone sales surge in China"


def test_copies_with_an_addition_are_near_and_other_stories_are_not() -> None:
    texts = [
        STORY,
        f"UPDATE 1-{STORY}",
        STORY.upper() + "!",
        STORY.replace("beats", "misses").replace("surge", "fall").replace("iPhone", "iPad"),
        "Nokia sues Apple over patents in Germany",
        "",
        "",
    ]
    assert near_duplicates([fingerprint(text) for text in texts]) == [(1, 0), (2, 0), (2, 1)]


def test_a_window_limits_who_is_compared() -> None:
    prints = [fingerprint(STORY)] * 3
    assert near_duplicates(prints, [0, 0, 1]) == [(1, 0), (2, 1)]
    assert near_duplicates([None, *prints], [0, 0, 1, 3]) == [(2, 1)]


@given(st.text(max_size=200))
def test_a_fingerprint_has_one_form_and_follows_words_only(text: str) -> None:
    made = fingerprint(text)
    assert len(made) in (0, 2 * FUNCTIONS)
    assert fingerprint(f" {text}... ") == made


def test_the_estimate_is_near_the_similarity_of_the_word_pairs() -> None:
    words = [f"w{i}" for i in range(100)]
    for shared in (20, 50, 80):
        others = [f"x{i}" for i in range(100 - shared)]
        first, second = (
            bytes.fromhex(fingerprint(" ".join(words))),
            bytes.fromhex(fingerprint(" ".join(words[:shared] + others))),
        )
        equal = sum(a == b for a, b in zip(first, second, strict=True)) / FUNCTIONS
        jaccard = (shared - 1) / (200 - shared + 1)
        assert abs(equal - jaccard) < 0.3


def test_another_process_makes_the_same_fingerprint() -> None:
    code = f"from paiid_pipeline.sentiment.text.near_duplicates import fingerprint; print(fingerprint({STORY!r}))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == fingerprint(STORY)
