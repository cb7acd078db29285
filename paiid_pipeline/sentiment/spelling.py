"""Words whose letters were swapped so that a model does not know them, put right where there is one way to."""

from __future__ import annotations

import re
from collections.abc import Callable, Set

_FEWEST = 4
_WORD = re.compile(rf"[A-Za-z]{{{_FEWEST},20}}")


def speller(vocabulary: Set[str]) -> Callable[[str], str]:
    """A function that undoes one swap of neighbouring letters in words that ``vocabulary`` does not have.

    ``vocabulary`` holds whole words in lower case: a model's own. A word is changed only where exactly one swap,
    not of its first letter, makes it a known word; names are mostly far from any. Case is kept by place.
    """

    def put_right(match: re.Match[str]) -> str:
        word = match[0]
        lower = word.lower()
        if lower in vocabulary:
            return word
        found = {_swapped(lower, i) for i in range(1, len(lower) - 1)} & vocabulary
        if len(found) != 1:
            return word
        (made,) = found
        return "".join(c.upper() if old.isupper() else c for c, old in zip(made, word, strict=True))

    return lambda text: _WORD.sub(put_right, text)


def _swapped(word: str, place: int) -> str:
    return f"{word[:place]}{word[place + 1]}{word[place]}{word[place + 2 :]}"
