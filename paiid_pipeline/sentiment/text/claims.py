"""The claims of a text: its figures, words of direction, and negated words.

Two texts may share nine words of ten and state the opposite: "rises 5%" and "falls 5%", "will sell" and "will not
sell". Claims distinguish them where word overlap cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

MOST = 48
"""Maximum claims, and headline words, kept of a text."""
_SAME_LENGTH = 4
"""Maximum difference in words of texts that are taken for the same sentences."""
_STRONG = 1.5
"""Minimum VADER valence (of 4) of a word of direction."""

_TOKEN = re.compile(r"[$€£]?\d[\d.,]*\d|\d|[^\W\d_]+(?:['’][^\W\d_]+)*")
_UP = """
    up ris rise rose risen gain gains jump surg soar climb rall rebound advanc increas grow grew beat beats top
    tops topped exceed outperform overweight upgrad rais lift boost hik higher above more buy buys bought
    bullish expand accelerat strengthen improv win wins won approv accept confirm admit grant resum launch start
    begin open enter hire hires add adds recover upbeat profit profits stronger faster larger bigger best better
    record
"""
_DOWN = """
    down fall falls fell fallen drop plung tumbl slid slide slump sink sank declin decreas shrink shrank miss
    misses lag trail underperform underweight downgrad cut cuts cutting lower lowers below less fewer sell sells
    sold bearish contract slow slows weaken worsen lose loses lost reject refus deny denies denied dismiss
    suspend cancel halt stop end ends close closes exit fire fires lay reduc remov downbeat loss losses weaker
    slower smaller worst worse sag dip
"""
_ENDINGS = ("ing", "ed", "es", "s", "e")
_NEUTRAL = "share shares interest interests security securities trust united energy like number natural"
"""Words that VADER rates positive and that are neutral in markets."""
_NEGATORS = "no not never without cannot nor neither fails fail failed unlikely unable refuses"
_STOP = """
    a an the of to in on at by for from with as and or but is are was were be been being it its that this these those
    will would can could may might shall should do does did has have had any some all over after before than into
    he she they we you i his her their our your who which what when where how about says said say
"""


@dataclass(frozen=True)
class Claims:
    """The claims of a text."""

    words: int
    """The number of words of the text."""
    headline: tuple[str, ...]
    """Stems of the headline's content words, and its figures, in order."""
    figures: frozenset[str]
    rising: frozenset[str]
    falling: frozenset[str]
    denied: frozenset[str]
    """Stems of words after a negation."""

    def contradict(self, other: Claims) -> bool:
        """Whether the two contradict.

        They do where each has a figure that the other lacks, or a direction against the other's; where one negates what
        the other states; or where the headlines have the same words in another order ("A beats B").
        """
        if self.headline != other.headline and sorted(self.headline) == sorted(other.headline):
            return True
        if self.figures - other.figures and other.figures - self.figures:
            return True
        opposed = (self.rising - other.rising) and (other.falling - self.falling)
        if opposed or ((self.falling - other.falling) and (other.rising - self.rising)):
            return True
        return self._denies(other) or other._denies(self)

    def _denies(self, other: Claims) -> bool:
        denied = self.denied - other.denied
        if not denied:
            return False
        return abs(self.words - other.words) <= _SAME_LENGTH or bool(denied.intersection(other.headline))

    def overlap(self, other: Claims) -> float:
        """Overlap coefficient of the headlines' words, |A ∩ B| / min(|A|, |B|); 0 under three words."""
        mine, theirs = set(self.headline), set(other.headline)
        fewer = min(len(mine), len(theirs))
        return len(mine & theirs) / fewer if fewer > 2 else 0.0

    def __str__(self) -> str:
        """The stored form, parsed by :func:`read_claims`."""
        sets = (self.figures, self.rising, self.falling, self.denied)
        marked = [(" ", self.headline), *zip("#+-!", map(sorted, sets), strict=True)]
        return f"{self.words}" + "".join(f";{mark}{word}" for mark, words in marked for word in words)


NONE = Claims(0, (), *(frozenset[str](),) * 4)


def claims_of(headline: str, text: str) -> Claims:
    """The claims of a normalised text that begins with ``headline``."""
    tokens = [token.lower() for token in _TOKEN.findall(text)]
    kept: dict[str, list[str]] = {"#": [], "+": [], "-": [], "!": []}
    for kind, word in _claimed(tokens):
        if sum(map(len, kept.values())) < MOST and word not in kept[kind]:
            kept[kind].append(word)
    stems = [
        _figure(t) if t[-1].isdigit() else _stem(t) for t in map(str.lower, _TOKEN.findall(headline)) if _is_content(t)
    ]
    sets = (kept["#"], kept["+"], kept["-"], kept["!"])
    return Claims(len(tokens), tuple(stems[:MOST]), *map(frozenset, sets))


@lru_cache(maxsize=20_000)
def read_claims(text: str) -> Claims:
    """Parse the stored form of claims; none for an empty text."""
    if not text:
        return NONE
    words, *marked = text.split(";")
    headline, *sets = ([each[1:] for each in marked if each[:1] == mark] for mark in " #+-!")
    return Claims(int(words), tuple(headline), *map(frozenset, sets))


def _claimed(tokens: list[str]) -> Iterator[tuple[str, str]]:
    for place, token in enumerate(tokens):
        if token[-1].isdigit():
            yield "#", _figure(token)
        elif token in _set(_NEGATORS) or token.endswith(("n't", "n’t")):
            after = [
                _stem(each) for each in tokens[place + 1 : place + 6] if _is_content(each) and not each[-1].isdigit()
            ]
            yield from (("!", word) for word in after[:2] or ["*"])
        elif way := _way(token):
            yield "+" if way > 0 else "-", _stem(token)


def _is_content(token: str) -> bool:
    return token not in _set(_STOP) and token not in _set(_NEGATORS) and not token.endswith(("n't", "n’t"))


def _figure(token: str) -> str:
    return token.lstrip("$€£").replace(",", "").rstrip(".").removesuffix(".00")


def _stem(word: str) -> str:
    word = word.replace("’", "'").removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


@cache
def _way(word: str) -> int:
    """1 for a word of rise or gain, -1 for one of fall or loss, else 0."""
    stem = _stem(word)
    for words, way in ((_set(_UP), 1), (_set(_DOWN), -1)):
        if word in words or stem in words:
            return way
    valence = 0.0 if word in _set(_NEUTRAL) else _valences().get(word, 0.0)
    return (valence > _STRONG) - (valence < -_STRONG)


@cache
def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


@cache
def _valences() -> dict[str, float]:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    valences: dict[str, float] = SentimentIntensityAnalyzer().lexicon
    return valences
