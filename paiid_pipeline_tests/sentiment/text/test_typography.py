"""Typography and mistaken encodings: what people and programs make of an apostrophe, and how it is undone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.base import TextInput
from paiid_pipeline.sentiment.text.normalise import normalise
from paiid_pipeline.sentiment.text.typography import as_typed, undo_misreading
from paiid_pipeline.sentiment.vader import Vader

_MISREAD = {
    "twice": "donÃ¢â‚¬â„¢t",
    "Windows": "donâ€™t",
    "Latin-1": "don\u00e2\u0080\u0099t",
    "controls": "don\u0092t",
    "cut": "donât",
    "Macintosh": "don‚Äôt",
    "DOS": "donΓÇÖt",
    "lost": "don\ufffdt",
    "asked": "don?t",
    "apart": "don t",
    "escaped": "don&acirc;&euro;&trade;t",
}


@pytest.mark.parametrize("apostrophe", "'’‘‛ʼ`´′＇")
def test_every_apostrophe_negates(apostrophe: str) -> None:
    clean = normalise(f"Analysts don{apostrophe}t see a crisis")
    assert clean.text == "Analysts don't see a crisis"
    assert "tampered" not in clean.flags
    assert Vader().score([TextInput(clean.text)])[0].score > 0


@pytest.mark.parametrize("spoilt", _MISREAD.values(), ids=_MISREAD)
def test_a_spoilt_apostrophe_negates(spoilt: str) -> None:
    assert normalise(f"They {spoilt} see a crisis").text == "They don't see a crisis"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("rounds", [1, 2])
@given(text=st.text(alphabet="ab £°éöñßàÉüç", max_size=20))
def test_what_was_read_in_another_encoding_comes_back(encoding: str, rounds: int, text: str) -> None:
    spoilt = f"<{text}>"
    for _ in range(rounds):
        try:
            spoilt = spoilt.encode().decode(encoding)
        except UnicodeDecodeError:
            return  # Windows-1252 has no signs for five bytes
    assert undo_misreading(spoilt) == f"<{text}>"


@pytest.mark.parametrize(
    "text",
    [
        "Société Générale, «CAFÉ», Nestlé® and Âge d'Or",
        "São Paulo, CORAÇÃO, Åland, Münchener Rück, Zürich, Łódź, dégât, Thomás",
        "profit rose 5° – €4m … “up”",
        "株価 and прибыль",
    ],
)
def test_what_is_right_stays(text: str) -> None:
    assert undo_misreading(text) == text


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("“great” results", '"great" results'),
        ("Coca‑Cola, Rolls‐Royce", "Coca-Cola, Rolls-Royce"),
        ("shares fell—profit rose", "shares fell - profit rose"),
        ("shares fell--profit rose...again", "shares fell - profit rose... again"),
        ("it doesn t matter, won t", "it doesn't matter, won't"),
        ("Why?They say so? t", "Why?They say so? t"),
        ("5 % -- 6 %", "5 % -- 6 %"),
    ],
)
def test_signs_as_a_keyboard_has_them(text: str, typed: str) -> None:
    assert as_typed(text) == typed
