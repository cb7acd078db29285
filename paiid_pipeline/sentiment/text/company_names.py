"""Company names by symbol, and their recognition in texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

from paiid_pipeline.sentiment.text.language import ENGLISH
from paiid_pipeline.sentiment.text.typography import as_typed

Names = Mapping[str, Sequence[str]]
"""Names by symbol: Apple, Apple Inc. The symbol itself and its cashtag are implied."""

LEGAL_FORM = re.compile(
    r"(?i)\b(?:inc|corp|corporation|co|company|cos|ltd|limited|plc|llc|group|holdings?|s\.a|n\.v|ag|se|oyj|class [ab]"
    r"|shares?|stock)\b\.?"
)
_WORD = re.compile(r"[^\W_][\w'&.-]*")
_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.\-/]{0,14}")
_EXCHANGE = r"(?:NYSE|NASDAQ|Nasdaq|NSE|BSE|LSE|AMEX|EPA)"
_TICKERS = re.compile(
    rf"(?<![\w$])\$(?P<cashtag>[A-Z]{{1,5}}(?:[./-][A-Z])?)(?!\w)|[(\[]?\b{_EXCHANGE}:\s?(?P<listed>[A-Z0-9.&/-]*[A-Z0-9])"
)
_BARE = re.compile(r"(?<![\w$&-])[A-Z][A-Z0-9]{2,4}(?:[./-][A-Z])?(?![\w&]|-[a-z])")
_WORD_START = re.compile(r"(?<![\w$])[^\W_]")
_DATED = frozenset(
    _WORD.findall(
        "january february march april may june july august september october november december jan feb mar apr jun"
        " jul aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday q1 q2 q3 q4 h1 h2"
    )
)
_TITLED = 0.7
_BARRED = str.maketrans("øØđĐħĦłŁŧŦ", "oOdDhHlLtT")
_WORDS_IN_CAPITALS = frozenset(
    _WORD.findall(
        "A ALL AN AND ARE AS AT BE BIG BY CAN CAR CASH CAT COST DAY DO EAT FAST FOR FUN GO GOOD HAS HE HER HIS HOPE IN"
        " IS IT KEY LOVE LOW MA MAIN MAN ME NEW NEXT NICE NOW OF ON ONE OPEN OR OUT PAY PLAY REAL RUN SAFE SEE SHE SO"
        " SUN THE TO TWO UP WELL WE WORK YOU"
    )
)


class Directory:
    """The names of many symbols, indexed by their first letters."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def find(self, text: str, symbol: str) -> tuple[int, int] | None:
        """The span of the first mention of a symbol in a normalised text; None without one."""
        for pattern in self._patterns_of(symbol):
            found = pattern.search(text)
            if found:
                return found.span("name")
        bare = _bare(symbol).search(text) if _is_distinct(symbol, text) else None
        return bare.span("name") if bare else None

    def knows_others(self, symbol: str) -> bool:
        """Whether there is any other symbol."""
        return any(each != symbol for each in self._names)

    def names_another(self, text: str, symbol: str) -> bool:
        """Whether a normalised text names another company: by a name, as $A, as (NYSE: A), or as a bare ticker.

        Names shared with ``symbol`` (two share classes) do not count, nor does a ticker in brackets after its name,
        which is the same company at another exchange.
        """
        own = [found.span("name") for pattern in self._patterns_of(symbol) for found in pattern.finditer(text)]
        return (
            any(
                self._is_another(found["cashtag"] or found["listed"], symbol)
                for found in _TICKERS.finditer(text)
                if not _is_listing(text, found.start(), own)
            )
            or any(
                found[0] in self._names and _is_distinct(found[0], text) and self._is_another(found[0], symbol)
                for found in _BARE.finditer(text)
            )
            or any(all(end <= low or high <= start for low, high in own) for start, end in self._named(text))
        )

    def _patterns_of(self, symbol: str) -> tuple[re.Pattern[str], ...]:
        return _patterns(symbol, tuple(self._names.get(symbol, ())))

    def _is_another(self, ticker: str, symbol: str) -> bool:
        written = re.sub("[/-]", ".", ticker)
        if written == re.sub("[/-]", ".", symbol):
            return False
        return set(self._names.get(written, ())).isdisjoint(self._names.get(symbol, ()))

    def _named(self, text: str) -> Iterator[tuple[int, int]]:
        """The spans of all names."""
        for word in _WORD_START.finditer(text):
            start = word.start()
            for key in (_key(text[start : start + 4]), _key(text[start])):
                for pattern in self._beginning.get(key, ()):
                    if found := pattern.match(text, start):
                        yield found.span()

    @cached_property
    def _beginning(self) -> dict[str, list[re.Pattern[str]]]:
        """Patterns of the names, by their first two letters or digits."""
        found: dict[str, list[re.Pattern[str]]] = {}
        for names in self._names.values():
            for name in names:
                found.setdefault(_key(_plain(name)), []).append(_name(name))
        return found


