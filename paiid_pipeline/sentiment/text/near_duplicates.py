"""Whether two texts tell one story in nearly the same words, told from short signatures of each.

A fingerprint is a MinHash (Broder 1997) of the text's word pairs: of each of 32 hash functions the least
value over the pairs, cut to a byte. The share of equal bytes estimates the Jaccard similarity of the two
sets of pairs, with a standard error of 0.09 at most. It depends on the text alone, so it is made once, when
an article is scored, and kept beside the score: with the text's claims, since near copies may say the opposite.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paiid_pipeline.sentiment.text.claims import Claims, claims_of, read_claims

FUNCTIONS = 32
NEAR = 20
"""So many of the 32 bytes equal make a near copy: an estimated similarity of 0.62; by chance 2 are."""

_WORD = re.compile(r"[^\W_]+")
_MULTIPLIERS = np.array([(0x9E3779B97F4A7C15 * (2 * i + 1)) % 2**64 | 1 for i in range(FUNCTIONS)], np.uint64)
_OFFSETS = np.array([(0xC2B2AE3D27D4EB4F * (i + 1)) % 2**64 for i in range(FUNCTIONS)], np.uint64)


def fingerprint(text: str) -> str:
    """64 hex digits for a normalised text, whatever its case and punctuation; empty for one without words."""
    words = _WORD.findall(text.lower())
    if not words:
        return ""
    pairs = {f"{first} {second}" for first, second in zip(words, [*words[1:], ""], strict=True)}
    hashes = np.array([_hash(pair) for pair in sorted(pairs)], np.uint64)
    mixed = hashes[:, None] * _MULTIPLIERS + _OFFSETS
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return bytes((mixed.min(0) >> np.uint64(24)).astype(np.uint8)).hex()


def signature(headline: str, text: str) -> str:
    """The fingerprint of a normalised text that begins with ``headline``, and its claims; empty without words."""
    made = fingerprint(text)
    return f"{made}{claims_of(headline, text)}" if made else ""


def claims_in(signed: str | None) -> Claims:
    """The claims in a signature; none in a bare fingerprint, as rows from before have it."""
    return read_claims((signed or "")[2 * FUNCTIONS :])


def are_near(one: str | None, other: str | None) -> bool:
    """Whether two signatures are of nearly the same words, whatever they claim."""
    return bool(near_texts([other, one]))


def near_duplicates(signatures: Sequence[str | None], since: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """Of texts in order, each pair (later, earlier) of near copies that do not contradict one another.

    ``signatures``: as :func:`signature` or :func:`fingerprint` makes them; without one a text has no copies.
    ``since``: for each text the place of the first that it is compared with; without it, of the first of all.
    """
    near = near_texts(signatures, since)
    return [(b, a) for b, a in near if not claims_in(signatures[b]).contradict(claims_in(signatures[a]))]


def near_texts(signatures: Sequence[str | None], since: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """As :func:`near_duplicates`, with those that contradict one another."""
    fingerprints = [(each or "")[: 2 * FUNCTIONS] for each in signatures]
    known = [place for place, each in enumerate(fingerprints) if len(each) == 2 * FUNCTIONS]
    if len(known) < 2:
        return []
    prints: NDArray[np.uint8] = np.frombuffer(bytes.fromhex("".join(fingerprints[i] for i in known)), np.uint8)
    prints = prints.reshape(len(known), FUNCTIONS)
    pairs: list[tuple[int, int]] = []
    for later in range(1, len(known)):
        first = bisect_left(known, since[known[later]]) if since is not None else 0
        equal = (prints[first:later] == prints[later]).sum(1)
        pairs += [(known[later], known[first + int(earlier)]) for earlier in np.flatnonzero(equal >= NEAR)]
    return pairs


def _hash(pair: str) -> int:
    return int.from_bytes(hashlib.blake2b(pair.encode("utf-8", "replace"), digest_size=8).digest())
