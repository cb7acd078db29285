"""A transformer as a member: columns by name, each distinct text once, and no bit of a score from its company."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from paiid_pipeline.sentiment.base import NOTHING, ModelError, TextInput
from paiid_pipeline.sentiment.transformer import Tokens, Transformer


class Model:
    """Logits from the ids; remembers what it was run on, and by which threads."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.seen: list[tuple[int, ...]] = []
        self.threads: set[str] = set()

    def encode(self, texts: Sequence[tuple[str, str | None]]) -> list[tuple[list[int], list[int]]]:
        return [([ord(c) for c in text] + [0] * bool(entity), [0] * len(text)) for text, entity in texts]

    def forward(self, ids: list[list[int]], types: list[list[int]]) -> NDArray[np.float64]:
        assert len({len(row) for row in ids}) == 1, "texts of several lengths would need padding"
        self.batches.append(len(ids))
        self.seen += map(tuple, ids)
        self.threads.add(threading.current_thread().name)
        return np.array([[np.sin(sum(i)), np.cos(len(t)), 0.3] for i, t in zip(ids, types, strict=True)])


def member(model: Model, **other: object) -> Transformer:
    return Transformer("custom_bert", "1", model.encode, model.forward, (2, 0, 1), **other)  # type: ignore[arg-type]


def test_columns_are_put_in_order() -> None:
    (prediction,) = member(Model()).score([TextInput("a")])
    (logits,) = Model().forward([[97]], [[0]])
    shares = np.exp(logits) / np.exp(logits).sum()
    assert prediction.probabilities == pytest.approx((shares[2], shares[0], shares[1]))
    assert prediction.confidence == max(prediction.probabilities)


def test_a_text_that_was_cut_is_flagged_and_no_other() -> None:
    class Short(Model):
        def encode(self, texts: Sequence[tuple[str, str | None]]) -> list[Tokens]:  # type: ignore[override]
            return [Tokens([ord(c) for c in text[:4]], [0] * len(text[:4]), len(text) > 4) for text, _ in texts]

    said = member(Short()).score([TextInput("abcd"), TextInput("abcde"), TextInput("a")])
    assert [each.flags for each in said] == [(), ("truncated",), ()]


@pytest.mark.parametrize("shape", [(1, 2), (1, 5), (0, 3), (2, 3), (3,)])
def test_logits_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    broken = Transformer("custom_bert", "1", Model().encode, lambda _i, _t: np.zeros(shape), (2, 0, 1))
    with pytest.raises(ModelError, match="logits of shape"):
        broken.score([TextInput("a")])


def test_each_distinct_text_is_run_once_and_an_empty_one_never() -> None:
    model = Model()
    said = member(model).score([TextInput("b"), TextInput(""), TextInput("abc"), TextInput("b")])
    assert said[0] == said[3]
    assert said[1] == NOTHING
    assert model.seen == [(97, 98, 99), (98,)]  # the longest first


def test_an_entity_is_read_by_those_who_can_and_its_clause_by_the_others() -> None:
    text_input = TextInput("a; b", "b", "b")
    knowing, other = Model(), Model()
    member(knowing, reads_entities=True).score([text_input])
    member(other).score([text_input])
    assert knowing.seen == [(*map(ord, "a; b"), 0)]
    assert other.seen == [(ord("b"),)]


def test_texts_of_one_length_are_run_together_up_to_the_tokens_of_a_batch() -> None:
    model = Model()
    member(model, batch_tokens=6).score([TextInput(text) for text in ("ab", "c", "de", "fg", "hi", "abcdefgh")])
    assert model.batches == [1, 3, 1, 1]  # of 8 tokens, of 2 twice, and of 1


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 40))
def test_scores_come_in_order_and_do_not_depend_on_the_batch_or_the_threads(
    texts: list[str], threads: int, batch_tokens: int
) -> None:
    batch = member(Model(), threads=threads, batch_tokens=batch_tokens).score([TextInput(text) for text in texts])
    assert batch == [member(Model()).score([TextInput(text)])[0] for text in texts]
