"""Text before it is scored: each step, their order, and inputs that are made to be slow or to mislead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.normalise import MAX_BYTES, MAX_TOKENS, normalise


@pytest.mark.parametrize(
    ("raw", "clean", "flags"),
    [
        ("Apple  beats\nestimates", "Apple beats estimates", ()),
        ("", "", ()),
        ("<p>Great</p><p>loss &amp; fraud</p>", "Great loss & fraud", ("markup",)),
        ("<script>alert('bad')</script>Up<b>beat</b>", "Upbeat", ("markup",)),
        ("before<!-- terrible -->after", "beforeafter", ("markup",)),
        ("price < 3 and P/E > 2 & rising", "price < 3 and P/E > 2 & rising", ()),
        ("Ｆｕｌｌ ｗｉｄｔｈ ①", "Full width 1", ()),
        ("pro\u200bfit\u202e \u00ad\ufeffup", "profit up", ("hidden",)),
        ("р\u200brоfit", "profit", ("hidden", "look_alikes")),
        ("&#1088;rofit", "profit", ("markup", "look_alikes")),
        ("прибыль растёт", "прибыль растёт", ()),
        ("ΑΒΓ rises", "ΑΒΓ rises", ()),
        ("株価が上昇 🚀", "株価が上昇 🚀", ()),
    ],
)
def test_each_step(raw: str, clean: str, flags: tuple[str, ...]) -> None:
    assert (normalise(raw).text, normalise(raw).flags) == (clean, flags)


def test_the_caps() -> None:
    """Of bytes, never splitting a character, and of words."""
    wide = normalise("é" * MAX_BYTES)
    assert (len(wide.text.encode()), wide.flags) == (MAX_BYTES, ("byte_cap",))
    long = normalise("up " * (MAX_TOKENS + 1))
    assert (len(long.text.split()), long.flags) == (MAX_TOKENS, ("token_cap",))


@pytest.mark.parametrize(
    "piece", ["<a ", "<!--", "<", "&", "&#x", "<script>", "a\u0301", "\u202e", "x", "</", "<b><i>"]
)
def test_ten_megabytes_of_anything_are_bounded(piece: str) -> None:
    """The cap comes before any work; a step quadratic in what it leaves would hang here for half a minute and more."""
    clean = normalise(piece * (10_000_000 // len(piece)))
    assert "byte_cap" in clean.flags
    assert len(clean.text) <= MAX_BYTES


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_any_text_gives_a_bounded_text_without_hidden_characters(raw: str) -> None:
    """Never raises, and a lone surrogate does not get through to what encodes it."""
    clean = normalise(raw)
    assert len(clean.text.encode()) <= 4 * MAX_BYTES
    assert not set(clean.text) & set("\u200b\u200d\u202e\u2066\ufeff\u00ad\x00")
    assert clean.text == " ".join(clean.text.split())
