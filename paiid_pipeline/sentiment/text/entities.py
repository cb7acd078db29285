"""Whom a text is about: names of a symbol in it, and the clause that speaks of them."""

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
"""Where one statement is set against another, which is not of the same subject."""
_JOINT = re.compile(r"(?i)\s*,\s+(?:and\s+)?(?!\d)|\s+-+\s+|:\s+|\s+and\s+")
"""Where another statement may begin, and as well the next of a list, or an apposition."""
_APPOSED = re.compile(r"(?i)(?:the|an?|its|whose|which|who|maker|owner|parent|formerly|known|part|based)\b")
_WORD = re.compile(r"[^\W_][\w'&.-]*")
_FEWEST_TITLED = 3
_CONTRAST = re.compile(r"(?i),?\s+(?:but|while|whereas|though|although|even as|yet)\s+")


@dataclass(frozen=True)
class _Part:
    """A stretch of a text, and whether what parts it from the one before is only a joint."""

    start: int
    end: int
    joined: bool


def read_for(text: str, symbol: str | None, names: Names | Directory) -> TextInput:
    """The normalised ``text`` as read for ``symbol``: with the name that it has there, and its clause.

    Its clause where the text names somebody else as well, and all of the text where it does not, since then all of it
    is about the symbol; nor is it parted where no symbol is asked for, or none of its names is found. Where ``names``
    has nobody else, whom a text names besides cannot be told, and the clause is taken. A name counts
    with word boundaries and a capital where it has one, however its accents, apostrophes, hyphens, further capitals
    and "and" are written; the first that is there is taken, and of several there the longest. A symbol counts where no
    name is there: as $A, (NYSE: A) or (A), and in capitals where those tell it from a word.

    Somebody else is named by a name in ``names``, a cashtag or an exchange's ticker, or where one statement is set
    against another ("Apple rises, but Acme falls") and they are not of one subject. Nothing but the text decides: not
    which symbols its source tagged it with.
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
    """Whether a clause stands in contrast to what is of another subject.

    What begins with the name behind a "but" shows that it was not the subject before; what follows one begins with
    what may be a name. In a text of capitals, capitals tell nothing.
    """
    start = text.index(clause)
    before = [turn.end() for turn in _CONTRAST.finditer(text, 0, start)]
    if start in before and clause.startswith(name):
        return True
    turn = _CONTRAST.match(text, start + len(clause))
    following = turn and _WORD.match(text, turn.end())
    return following is not None and not is_titled(text) and may_be_name(following[0])


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
    rest = LEGAL_FORM.sub(" ", _BRACKETS.sub(" ", clause.replace(name, " ")))
    return not any(word.strip("'s.") for word in _WORD.findall(rest) if word not in ("'s", "s"))


def _is_list(part: str) -> bool:
    """Whether a part is but names: few words, all with capitals."""
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
