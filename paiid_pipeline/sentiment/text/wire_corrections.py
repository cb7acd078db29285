"""Recognises corrections, updates and withdrawals by the marks of the news agencies.

Reuters writes CORRECTED-, REFILE-, UPDATE 2-, WITHDRAWN- and "(Corrects …)" before the first paragraph; AP
"Correction:" and "KILL"; Dow Jones "Correction to … Article"; Bloomberg "(Correct)" and "(Update1)" behind; press
wires "CORRECTING and REPLACING" and "/C O R R E C T I O N/".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

CorrectionKind = Literal["correction", "update", "withdrawal"]

KINDS: tuple[CorrectionKind, ...] = ("withdrawal", "correction", "update")
"""The relation of a later article to an earlier one, gravest first; also a flag of its score."""


@dataclass(frozen=True)
class Lead:
    """A headline and its relation to an earlier one."""

    headline: str
    """Without the agency's marks."""
    kind: CorrectionKind | None
    """None: no correction."""


_CORRECTED = (
    r"CORRECT(?:S|ED|ING|ION)?(?: (?:AND|&) REPLAC(?:ES|ED|ING))?|C O R R E C T I O N|REFIL(?:E|ES|ED|ING)|CORRECTIVE"
    r"|CLARIFI(?:ES|ED|CATION)|AMEND(?:S|ED|MENT)|REPLAC(?:ES|ED|ING|EMENT)"
)
_UPDATED = r"(?:\d+(?:ST|ND|RD|TH) )?UPDATED?(?: ?\d+)?|RECASTS?"
_WITHDRAWN = (
    r"WITHDRAW(?:N|AL|S)|(?:MANDATORY |BULLETIN |STORY )?KILL(?:ED)?|RETRACT(?:ED|ION|S)|STORY (?:REMOVED|WITHDRAWN)"
)
_REPEATED = r"RPT|REPEATS?"
_WORD = rf"(?P<w>{_WITHDRAWN})|(?P<c>{_CORRECTED})|(?P<u>{_UPDATED})|(?P<r>{_REPEATED})"
_DETAIL = r"(?: ?\((?:OFFICIAL|[^()]{0,40})\)| FROM SOURCE)?"

_BARE = _WORD.replace("?P<", "?P<b")
_BEFORE = re.compile(
    rf"\s*(?:[\[(/*]\s*(?:{_WORD}){_DETAIL}\s*[\])/*]+\s*[-:–—]*"
    rf"|[*/]?(?:{_BARE}){_DETAIL}\s*(?:--?|[:–—/])|(?P<c2>CORRECTING (?:AND|&) REPLACING)\b)\s*",
    re.IGNORECASE,
)
"""A mark before the headline: in brackets, or followed by a dash or a colon."""
_BEHIND = re.compile(rf"\s*(?:[-–—]\s*)?[\[(*/]\s*(?:{_WORD})\s*[\])*/]\s*$|\s[-–—]\s*(?:{_BARE})\s*$", re.IGNORECASE)
_ITEM = r"(?:article|story|headline|item|report|release|brief)"
_OF_ANOTHER = re.compile(
    rf"^(?:(?P<c>(?:correction|clarification) (?:to|on|of)\b.*\b{_ITEM})"
    rf"|(?P<w>retraction (?:to|on|of)\b.*\b{_ITEM}|ADVISORY\W.*\b(?:withdrawn|withdraws?|retracted|killed)"
    rf"|{_ITEM} (?:on|about|of|that)\b.*\b(?:withdrawn|retracted|killed)|[\w ]{{2,20}} withdraws (?:story|article)))\b",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"^\W*(?:(?P<c>corrects?|refiles?|correction|clarifies)|(?P<u>adds|updates?|recasts)|(?P<w>withdrawn|withdraws))\b"
    r"(?=[^.]{0,300}(?:\)|:))|(?P<c2>\ban earlier version of this (?:article|story|report|headline))",
    re.IGNORECASE,
)
"""A note in brackets before the text, or the usual notice in it."""

_LONGEST = 1_000
"""Longer than any headline, in characters."""


def lead_of(headline: str, summary: str = "") -> Lead:
    """The headline without its marks, and the gravest relation that they, or a note in the summary, state.

    Marks are recognised in the first line, unless it is too long for a headline; text after it is kept.
    """
    found: set[CorrectionKind] = set()
    bare, newline, behind = headline.strip().partition("\n")
    for pattern in (_BEFORE, _BEHIND) if len(bare) <= _LONGEST else ():
        while (mark := pattern.match(bare) if pattern is _BEFORE else pattern.search(bare)) and mark.group().strip():
            if pattern is _BEFORE and not _is_mark(mark):
                break
            _note(mark, found)
            bare = bare[mark.end() :] if pattern is _BEFORE else bare[: mark.start()]
    for text, pattern in ((bare, _OF_ANOTHER), (summary[:2000], _NOTE)):
        if note := pattern.search(text):
            _note(note, found)
    bare = f"{bare}{newline}{behind}" if bare.strip() else headline
    return Lead(bare.strip(), next((kind for kind in KINDS if kind in found), None))


def _is_mark(mark: re.Match[str]) -> bool:
    """Whether it is a mark: a lower-case word before a hyphen is none ("update-heavy week")."""
    text = mark.group().strip()
    return text[-1] != "-" or text.rstrip("-").strip().upper() == text.rstrip("-").strip()


def _note(mark: re.Match[str], found: set[CorrectionKind]) -> None:
    kinds: dict[str, CorrectionKind] = {"w": "withdrawal", "c": "correction", "u": "update"}
    for name, value in mark.groupdict().items():
        kind = kinds.get(name.removeprefix("b").rstrip("2"))
        if value is not None and kind is not None:
            found.add(kind)