def may_be_name(word: str) -> bool:
    """Whether a capitalised word may be a name, in a text without title case."""
    plain: str = re.split(r"[-'.]", word.lower())[0]
    return word[0].isupper() and plain not in ENGLISH and plain not in _DATED


def is_titled(text: str) -> bool:
    """Whether most words are capitalised, so that capitals do not mark names."""
    words: list[str] = _WORD.findall(text)
    return sum(word[0].isupper() for word in words) > _TITLED * len(words)


def _is_listing(text: str, at: int, own: Sequence[tuple[int, int]]) -> bool:
    """Whether the match at ``at`` is in brackets right after a name."""
    return text[at] in "([" and any(end <= at and not LEGAL_FORM.sub("", text[end:at]).strip(" ,.") for _, end in own)


@lru_cache(maxsize=4096)
def _name(name: str) -> re.Pattern[str]:
    return re.compile(rf"{_spelt(name)}(?!\w)")


def _key(begin: str) -> str:
    return "".join(filter(str.isalnum, begin))[:2].lower()


def _is_distinct(symbol: str, text: str) -> bool:
    """Whether capitals alone distinguish the symbol from a word."""
    if len(symbol) == 1:
        return False
    return symbol not in _WORDS_IN_CAPITALS or not text.isupper()


@lru_cache(maxsize=4096)
def _patterns(symbol: str, names: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Patterns of a symbol's mentions, most reliable first: its names, then the marked symbol."""
    ticker = _TICKER.fullmatch(symbol) is not None
    called = sorted({*names, *([] if ticker else [symbol])}, key=lambda name: (-len(name), name))
    found = [rf"(?<![\w$])(?P<name>{'|'.join(map(_spelt, called))})(?!\w)"] if called else []
    own = _own(symbol)
    marked = rf"(?<![\w$])\$(?P<name>{own})(?!\w)"
    listed = rf"[(\[](?:[A-Za-z][A-Za-z .]*:\s?)?(?P<name>{own})[)\],;]"
    exchange = rf"\b{_EXCHANGE}:\s?(?P<name>{own})(?!\w)"
    return tuple(map(re.compile, [*found, marked, listed, exchange] if ticker else found))


@lru_cache(maxsize=4096)
def _bare(symbol: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w$&-])(?P<name>{_own(symbol)})(?![\w&]|-[a-z])")


def _own(symbol: str) -> str:
    return "[./-]".join(map(re.escape, re.split(r"[./-]", symbol)))


def _spelt(name: str) -> str:
    """A pattern of the spellings of a name."""
    plain = _plain(name)
    joined = re.search(r"[a-z][A-Z]|[-'&]|[A-Z]{2}[a-z]", plain) is not None and " " not in plain
    return "".join(_character(c, first and not joined) for c, first in _with_starts(plain))


def _plain(name: str) -> str:
    apart = unicodedata.normalize("NFKD", as_typed(name))
    return "".join(c for c in apart if not unicodedata.combining(c)).translate(_BARRED)


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
