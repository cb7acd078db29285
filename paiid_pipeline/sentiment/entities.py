"""Whom a text is about: names of a symbol in it, and the clause that speaks of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from paiid_pipeline.sentiment.members import Reading

Names = Mapping[str, Sequence[str]]
"""By symbol, what texts call it: Apple, Apple Inc. The symbol itself and its cashtag go without saying."""

_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[\"'“(A-Z$])|\s*[;|]\s*")
_CLAUSE = re.compile(
    r"(?i)\s*,\s+(?:but|while|whereas|though|although|even as|as|and|yet)\s+|\s*,\s+(?!\d)|\s+[-–—]\s+|:\s+"
    r"|\s+(?:but|while|whereas|although|though|even as|yet|as|and)\s+"
)


def read_for(text: str, symbol: str | None, names: Names) -> Reading:
    """The normalised ``text`` as read for ``symbol``: with the name that it has there, and its clause.

    The text as a whole where no symbol is asked for, or none of its names is found: a name counts with word
    boundaries and its own case (a symbol in capitals, or a cashtag), and the longest that is there is taken.
    """
    found = _pattern(symbol, tuple(names.get(symbol, ()))).search(text) if symbol else None
    if found is None:
        return Reading(text)
    return Reading(text, found[0].removeprefix("$"), _clause(text, found.start(), found.end()))


def _clause(text: str, start: int, end: int) -> str:
    for separator in (_SENTENCE, _CLAUSE):
        low, high = 0, len(text)
        for match in separator.finditer(text):
            if match.end() <= start:
                low = match.end()
            elif match.start() >= end:
                high = match.start()
                break
        text, start, end = text[low:high], start - low, end - low
    return text


@lru_cache(maxsize=4096)
def _pattern(symbol: str, names: tuple[str, ...]) -> re.Pattern[str]:
    own = rf"\$?{re.escape(symbol)}"
    others = [re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name))]
    return re.compile(rf"(?<![\w$])(?:{'|'.join([*others, own])})(?!\w)")
