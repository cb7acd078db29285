"""Whom a text is about: names of a symbol in it, and the clause that speaks of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from paiid_pipeline.sentiment.members import Reading
from paiid_pipeline.sentiment.typography import as_typed

Names = Mapping[str, Sequence[str]]
"""By symbol, what texts call it: Apple, Apple Inc. The symbol itself and its cashtag go without saying."""

_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[\"'“(A-Z$])|\s*[;|]\s*")
_ABBREVIATED = re.compile(r"(?:\b(?:Inc|Corp|Cos?|Ltd|Bros|Mr|Mrs|Ms|Dr|St|No|vs|Jr|Sr|Plc|Pvt|Intl)|\b[A-Z])\.$")
_TURN = re.compile(
    r"(?i)\s*,?\s+(?:but|while|whereas|though|although|even as|as|yet)\s+(?!(?:it|its|they|their|he|she)\b)"
)
"""Where one statement is set against another, which is not of the same subject."""
_JOINT = re.compile(r"(?i)\s*,\s+(?:and\s+)?(?!\d)|\s+-+\s+|:\s+|\s+and\s+")
"""Where another statement may begin, and as well the next of a list, or an apposition."""
_APPOSED = re.compile(r"(?i)(?:the|an?|its|whose|which|who|maker|owner|parent|formerly|known|part|based)\b")
_FORM = re.compile(
    r"(?i)\b(?:inc|corp|corporation|co|company|cos|ltd|limited|plc|llc|group|holdings?|s\.a|n\.v|ag|se|oyj|class [ab]"
    r"|shares?|stock)\b\.?"
)
_WORD = re.compile(r"[^\W_][\w'&.-]*")
_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.\-/]{0,14}")
_FEWEST_TITLED = 3
_BARRED = str.maketrans("øØđĐħĦłŁŧŦ", "oOdDhHlLtT")
_WORDS_IN_CAPITALS = frozenset(
    _WORD.findall(
        "A ALL AN AND ARE AS AT BE BIG BY CAN CAR CASH CAT COST DAY DO EAT FAST FOR FUN GO GOOD HAS HE HER HIS HOPE IN"
        " IS IT KEY LOVE LOW MA MAIN MAN ME NEW NEXT NICE NOW OF ON ONE OPEN OR OUT PAY PLAY REAL RUN SAFE SEE SHE SO"
        " SUN THE TO TWO UP WELL WE WORK YOU"
    )
)


@dataclass(frozen=True)
class _Part:
    """A stretch of a text, and whether what parts it from the one before is only a joint."""

    start: int
    end: int
    joined: bool


def read_for(text: str, symbol: str | None, names: Names) -> Reading:
    """The normalised ``text`` as read for ``symbol``: with the name that it has there, and its clause.

    The text as a whole where no symbol is asked for, or none of its names is found. A name counts with word
    boundaries and a capital where it has one, however its accents, apostrophes, hyphens, further capitals and "and"
    are written; the first that is there is taken, and of several there the longest. A symbol counts where no name is
    there: as $A, (NYSE: A) or (A), and in capitals where those tell it from a word.
    """
    found = _find(text, symbol, tuple(names.get(symbol, ()))) if symbol else None
    if found is None:
        return Reading(text)
    start, end = found
    return Reading(text, text[start:end], _clause(text, start, end))


def _find(text: str, symbol: str, names: tuple[str, ...]) -> tuple[int, int] | None:
    for pattern in _patterns(symbol, names):
        found = pattern.search(text)
        if found:
            return found.span("name")
    bare = _bare(symbol).search(text) if _told_apart(symbol, text) else None
    return bare.span("name") if bare else None


def _told_apart(symbol: str, text: str) -> bool:
    """Whether capitals alone show that the symbol is no word."""
    if len(symbol) == 1:
        return False
    return symbol not in _WORDS_IN_CAPITALS or not text.isupper()


@lru_cache(maxsize=4096)
def _patterns(symbol: str, names: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """What shows whom a text names, the surest first: its names, then its symbol written as one."""
    ticker = _TICKER.fullmatch(symbol) is not None
    called = sorted({*names, *([] if ticker else [symbol])}, key=lambda name: (-len(name), name))
    found = [rf"(?<![\w$])(?P<name>{'|'.join(map(_spelt, called))})(?!\w)"] if called else []
    own = _own(symbol)
    marked = rf"(?<![\w$])\$(?P<name>{own})(?!\w)"
    listed = rf"[(\[](?:[A-Za-z][A-Za-z .]*:\s?)?(?P<name>{own})[)\],;]"
    exchange = rf"\b(?:NYSE|NASDAQ|Nasdaq|NSE|BSE|LSE|AMEX|EPA):\s?(?P<name>{own})(?!\w)"
    return tuple(map(re.compile, [*found, marked, listed, exchange] if ticker else found))


@lru_cache(maxsize=4096)
def _bare(symbol: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w$&-])(?P<name>{_own(symbol)})(?![\w&]|-[a-z])")


def _own(symbol: str) -> str:
    return "[./-]".join(map(re.escape, re.split(r"[./-]", symbol)))


def _spelt(name: str) -> str:
    """A pattern of the ways to write a name."""
    plain = unicodedata.normalize("NFKD", as_typed(name))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).translate(_BARRED)
    joined = re.search(r"[a-z][A-Z]|[-'&]|[A-Z]{2}[a-z]", plain) is not None and " " not in plain
    return "".join(_character(c, first and not joined) for c, first in _with_starts(plain))


def _with_starts(plain: str) -> Iterator[tuple[str, bool]]:
    before = " "
    for character in re.findall(r" *(?:&| and ) *|[ -]+|.", plain):
        yield character, not before[-1].isalnum() and before != "'"
        before = character


def _character(character: str, capital: bool) -> str:
    if character.strip() in ("&", "and"):
        return r"\s?(?:&|and)\s?"
    if character.isspace() or character == "-":
        return r"[\s-]?" if character == "-" else r"[\s-]+"
    if character == "'":
        return "'?"
    if character == ".":
        return r"\.?"
    return re.escape(character) if character.isupper() and capital else f"(?i:{re.escape(character)})"


def _clause(text: str, start: int, end: int) -> str:
    """The statement that speaks of what stands from ``start`` to ``end``; never the name alone."""
    parts = _parts(text)
    at = next(i for i, part in enumerate(parts) if start < part.end)
    last = next(i for i, part in enumerate(parts) if end <= part.end)
    first = at
    while last + 1 < len(parts) and parts[last + 1].joined and _goes_on(text, parts, first, last, text[start:end]):
        last += 1
    while first and parts[first].joined and _is_bare(text[parts[first].start : parts[last].end], text[start:end]):
        first -= 1
    clause = text[parts[first].start : parts[last].end]
    return text if _is_bare(clause, text[start:end]) else clause


def _goes_on(text: str, parts: Sequence[_Part], first: int, last: int, name: str) -> bool:
    """Whether the part after ``last`` says something of the same: so far there are but names, or it has no subject."""
    so_far = text[parts[first].start : parts[last].end]
    following = text[parts[last + 1].start : parts[last + 1].end]
    if _is_bare(so_far, name) or _is_list(text[parts[last].start : parts[last].end]):
        return True
    apposed = last > first and _APPOSED.match(text, parts[last].start) is not None
    before_it = text[parts[first].start : parts[last - 1].end] if last > first else ""
    return (apposed and _is_bare(before_it, name)) or following[:1].islower()


def _is_bare(clause: str, name: str) -> bool:
    """Whether a clause says nothing beyond the name: what is left are legal forms, brackets and signs."""
    rest = _FORM.sub(" ", _BRACKETS.sub(" ", clause.replace(name, " ")))
    return not any(word.strip("'s.") for word in _WORD.findall(rest) if word not in ("'s", "s"))


def _is_list(part: str) -> bool:
    """Whether a part is but names: few words, all with capitals."""
    words = _WORD.findall(_FORM.sub(" ", _BRACKETS.sub(" ", part)))
    return len(words) < _FEWEST_TITLED and all(word[0].isupper() for word in words)


def _parts(text: str) -> list[_Part]:
    quiet = [found.span() for found in _BRACKETS.finditer(text)]
    cuts: list[tuple[int, int, bool]] = []
    for pattern, joined in ((_SENTENCE, False), (_TURN, False), (_JOINT, True)):
        for found in pattern.finditer(text):
            if any(low < found.start() < high for low, high in quiet):
                continue
            if pattern is _SENTENCE and _ABBREVIATED.search(text, max(0, found.start() - 8), found.start()):
                continue
            if not any(low < found.end() and found.start() < high for low, high, _ in cuts):
                cuts.append((found.start(), found.end(), joined))
    parts, start, joined = [], 0, False
    for low, high, soft in [*sorted(cuts), (len(text), len(text), False)]:
        if low > start:
            parts.append(_Part(start, low, joined))
        start, joined = high, soft
    return parts or [_Part(0, len(text), False)]
