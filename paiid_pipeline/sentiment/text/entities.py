"""Finds a symbol's name in a text, and the clause about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from paiid_pipeline.sentiment.base import TextInput
from paiid_pipeline.sentiment.text.company_names import LEGAL_FORM, Directory, Names, is_titled, may_be_name

_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[\"'“(A-Z$])|\s*[;|]\s*")
_ABBREVIATED = re.compile(r"(?:\b(?:Inc|Corp|Cos?|Ltd|Bros|Mr|Mrs|Ms|Dr|St|No|vs|Jr|Sr|Plc|Pvt|Intl)|\b[A-Z])\.$")
_TURN = re.compile(
    r"(?i)\s*,?\s+(?:but|while|whereas|though|although|even as|as|yet)\s+(?!(?:it|its|they|their|he|she)\b)"
)
"""A conjunction that contrasts two statements of different subjects."""
_JOINT = re.compile(r"(?i)\s*,\s+(?:and\s+)?(?!\d)|\s+-+\s+|:\s+|\s+and\s+")
"""Where a statement, the next item of a list, or an apposition may begin."""
_APPOSED = re.compile(r"(?i)(?:the|an?|its|whose|which|who|maker|owner|parent|formerly|known|part|based)\b")
_WORD = re.compile(r"[^\W_][\w'&.-]*")
_FEWEST_TITLED = 3
_CONTRAST = re.compile(r"(?i),?\s+(?:but|while|whereas|though|although|even as|yet)\s+")


@dataclass(frozen=True)
class _Part:
    """A span of a text, and whether only a ``_JOINT`` separates it from the one before."""

    start: int
    end: int
    joined: bool


def read_for(text: str, symbol: str | None, names: Names | Directory) -> TextInput:
    """The input for scoring the normalised ``text`` for ``symbol``: with its name there, and its clause.

    The clause is part of the text where it names another company too, else all of it; without a symbol, or where none
    of its names is found, there is neither entity nor clause. Where ``names`` has no other company, others cannot be
    recognised, and the clause is used. A name matches at word boundaries with its initial capital, in any spelling of
    accents, apostrophes, hyphens, further capitals and "and"; the first match counts, of several there the longest.
    Without a name a symbol matches: as $A, (NYSE: A) or (A), and in capitals where those distinguish it from a word.

    Another company is named by a name in ``names``, a cashtag or an exchange's ticker, or by a contrast of statements
    of different subjects ("Apple rises, but Acme falls"). Only the text decides, not the symbols its source tagged.
    """
    directory = names if isinstance(names, Directory) else Directory(names)
    found = directory.find(text, symbol) if symbol else None
    if symbol is None or found is None:
        return TextInput(text)
    start, end = found
    name, clause = text[start:end], _clause(text, start, end)
    parted = clause != text and (
        not directory.knows_others(symbol)
        or directory.names_another(text, symbol)
        or _is_set_against(text, clause, name)
    )
    return TextInput(text, name, clause if parted else text)


def _is_set_against(text: str, clause: str, name: str) -> bool:
    """Whether a clause is contrasted with a statement of another subject.

    It is where it begins with the name after a "but", or is followed by a "but" and a possible name. In title case,
    capitals are no evidence of a name.
    """
    start = text.index(clause)
    before = [turn.end() for turn in _CONTRAST.finditer(text, 0, start)]
    if start in before and clause.startswith(name):
        return True
    turn = _CONTRAST.match(text, start + len(clause))
    following = turn and _WORD.match(text, turn.end())
    return following is not None and not is_titled(text) and may_be_name(following[0])


def _clause(text: str, start: int, end: int) -> str:
    """The statement about the name at ``start`` to ``end``; never the name alone."""
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
    """Whether the part after ``last`` continues the statement: so far there are names only, or it has no subject."""
    so_far = text[parts[first].start : parts[last].end]
    following = text[parts[last + 1].start : parts[last + 1].end]
    if _is_bare(so_far, name) or _is_list(text[parts[last].start : parts[last].end]):
        return True
    apposed = last > first and _APPOSED.match(text, parts[last].start) is not None
    before_it = text[parts[first].start : parts[last - 1].end] if last > first else ""
    return (apposed and _is_bare(before_it, name)) or following[:1].islower()


def _is_bare(clause: str, name: str) -> bool:
    """Whether a clause has no words but the name, legal forms and brackets."""
    rest = LEGAL_FORM.sub(" ", _BRACKETS.sub(" ", clause.replace(name, " ")))
    return not any(word.strip("'s.") for word in _WORD.findall(rest) if word not in ("'s", "s"))


def _is_list(part: str) -> bool:
    """Whether a part is names only: few words, all capitalised."""
    words = _WORD.findall(LEGAL_FORM.sub(" ", _BRACKETS.sub(" ", part)))
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
