"""A transformer as a member: tokens in, probabilities out, one text at a time.

A batch of texts would be padded to the longest, and a quantised model scales over all that it is given, so
that a text would score differently in another company. Each text is run alone and unpadded instead, by one
thread; several texts run at once on several threads. That costs nothing on a CPU, where a batch is no
faster a text than its parts, and makes every score a function of its text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paiid_pipeline.sentiment.members import NOTHING, Opinion, Probabilities, Reading

Forward = Callable[[list[int], list[int]], NDArray[np.floating[Any]]]
"""Token ids and their types of one text to its three logits, in the model's own order; callable from threads."""

Encode = Callable[[Sequence[tuple[str, str | None]]], list[tuple[list[int], list[int]]]]
"""Texts, each with the entity that it is read for or None, to their token ids and types; unpadded, capped."""


@dataclass(frozen=True)
class Transformer:
    """A loaded model as a :class:`~paiid_pipeline.sentiment.members.Member`."""

    name: str
    version: str
    encode: Encode
    forward: Forward
    columns: tuple[int, int, int]
    """Where the logits hold negative, neutral and positive."""
    reads_entities: bool = False
    """Whether it was trained to read a text for an entity; if not, it reads the entity's clause."""
    threads: int = 1
    cost_ms: float = 5.0

    def score(self, readings: Sequence[Reading]) -> list[Opinion]:
        """One opinion a reading; each distinct one is scored once. Confidence is the greatest probability."""
        wanted = [self._input(reading) for reading in readings]
        distinct = [each for each in dict.fromkeys(wanted) if each[0]]
        encoded = self.encode(distinct)
        # The longest first, so that no thread is left with a long one at the end.
        order = sorted(range(len(distinct)), key=lambda row: -len(encoded[row][0]))
        logits = self._run([encoded[row] for row in order])
        found = {
            distinct[row]: _opinion(_softmax(values, self.columns)) for row, values in zip(order, logits, strict=True)
        }
        return [found.get(each, NOTHING) for each in wanted]

    def _input(self, reading: Reading) -> tuple[str, str | None]:
        if self.reads_entities:
            return reading.text, reading.entity
        return reading.clause or reading.text, None

    def _run(self, encoded: Sequence[tuple[list[int], list[int]]]) -> list[NDArray[np.floating[Any]]]:
        if self.threads == 1 or len(encoded) < 2:
            return [self.forward(ids, types) for ids, types in encoded]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda each: self.forward(*each), encoded))


def _softmax(logits: NDArray[np.floating[Any]], columns: tuple[int, int, int]) -> Probabilities:
    # Number by number: vectorised functions may round by position.
    values = [float(logits[column]) for column in columns]
    highest = max(values)
    negative, neutral, positive = (math.exp(value - highest) for value in values)
    total = math.fsum((negative, neutral, positive))
    return negative / total, neutral / total, positive / total


def _opinion(probabilities: Probabilities) -> Opinion:
    return Opinion(probabilities, max(probabilities))
