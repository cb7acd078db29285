"""Restores obfuscated words by a model's vocabulary.

A vocabulary is sorted by frequency, and the n-th most frequent word makes up about 1 / n of a text (Zipf's law). So the
logarithm of its rank is a word's cost (negative log-probability), and of two candidates the cheaper is more probable.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import compress, count, pairwise
from operator import add

_LONGEST = 20
_UNKNOWN = 13.0
"""Cost of a word outside the vocabulary: that of two fairly common ones."""
_PER_WORD = math.log(11)
"""Normalisation: the frequencies 1 / n sum to about 11 over some 30,000 words."""
_CLEARLY = math.log(100)
"""Minimum cost difference for joining two known words."""
_SURELY = math.log(2000)
_STRANGE = "_*·"
"""Signs that never separate words."""
_COMMON = math.log(300) + _PER_WORD
"""Words cheaper than this occur beside any other ("a long way" is not along): they need ``_SURELY`` to be joined."""
_SHORT = frozenset(re.findall("[a-z]+", "a i am an as at be by do go he if in is it me my no of on or so to up us we"))
"""Words of one or two letters; vocabularies have many more, which are word pieces."""
_WORD = re.compile(rf"(?<![\w$#@])[A-Za-z]{{4,{_LONGEST}}}(?!\w)")
_PARTS = re.compile(r"(?<![\w'’&.$#@-])([A-Za-z]+)([._*·-])(?=([a-z]+)(?![\w'’&-]))")
_SPELT = 4
_LETTERS = re.compile(rf"(?<![\w'’&.-])[A-Za-z](?: [A-Za-z]){{{_SPELT - 1},}}(?![\w'’&-])")
_MANY = 8
"""Minimum letters of a spaced-out run that is neither a list nor initials, even where no words are found in it."""
_FEWEST_WHOLE = 4
_FEWEST_MADE = 5
_INSIDE = "##"
_GOES_ON = 3.0
"""Additional cost of a word piece over a new word."""
_DIGITS = re.compile(
    r"(?<![\w$#@.,/-])(?=[A-Za-z]*[0134578$@])[A-Za-z0134578][A-Za-z0134578$@]{2,}[A-Za-z$](?![\w$@/])"
)
_MONEY = re.compile(r"\$\d")
_AS_LETTERS = str.maketrans("034578$@", "oeastbsa")
_CHANGED = "x"
_AMISS = re.compile(f"{_CHANGED}|[FES][LES]|[AS][AS]")
_AROUND = ",.;:!?()\"'%"
_REMEMBERED = 50_000
_LONGEST_REMEMBERED = 40
_TRIPLE = re.compile(r"(.)\1\1+")
_DOUBLE = re.compile(r"(.)\1")


def speller(words: Sequence[str]) -> Callable[[str], str]:
    """A function that restores obfuscated words where ``words`` leave exactly one candidate.

    ``words``: a model's vocabulary in lower case, most frequent first, word pieces after ``##``. An unknown word is
    corrected by a transposition of neighbouring letters, fewer repetitions, or letters for digits and signs. Two
    neighbours are joined, and spaced-out letters split into words, where that is clearly more probable. Names, which
    are far from any word, are unchanged; case is preserved.
    """
    return _Speller(words).restore


class _Speller:
    def __init__(self, words: Sequence[str]) -> None:
        known = [word for word in words if len(word) > 2 or word in _SHORT]
        costs = {word: math.log(place) + _PER_WORD for place, word in enumerate(known, 2)}
        self._costs = {word: cost for word, cost in costs.items() if not word.startswith(_INSIDE)}
        self._parts = {word[2:]: cost + _GOES_ON for word, cost in costs.items() if word.startswith(_INSIDE)}

        self._wholes = frozenset(word for word in self._costs if len(word) >= _FEWEST_WHOLE)
        self._words = _Remembered(_word_of)
        self._kinds = _Remembered(self._kind)

    def restore(self, text: str) -> str:
        tokens = text.split(" ")
        words = list(map(self._words.__getitem__, tokens))
        kinds = "".join(map(self._kinds.__getitem__, tokens))
        if self._wholes.isdisjoint(map(add, words, words[1:])) and not _AMISS.search(kinds):
            return text  # the usual case: no token changes, and no neighbours can be joined
        tokens = self._whole(_LETTERS.sub(self._spell_out, text).split(" "))
        return " ".join([self._token(each) if self._kinds[each] == _CHANGED else each for each in tokens])

    def _kind(self, token: str) -> str:
        """The class of a token, by which a text can be skipped.

        x: it is corrected. A: a word of one letter; S: another single letter. Of an unknown word, F: it may be joined
        to the next; L: to the previous; E: to either. A full stop: none of these.
        """
        first, last, known = token.isalpha(), token[:1].islower(), self._words[token] in self._costs
        if first and (known or len(token) == 1):
            return "." if len(token) > 1 else "A" if known else "S"
        if self._token(token) != token:
            return _CHANGED
        return "." if known or not (first or last) else "E" if first and last else "F" if first else "L"

    def _whole(self, tokens: list[str]) -> list[str]:
        """The tokens with joined neighbours."""
        words = list(map(self._words.__getitem__, tokens))
        found = list(compress(count(), map(self._wholes.__contains__, map(add, words, words[1:]))))
        known = map(self._costs.__contains__, words)
        found += [at for at, pair in enumerate(pairwise(known)) if pair == (False, False)]
        found = [at for at in found if self._is_joint(tokens, words, at)]
        joined: list[int] = []
        for place in sorted(found, key=lambda at: self._cost(words[at] + words[at + 1])):
            if not {place - 1, place, place + 1}.intersection(joined):
                joined.append(place)
        for place in sorted(joined, reverse=True):
            tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]
        return tokens

    def _is_joint(self, tokens: Sequence[str], words: Sequence[str], at: int) -> bool:
        plain = tokens[at].isalpha() and tokens[at + 1][:1].islower()
        return plain and self._is_one_word(words[at], words[at + 1], apart=True)

    def _cost(self, word: str) -> float:
        return self._costs.get(word, _UNKNOWN)

    def _token(self, token: str) -> str:
        word = token.strip(_AROUND)
        if word.lower() == word.upper():
            return token  # no letters
        if not word.isalpha():
            token = _PARTS.sub(self._join, _DIGITS.sub(self._digits, token))
        elif word.lower() in self._costs:
            return token
        return _WORD.sub(self._word, token)

    def _digits(self, match: re.Match[str]) -> str:
        word = match[0]
        if _MONEY.search(word):
            return word
        plain = word.translate(_AS_LETTERS)
        plain = plain.upper() if word.isupper() else plain
        found = [each for each in (plain.replace("1", "i"), plain.replace("1", "l")) if each.lower() in self._costs]
        return found[0] if found and 2 * sum(map(str.isalpha, word)) >= len(word) else word

    def _join(self, match: re.Match[str]) -> str:
        left, joint, right = match.groups()
        if joint in _STRANGE or self._is_one_word(left.lower(), right, apart=False):
            return left
        return match[0]

    def _is_one_word(self, left: str, right: str, apart: bool) -> bool:
        whole = self._costs.get(left + right)
        if whole is None:
            return not {left, right} & self._costs.keys() and self._is_made(left + right)
        if len(left + right) < _FEWEST_WHOLE:
            return False
        first, second = self._costs.get(left, _UNKNOWN), self._costs.get(right, _UNKNOWN)
        if not apart or len(left) == 1:  # "EUR 5 m in 2008" has no minutes
            return whole < second and left not in ("a", "i")
        if _UNKNOWN in (first, second):
            return len(right) > 1 or first > _COMMON
        return whole + (_CLEARLY if min(first, second) > _COMMON else _SURELY) < first + second

    def _is_made(self, word: str) -> bool:
        """Whether it is a known word and a word piece."""
        ends = range(_FEWEST_MADE, len(word) - 1)
        return any(word[:end] in self._costs and word[end:] in self._parts for end in ends)

    def _spell_out(self, match: re.Match[str]) -> str:
        letters = match[0].replace(" ", "")
        words = self._words_in(letters.lower())
        one = len(words) == 1 or (len(words) == 2 and words[0] in ("a", "i"))
        return _like(" ".join(words), letters) if one or len(letters) >= _MANY else match[0]

    def _words_in(self, letters: str) -> list[str]:
        """The cheapest segmentation into words; letters of unknown words stay single."""
        best: list[tuple[float, int, str]] = [(0.0, 0, "")]
        for end in range(1, len(letters) + 1):
            ways = [(best[-1][0] + _UNKNOWN, end - 1, " ")]
            for start in range(max(0, end - _LONGEST), end):
                piece, so_far = letters[start:end], best[start][0]
                if piece in self._costs:
                    ways.append((so_far + self._costs[piece], start, " "))
                if start and piece in self._parts:
                    ways.append((so_far + self._parts[piece], start, ""))
            best.append(min(ways))
        made, end = "", len(letters)
        while end:
            _, start, joint = best[end]
            made, end = joint + letters[start:end] + made, start
        return made.split()

    def _word(self, match: re.Match[str]) -> str:
        word = match[0]
        lower = word.lower()
        if lower in self._costs:
            return word
        found = set(filter(self._costs.__contains__, _near(word)))
        return _like(found.pop(), word) if len(found) == 1 else word


class _Remembered(dict[str, str]):
    """A bounded cache of ``find`` by token."""

    def __init__(self, find: Callable[[str], str]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, token: str) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        found = self._find(token)
        if len(token) <= _LONGEST_REMEMBERED:
            self[token] = found
        return found


def _word_of(token: str) -> str:
    """The letters of a token that may be part of a word; a space for any other."""
    if token.isalpha():
        return token.lower()
    return token.lower().replace(",", "").replace(".", "") if token[:1].islower() else " "


def _near(word: str) -> list[str]:
    """Correction candidates in lower case; of possible names, only the letters after the first are changed."""
    lower, plain = word.lower(), word.islower()
    places = range(0 if plain and len(word) > 4 else 1, len(word) - 1 if plain or len(word) > 4 else 0)
    near = [lower[:i] + lower[i + 1] + lower[i] + lower[i + 2 :] for i in places]
    if _TRIPLE.search(lower):
        near += [_TRIPLE.sub(r"\1", lower), _TRIPLE.sub(r"\1\1", lower)]
    elif plain:
        near += [lower[: double.start()] + lower[double.start() + 1 :] for double in _DOUBLE.finditer(lower)]
    return near


def _like(made: str, model: str) -> str:
    """``made`` in the case of ``model``, letter by letter, skipping spaces."""
    letters = iter(model)
    return "".join(c.upper() if c != " " and next(letters, "").isupper() else c for c in made)
