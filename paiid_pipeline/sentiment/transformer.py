"""A transformer as a member of the ensemble, with scores independent of the batch.

Padding changes the rounding of sums, so that a text's score would depend on the others of its batch. Only texts with
the same number of tokens are run together, unpadded, and only where the model is bit-identical to running each alone.
A batch fits a core's cache and runs on one thread; batches run in parallel.
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
"""Token ids and types of texts of equal length to logits (texts, 3), in the model's own class order; thread-safe."""

ARITHMETIC: Final = r"@\w+"
"""The part of a version that names the processor's float kernels, by which the rounding of sums differs."""


class Tokens(NamedTuple):
    """An unpadded text, truncated to the model's length."""

    ids: list[int]
    types: list[int]
    truncated: bool = False
    """Whether tokens were cut."""


Encode = Callable[[Sequence[tuple[str, str | None]]], Sequence[tuple[list[int], list[int]] | Tokens]]
"""Texts, each with its entity or None, to tokens."""


@dataclass(frozen=True)
class Transformer:
    """A loaded model as a :class:`~paiid_pipeline.sentiment.base.SentimentModel`."""

    name: str
    version: str
    encode: Encode
    forward: Forward
    columns: tuple[int, int, int]
    """The columns of negative, neutral and positive in the logits."""
    reads_entities: bool = False
    """Whether it was trained with entities as second input; else it scores the entity's clause."""
    batch_tokens: int = 1
    """Maximum tokens of a batch; 1: one text at a time."""
    threads: int = 1
    cost_ms: float = 5.0

    def score(self, text_inputs: Sequence[TextInput]) -> list[Prediction]:
        """One prediction an input; distinct ones are scored once. Confidence is the greatest probability.

        Flag ``truncated``: the text exceeds the model's token limit.
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
        """Row indices batched by length, longest first to balance the threads."""
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
    # Scalar: vectorised functions may round by position.
    values = [float(logits[column]) for column in columns]
    highest = max(values)
    negative, neutral, positive = (math.exp(value - highest) for value in values)
    total = math.fsum((negative, neutral, positive))
    return negative / total, neutral / total, positive / total


def _prediction(probabilities: Probabilities, flags: tuple[str, ...]) -> Prediction:
    return Prediction(probabilities, max(probabilities), flags)
