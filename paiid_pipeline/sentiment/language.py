"""Whether a text is in the language that the models know, told by its script and its commonest words."""

from __future__ import annotations

import re

_OTHER_LETTERS = re.compile(r"[^\W\d_A-Za-z]")
_NO_LETTERS = bytes(sign for sign in range(128) if not chr(sign).isalpha())
_LATIN_SHARE = 0.5
_WORD = re.compile(r"\w+")

_ENGLISH = frozenset(
    _WORD.findall(
        "the of to in and for on with from by at is are was were has have will its as after over up down says said"
        " than this that be not it about into amid more new sales profit loss net shares stock company year"
    )
)
_OTHERS = frozenset(
    _WORD.findall(
        "der die das und ist nicht mit auf fur von dem den des ein eine zu im bei nach wird sich auch le la les du et"
        " est une dans pour sur avec que qui pas aux el los las y por con del una se su il di che della nel sono non"
        " gli een het van niet och att som pa de en da do dos os uma em"
    )
)
_FEWEST_OTHERS = 2


def is_english(text: str) -> bool:
    """False where most letters are not Latin, or the commonest words are those of other languages in Latin script.

    Without evidence (few words, names and figures only) a text counts as English.
    """
    if not text.isascii():
        latin = len(text.encode("ascii", "ignore").translate(None, _NO_LETTERS))
        if latin < _LATIN_SHARE * (latin + len(_OTHER_LETTERS.findall(text))):
            return False
    words = text.lower().split()
    if _OTHERS.isdisjoint(words):
        return True
    others = len(_OTHERS.intersection(words))
    return others < _FEWEST_OTHERS or others <= sum(word in _ENGLISH for word in words)
