"""Inserts the result of comparing two figures as a word: "EUR 5.2 mn, lower compared with EUR 8.4 mn".

Small transformers are weak at comparing numbers, and reports of results are full of pairs of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_CURRENCIES: Final = {
    "$": "usd", "us$": "usd", "usd": "usd", "dollars": "usd", "€": "eur", "eur": "eur", "euro": "eur", "euros": "eur",
    "£": "gbp", "gbp": "gbp", "¥": "jpy", "jpy": "jpy", "yen": "jpy", "₹": "inr", "rs": "inr", "rs.": "inr",
    "inr": "inr", "sek": "sek", "nok": "nok", "dkk": "dkk", "eek": "eek", "chf": "chf", "cad": "cad", "aud": "aud",
    "lvl": "lvl", "ltl": "ltl", "pln": "pln", "rub": "rub", "cny": "cny", "krw": "krw",
    "s$": "sgd", "sgd": "sgd", "hk$": "hkd", "hkd": "hkd", "a$": "aud", "au$": "aud", "c$": "cad", "ca$": "cad",
    "nz$": "nzd", "nzd": "nzd", "nt$": "twd", "twd": "twd", "r$": "brl", "brl": "brl", "dh": "aed", "dhs": "aed",
    "dh.": "aed", "dhs.": "aed", "aed": "aed", "sr": "sar", "sar": "sar", "qr": "qar", "qar": "qar", "rm": "myr",
    "myr": "myr", "rp": "idr", "idr": "idr", "tk": "bdt", "bdt": "bdt", "rmb": "cny", "yuan": "cny", "thb": "thb",
    "php": "php", "pkr": "pkr", "zar": "zar", "mxn": "mxn", "czk": "czk", "huf": "huf",
}  # fmt: skip
_PARTS: Final = {"%": "%", "percent": "%", "pct": "%", "per cent": "%", "bps": "bps", "cents": "cents", "cent": "cents"}
_SCALES: Final = {
    "k": 1e3, "thousand": 1e3, "lakh": 1e5, "lakhs": 1e5, "lac": 1e5, "lacs": 1e5, "m": 1e6, "mn": 1e6, "mln": 1e6,
    "mm": 1e6, "million": 1e6, "cr": 1e7, "crs": 1e7, "crore": 1e7, "crores": 1e7, "b": 1e9, "bn": 1e9, "bln": 1e9,
    "billion": 1e9, "tn": 1e12, "trn": 1e12, "trillion": 1e12, "lakh crore": 1e12, "lakh crores": 1e12, "lakh cr": 1e12,
    "lac crore": 1e12,
}  # fmt: skip
_GROUPED: Final = r"\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?![ ']?\d)"
"""Digits grouped in threes, by commas or spaces, and the Indian grouping."""


def _any(words: Sequence[str]) -> str:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return "|".join(re.escape(word) + (r"(?![a-z])" if word[-1].isalpha() else "") for word in longest_first)


_FIGURE: Final = re.compile(
    rf"(?<![\w.,/$])(?<!\d')(?P<minus>(?:minus |negative |[-−])?)(?P<before>(?:{_any([*_CURRENCIES])})?)"
    r"\s?(?P<sign>[-−]|(?<=\$)\((?=[\d.]+\)))?"
    rf"(?P<number>(?:{_GROUPED})(?:\s?\.\d+)?|\d+(?:\s?\.\d+)?|\.\d+)(?![\d,/.']\d)"
    rf"(?:\s?(?P<scale>{_any([*_SCALES])}))?"
    rf"(?:\s?(?P<after>{_any([*_PARTS, *_CURRENCIES])})(?!(?<=[$€£¥₹])\(?[\d.]))?(?!\w)",
    re.IGNORECASE,
)
_CUE: Final = re.compile(
    r"\b(?:(?:as |when )?compared (?:to|with)|in comparison (?:to|with)|versus|vs\b\.?|(?:as )?against"
    r"|(?:up |down )?from|consensus|est\b\.?|estimates? of)(?!\w)",
    re.IGNORECASE,
)
_FROM: Final = re.compile(r"(?:up |down )?from", re.IGNORECASE)
_TO: Final = re.compile(r"\bto (?:a |an |about |some |around )?$")
_WORD: Final = re.compile(r"\s?([A-Za-z]{2,12})\b")
_TWO_NUMBERS: Final = re.compile(r"\d[^\d]+[ (\[$€£¥₹A-Za-z.+−-]\d")
_BRACKETS: Final = re.compile(r"\d[ \w.%]{0,12}\([^()\d]{0,5}\d[^()]*\)")
_STOP: Final = re.compile(r"\s\.\s|[.!?]\s+[A-Z]|;|\b(?:while|whereas|even as)\b|, (?:and|but) ")
_LOSS: Final = re.compile(r"\b(?:loss|losses|deficit)\b", re.IGNORECASE)
_GAIN: Final = re.compile(r"\b(?:profits?|income|earnings|surplus)\b", re.IGNORECASE)
_OPEN, _CLOSE = re.compile(r"\s?\(\s?"), re.compile(r"\s?\)")
_BEFORE, _BEHIND, _BEHIND_FROM = 70, 60, 32
"""Maximum distance of the figures from the comparing word, in characters."""
_YEARS: Final = range(1900, 2101)
_LIKELY: Final = 50.0
"""Maximum ratio of two compared figures, so that a total is not compared with a figure a share."""


@dataclass(frozen=True)
class _Figure:
    start: int
    end: int
    value: float
    kind: str
    """The currency, the unit of a fraction, or the word after the number."""
    measured: bool
    """Whether it has a currency or the unit of a fraction."""
    exact: bool
    """Whether it has decimals or a scale, unlike counts."""


def compare_figures(text: str) -> str:
    """The text with "higher", "lower" or "unchanged" inserted before each phrase that compares two figures.

    Only figures of one kind are compared (the same currency, both percentages, the same unit): the nearest before the
    phrase with the first after it. For losses the words are "larger" and "smaller"; a profit and a loss are not
    compared. All else is unchanged.
    """
    if not (_TWO_NUMBERS.search(text) and (_CUE.search(text) or _BRACKETS.search(text))):
        return text
    figures = list(_figures(text))
    found = [*_compared(text, figures), *_bracketed(text, figures)] if len(figures) > 1 else []
    for place, word in sorted(found, reverse=True):
        text = f"{text[:place]}{word} {text[place:]}"
    return text


def _figures(text: str) -> Iterator[_Figure]:
    for found in _FIGURE.finditer(text):
        number, unit = found["number"], (found["before"] or found["after"] or "").lower()
        exact = "." in number or found["scale"] is not None
        if not unit and not exact and number.isdigit() and int(number) in _YEARS:
            continue
        value = float(re.sub(r"[,\s]", "", number)) * _SCALES.get((found["scale"] or "").lower(), 1.0)
        kind = _CURRENCIES.get(unit) or _PARTS.get(unit)
        word = None if kind else _WORD.match(text, found.end())
        signed = -value if found["minus"] or found["sign"] else value
        named = kind or (word[1].lower() if word else "")
        yield _Figure(found.start(), found.end(), signed, named, kind is not None, exact)


def _compared(text: str, figures: Sequence[_Figure]) -> Iterator[tuple[int, str]]:
    """Comparisons by a phrase: the position and the word to insert."""
    past: set[int] = set()
    for cue in _CUE.finditer(text):
        starts = _FROM.fullmatch(cue[0]) is not None
        then = next((each for each in figures if each.start >= cue.end()), None)
        reach = _BEHIND_FROM if starts else _BEHIND
        if then is None or then.start in past or not _close(text, cue.end(), then.start, reach):
            continue
        past.add(then.start)
        found = _risen(text, then, figures) if starts else None
        found = found or _set_against(text, cue, then, [each for each in figures if each.start not in past])
        if found:
            yield found


def _set_against(text: str, cue: re.Match[str], then: _Figure, figures: Sequence[_Figure]) -> tuple[int, str] | None:
    """New against old: EUR 5.2 mn, compared to EUR 8.4 mn."""
    for now in reversed(figures):
        beside = cue.start() - now.end <= 2 and not _FROM.fullmatch(cue[0])
        if now.end <= cue.start() and _alike(now, then, beside=beside) and _close(text, now.end, cue.start(), _BEFORE):
            word = _word(now, then, text[max(0, now.start - _BEHIND) : now.start], text[cue.end() : then.start])
            return (cue.start(), word) if word else None
    return None


def _risen(text: str, then: _Figure, figures: Sequence[_Figure]) -> tuple[int, str] | None:
    """From old to new: from EUR 8.4 mn to EUR 5.2 mn."""
    now = next((each for each in figures if each.start >= then.end), None)
    if now is None or not _close(text, then.end, now.start, _BEHIND):
        return None
    to = _TO.search(text[then.end : now.start])
    if to is None or not (now.measured or now.exact) or not _alike(now, then):
        return None
    word = _word(now, then, text[max(0, then.start - _BEHIND) : then.start], "")
    return (then.end + to.start(), word) if word else None


def _bracketed(text: str, figures: Sequence[_Figure]) -> Iterator[tuple[int, str]]:
    """New with old in brackets: EUR 5.2 mn (8.4)."""
    for now, then in itertools.pairwise(figures):
        opened = _OPEN.fullmatch(text, now.end, then.start)
        if opened and now.measured and _CLOSE.match(text, then.end) and (not then.kind or then.kind == now.kind):
            word = _word(now, then, text[max(0, now.start - _BEHIND) : now.start], "")
            if word:
                yield text.index("(", now.end), word


def _close(text: str, start: int, end: int, reach: int) -> bool:
    return end - start <= reach and not _STOP.search(text, start, end + 1)


def _alike(one: _Figure, other: _Figure, *, beside: bool = False) -> bool:
    if one.measured or other.measured:
        low, high = sorted((abs(one.value), abs(other.value)))
        return one.kind == other.kind and (one.kind in _PARTS.values() or high <= _LIKELY * low)
    return (one.kind == other.kind != "") or (one.exact and other.exact) or beside


def _word(now: _Figure, then: _Figure, before: str, between: str) -> str | None:
    lost, lost_then = _loses(before), _loses(between)
    if lost_then is not None and lost_then != bool(lost):
        return None
    if now.value == then.value:
        return "unchanged"
    more = now.value > then.value
    return ("larger" if more else "smaller") if lost else ("higher" if more else "lower")


def _loses(text: str) -> bool | None:
    """Whether figures after ``text`` are of a loss; None where unknown."""
    loss, gain = (max((each.end() for each in which.finditer(text)), default=-1) for which in (_LOSS, _GAIN))
    return None if loss == gain else loss > gain
