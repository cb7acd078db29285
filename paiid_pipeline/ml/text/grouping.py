"""Which texts are near-duplicates of one another: the same words in the same order, but for a few."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

ALIKE = 0.6
"""Texts are near-duplicates where this share of their word pairs is common (Jaccard)."""

_LINK = re.compile(r"https?://\S+")
_NUMBER = re.compile(r"\d[\d.,]*")
_WORD = re.compile(r"[^\W_]+")


def group_near_duplicates(texts: Sequence[str]) -> list[str]:
    """The name of each text's group, in the order of ``texts``.

    Two texts are in one group where they are near-duplicates, or a chain of near-duplicates joins them. Case,
    punctuation, links and the values of numbers do not count. The result depends on the set of texts only.
    """
    distinct = sorted(set(texts))
    parent = list(range(len(distinct)))
    for one, other in _pairs([_word_pairs(text) for text in distinct]):
        _join(parent, one, other)
    names = {
        text: hashlib.sha256(distinct[_root(parent, place)].encode()).hexdigest()[:16]
        for place, text in enumerate(distinct)
    }
    return [names[text] for text in texts]


def _word_pairs(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORD.findall(_NUMBER.sub("0", _LINK.sub(" ", text.lower())))
    return frozenset(pairwise(words)) if len(words) > 1 else frozenset({tuple(words)})


def _pairs(sets: Sequence[frozenset[tuple[str, ...]]]) -> list[tuple[int, int]]:
    # Prefix filtering (Chaudhuri 2006): with the elements of every set in one order, rarest first, two sets
    # that share enough must share one among the first few of each. Exact, and few pairs are compared.
    frequency = Counter(element for each in sets for element in each)
    seen: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    pairs: list[tuple[int, int]] = []
    for place in sorted(range(len(sets)), key=lambda p: (len(sets[p]), p)):
        mine = sets[place]
        prefix = sorted(mine, key=lambda element: (frequency[element], element))
        del prefix[len(mine) - math.ceil(ALIKE * len(mine)) + 1 :]
        candidates = {other for element in prefix for other in seen[element]}
        pairs += [(place, other) for other in candidates if _alike(mine, sets[other])]
        for element in prefix:
            seen[element].append(place)
    return pairs


def _alike(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> bool:
    common = len(one & other)
    return common >= ALIKE * (len(one) + len(other) - common)


def _root(parent: list[int], place: int) -> int:
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = parent[place]
    return place


def _join(parent: list[int], one: int, other: int) -> None:
    low, high = sorted((_root(parent, one), _root(parent, other)))
    parent[high] = low
