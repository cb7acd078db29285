"""Near-duplicate texts: those whose word bigrams have a Jaccard similarity |A ∩ B| / |A ∪ B| of 0.6 or more.

The similarity of two articles is estimated from their MinHashes (Broder 1997): for each of 32 hash functions the
minimum over a text's bigrams, cut to a byte. The fraction of equal bytes estimates it with a standard error of
0.09 at most. A MinHash depends on the text alone, so it is computed once, when an article is scored, and stored
beside the score with the text's claims, since near-duplicates may state the opposite of one another.
Labelled texts are few enough for the exact similarity.
"""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from paiid_pipeline.sentiment.text.claims import Claims, claims_of, read_claims

SIMILAR = 0.6
"""The least Jaccard similarity of near-duplicates: 20 equal bytes of two MinHashes."""
FUNCTIONS = 32

Bigrams = frozenset[str]

_LINK = re.compile(r"https?://\S+")
_NUMBER = re.compile(r"\d[\d.,]*")
_WORD = re.compile(r"[^\W_]+")
_MULTIPLIERS = np.array([(0x9E3779B97F4A7C15 * (2 * i + 1)) % 2**64 | 1 for i in range(FUNCTIONS)], np.uint64)
_OFFSETS = np.array([(0xC2B2AE3D27D4EB4F * (i + 1)) % 2**64 for i in range(FUNCTIONS)], np.uint64)


def minhash(text: str) -> str:
    """64 hex digits for a normalised text, whatever its case and punctuation; empty for one without words."""
    words = _WORD.findall(text.lower())
    if not words:
        return ""
    hashes = np.array([_hash(bigram) for bigram in sorted(_bigrams([*words, ""]))], np.uint64)
    mixed = hashes[:, None] * _MULTIPLIERS + _OFFSETS
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return bytes((mixed.min(0) >> np.uint64(24)).astype(np.uint8)).hex()


def signature(headline: str, text: str) -> str:
    """The MinHash of a normalised text that begins with ``headline``, then its claims; empty without words."""
    made = minhash(text)
    return f"{made}{claims_of(headline, text)}" if made else ""


def claims_in(signed: str | None) -> Claims:
    """The claims in a signature; none in a bare MinHash, as rows from before have it."""
    return read_claims((signed or "")[2 * FUNCTIONS :])


def are_similar(one: str | None, other: str | None) -> bool:
    """Whether two signatures are of near-duplicates, whether or not their claims contradict."""
    return bool(_estimated([other, one]))


def near_duplicates(signatures: Sequence[str | None], since: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """The pairs (later, earlier) of near-duplicates whose claims do not contradict one another.

    ``signatures``: in order of time, as :func:`signature` or :func:`minhash` makes them; a text without one has no
    near-duplicates. ``since``: for each text the index of the first that it is compared with; None: the first of all.
    """
    pairs = _estimated(signatures, since)
    return [(b, a) for b, a in pairs if not claims_in(signatures[b]).contradict(claims_in(signatures[a]))]


def group_near_duplicates(texts: Sequence[str]) -> list[str]:
    """The name of each text's group, 16 hex digits, in the order of ``texts``.

    Groups are the connected components of the exact near-duplicates, ignoring case, punctuation, links and the
    values of numbers. They depend on the set of texts only.
    """
    distinct = sorted(set(texts))
    parent = list(range(len(distinct)))
    for one, other in _exact([_folded_bigrams(text) for text in distinct]):
        low, high = sorted((_root(parent, one), _root(parent, other)))
        parent[high] = low
    names = {
        text: hashlib.sha256(distinct[_root(parent, place)].encode()).hexdigest()[:16]
        for place, text in enumerate(distinct)
    }
    return [names[text] for text in texts]


def _bigrams(words: Sequence[str]) -> Bigrams:
    return frozenset(f"{first} {second}" for first, second in pairwise(words))


def _folded_bigrams(text: str) -> Bigrams:
    """Bigrams without links and the values of numbers; of a shorter text its only word."""
    words = _WORD.findall(_NUMBER.sub("0", _LINK.sub(" ", text.lower())))
    return _bigrams(words) or frozenset({" ".join(words)})


def _estimated(signatures: Sequence[str | None], since: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """The pairs (later, earlier) that are similar by their MinHashes; time and memory quadratic in the window."""
    minhashes = [(each or "")[: 2 * FUNCTIONS] for each in signatures]
    known = [place for place, each in enumerate(minhashes) if len(each) == 2 * FUNCTIONS]
    if len(known) < 2:
        return []
    rows: NDArray[np.uint8] = np.frombuffer(bytes.fromhex("".join(minhashes[i] for i in known)), np.uint8)
    rows = rows.reshape(len(known), FUNCTIONS)
    pairs: list[tuple[int, int]] = []
    for later in range(1, len(known)):
        first = bisect_left(known, since[known[later]]) if since is not None else 0
        equal = (rows[first:later] == rows[later]).sum(1)
        pairs += [(known[later], known[first + int(a)]) for a in np.flatnonzero(equal >= SIMILAR * FUNCTIONS)]
    return pairs


def _exact(sets: Sequence[Bigrams]) -> list[tuple[int, int]]:
    """All similar pairs by prefix filtering (Chaudhuri 2006).

    With the elements of every set in one order, rarest first, two similar sets share one among the first few of each.
    """
    frequency = Counter(element for each in sets for element in each)
    seen: defaultdict[str, list[int]] = defaultdict(list)
    pairs: list[tuple[int, int]] = []
    for place in sorted(range(len(sets)), key=lambda p: (len(sets[p]), p)):
        mine = sets[place]
        prefix = sorted(mine, key=lambda element: (frequency[element], element))
        del prefix[len(mine) - math.ceil(SIMILAR * len(mine)) + 1 :]
        candidates = {other for element in prefix for other in seen[element]}
        pairs += [(place, other) for other in candidates if _is_similar(mine, sets[other])]
        for element in prefix:
            seen[element].append(place)
    return pairs


def _is_similar(one: Bigrams, other: Bigrams) -> bool:
    common = len(one & other)
    return common >= SIMILAR * (len(one) + len(other) - common)


def _root(parent: list[int], place: int) -> int:
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = parent[place]
    return place


def _hash(bigram: str) -> int:
    return int.from_bytes(hashlib.blake2b(bigram.encode("utf-8", "replace"), digest_size=8).digest())
