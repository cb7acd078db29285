"""A transformer as a member: tokens in, probabilities out, and every score a function of its text alone.

A batch of texts would be padded to the longest, and sums over padding round otherwise, so that a text would
score differently in another company. Only texts with exactly as many tokens are run together, unpadded, and
only where the model gives each the bits that it gives it alone. Each batch is small enough for the cache of
one core, and run by one thread; several run at once on several threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paiid_pipeline.sentiment.base import NOTHING, ModelError, Prediction, Probabilities, TextInput

Forward = Callable[[list[list[int]], list[list[int]]], NDArray[np.floating[Any]]]
"""Token ids and their types of texts of one length to their logits (texts, 3), in the model's own order.

Callable from threads."""

ARITHMETIC: Final = r"@\w+"
"""In a version: the kind of processor that computed the score. Float sums round otherwise on another kind."""


class Tokens(NamedTuple):
    """A text as a model takes it in, unpadded and cut at the model's length."""

    ids: list[int]
    types: list[int]
    truncated: bool = False
    """Whether the text had more tokens."""


Encode = Callable[[Sequence[tuple[str, str | None]]], Sequence[tuple[list[int], list[int]] | Tokens]]
"""Texts, each with the entity that it is read for or None, to their tokens."""


@dataclass(frozen=True)
class Transformer:
    """A loaded model as a :class:`~paiid_pipeline.sentiment.base.SentimentModel`."""

    name: str
    version: str
    encode: Encode
    forward: Forward
    columns: tuple[int, int, int]
    """Where the logits hold negative, neutral and positive."""
    reads_entities: bool = False
    """Whether it was trained to read a text for an entity; if not, it reads the entity's clause."""
    batch_tokens: int = 1
    """Texts of one length are run together up to so many tokens; 1: one text at a time."""
    threads: int = 1
    cost_ms: float = 5.0

    def score(self, text_inputs: Sequence[TextInput]) -> list[Prediction]:
        """One opinion a reading; each distinct one is scored once. Confidence is the greatest probability.

        ``truncated`` among the flags: the text was longer than the model reads.
        """
        wanted = [self._input(text_input) for text_input in text_inputs]
        distinct = [each for each in dict.fromkeys(wanted) if each[0]]
        encoded = [Tokens(*each) for each in self.encode(distinct)]
        logits = self._run(encoded)
        found = {
            each: _prediction(_softmax(values, self.columns), ("truncated",) * tokens.truncated)
            for each, tokens, values in zip(distinct, encoded, logits, strict=True)
        }
        return [found.get(each, NOTHING) for each in wanted]

    def _input(self, text_input: TextInput) -> tuple[str, str | None]:
        if self.reads_entities:
            return text_input.text, text_input.entity
        return text_input.clause or text_input.text, None

    def _run(self, encoded: Sequence[Tokens]) -> list[NDArray[np.floating[Any]]]:
        batches = self._batches([len(tokens.ids) for tokens in encoded])

        def run(rows: list[int]) -> NDArray[np.floating[Any]]:
            logits = self.forward([encoded[row].ids for row in rows], [encoded[row].types for row in rows])
            if logits.shape != (len(rows), len(self.columns)):
                raise ModelError(f"{self.name}: logits of shape {logits.shape} for {len(rows)} texts of three classes")
            return logits

        if self.threads == 1 or len(batches) < 2:
            logits = list(map(run, batches))
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                logits = list(pool.map(run, batches))
        rows = [row for batch in batches for row in batch]
        by_row = dict(zip(rows, (values for found in logits for values in found), strict=True))
        return [by_row[row] for row in range(len(encoded))]

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Rows of one length together; the longest first, so that no thread is left with a long one at the end."""
        by_length: dict[int, list[int]] = {}
        for row, length in enumerate(lengths):
            by_length.setdefault(length, []).append(row)
        return [
            rows[start : start + size]
            for length, rows in sorted(by_length.items(), reverse=True)
            for size in [max(1, self.batch_tokens // max(1, length))]
            for start in range(0, len(rows), size)
        ]


def _softmax(logits: NDArray[np.floating[Any]], columns: tuple[int, int, int]) -> Probabilities:
    # Number by number: vectorised functions may round by position.
    values = [float(logits[column]) for column in columns]
    highest = max(values)
    negative, neutral, positive = (math.exp(value - highest) for value in values)
    total = math.fsum((negative, neutral, positive))
    return negative / total, neutral / total, positive / total


def _prediction(probabilities: Probabilities, flags: tuple[str, ...]) -> Prediction:
    return Prediction(probabilities, max(probabilities), flags)
