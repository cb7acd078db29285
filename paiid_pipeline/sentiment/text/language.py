"""Detects whether a text is English, by its script and its function words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OTHER_LETTERS = re.compile(r"[^\W\d_A-Za-z]")
_NO_LETTERS = bytes(sign for sign in range(128) if not chr(sign).isalpha())
_LATIN_SHARE = 0.5
_WORD = re.compile(r"\w+")
_WORDS = re.compile(r"[^\W\d_]+")

ENGLISH = frozenset(
    _WORD.findall(
        "the of to in and for on with from by at is are was were has have had will would can could its it as after"
        " over up down says said than this that these those be been being not no if or but so we you they he she"
        " his her their our your my what when where why how who which while about into out off amid more most less"
        " much too very against before between during under through because still just only other all new now first"
        " next year years week month quarter day today sales profit profits loss losses net shares share stock"
        " stocks company companies market markets price prices bank deal stake debt bond bonds earnings results"
        " revenue growth forecast outlook chief group unit plans plan sees set sets cut cuts raises raise raised"
        " buy buys bought sell sells sold rises rise rose falls fall fell gains gain gained drops drop dropped"
        " jumps jump jumped plunges plunge plunged slumps slump soars soar surges surge tumbles tumble sinks sink"
        " slides slide climbs climb beats beat misses miss wins win won warns warn reports report reported posts"
        " post posted takes take makes make gets get using use should may higher lower strong weak better good"
        " great bad big top high low downgrade upgrade downgraded upgraded upgrades downgrades target rating hold"
        " analysts analyst investors investor launches opens closes names hires appoints agrees acquires acquire"
        " offer bid talks billion million percent target merger hit hits"
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
_CAPITAL, _JOINT, _SHOUTED = 0.33, 0.5, 0.8
"""Weight of a function word that may be part of a name: capitalised, between capitals, in an upper-case text."""
_DOUBT = 0.75
"""Weight beyond the English words that makes a text foreign: above De La Rue, below Le Crédit de la Ville."""


def is_english(text: str) -> bool:
    """False where most letters are not Latin, or function words of other languages outweigh the English words.

    In names (De La Rue, Les Hôtels de Paris) such words weigh less. Without evidence (few words, names and figures
    only) a text counts as English.
    """
    if not text.isascii():
        latin = len(text.encode("ascii", "ignore").translate(None, _NO_LETTERS))
        if latin < _LATIN_SHARE * (latin + len(_OTHER_LETTERS.findall(text))):
            return False
    words = text.lower().split()
    if _OTHERS.isdisjoint(words):
        return True
    if len(_OTHERS.intersection(words)) < _FEWEST_OTHERS:
        return True
    found = _WORDS.findall(text)
    english = len(ENGLISH.intersection(map(str.lower, found)))
    return sum(_foreign(found).values()) <= english + _DOUBT


def _foreign(words: Sequence[str]) -> dict[str, float]:
    """The function words of other languages among ``words``, each with its greatest weight."""
    if 2 * sum(map(str.isupper, words)) > len(words):
        return dict.fromkeys(_OTHERS.intersection(map(str.lower, words)), _SHOUTED)
    found: dict[str, float] = {}
    follow = _after_a_name(words[::-1])[::-1]
    for word, before, after in zip(words, _after_a_name(words), follow, strict=True):
        if word.lower() in _OTHERS:
            weight = _CAPITAL if word[0].isupper() else _JOINT if before and after else 1.0
            found[word.lower()] = max(weight, found.get(word.lower(), 0.0))
    return found


def _after_a_name(words: Sequence[str]) -> list[bool]:
    """For each word, whether the nearest earlier one that is no foreign function word is capitalised."""
    reached, last = [], False
    for word in words:
        reached.append(last)
        if word[0].isupper() or word not in _OTHERS:
            last = word[0].isupper()
    return reached
