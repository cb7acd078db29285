"""A model small enough to train in a test, and labelled texts that it can learn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from paiid_pipeline.ml.registry import Registry
from paiid_pipeline.ml.signing import SigningKey
from paiid_pipeline.ml.text.classifier import bundled_base
from paiid_pipeline.ml.text.datasets import ROWS, with_groups
from paiid_pipeline.sentiment.labels import LABELS

WORDS = {
    "positive": ["rises", "beats", "grows", "gains"],
    "negative": ["falls", "misses", "shrinks", "loses"],
    "neutral": ["meets", "opens", "names", "holds"],
}
FILLERS = ["profit", "sales", "the", "company", "board", "market", "shares", "today", "in", "spring", "plant", "order"]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained BERT of two layers and a vocabulary of thirty words."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny")
    words = [*FILLERS, *(word for group in WORDS.values() for word in group)]
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    BertWordPieceTokenizer(vocab=vocabulary).save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), **shape)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def full_base() -> Path:
    """The encoder that our own model starts from; skips the test where its package is not installed."""
    try:
        return bundled_base()
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def labelled() -> pl.DataFrame:
    """Two hundred texts whose label is that of the one telling word in them."""
    rng = random.Random(1)
    rows = []
    for number in range(200):
        label = LABELS[number % 3]
        words = [*rng.sample(FILLERS, rng.randint(2, 6)), rng.choice(WORDS[label])]
        rng.shuffle(words)
        shares = {f"p_{each}": float(each == label) for each in LABELS}
        rows.append({"id": str(number), "source": "headlines", "text": " ".join(words), "entity": None, "label": label}
                    | shares | {"agreement": 100, "conflict": False})  # fmt: skip
    return with_groups(pl.DataFrame(rows, schema=ROWS))


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey(bytes(range(32)))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """MLflow takes seconds to make its tables; they are made once and copied."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    Registry(f"sqlite:///{path}").versions("nothing")
    return path.read_bytes()


@pytest.fixture
def registry(tmp_path: Path, empty_database: bytes) -> Registry:
    (tmp_path / "ml.db").write_bytes(empty_database)
    return Registry(f"sqlite:///{tmp_path}/ml.db", tmp_path / "artifacts")
