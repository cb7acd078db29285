"""A data folder of made-up texts, an encoder that has learnt their words, and a workshop of its own."""

from __future__ import annotations

import csv
import json
import random
import shutil
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.registry import Registry
from paiid_pipeline.ml.signing import SigningKey
from paiid_pipeline.ml.text import custom_bert
from paiid_pipeline.ml.text.datasets import ROWS, with_groups
from paiid_pipeline.ml.text.recipe import Recipe
from paiid_pipeline.ml.text.training import FineTuningConfig, train
from paiid_pipeline.sentiment.labels import LABELS
from paiid_pipeline_tests.ml.conftest import FILLERS, WORDS, _one_thread, key, tiny_base

__all__ = ["_one_thread", "key", "tiny_base"]


def made_up(count: int, seed: int) -> list[tuple[str, str]]:
    """Distinct texts and labels; the label is that of the one telling word in the text."""
    rng, found = random.Random(seed), dict[str, str]()
    while len(found) < count:
        label = LABELS[len(found) % 3]
        words = [*rng.choices(FILLERS, k=rng.randint(3, 7)), rng.choice(WORDS[label])]
        rng.shuffle(words)
        found.setdefault(" ".join(words), label)
    return list(found.items())


@pytest.fixture(scope="session")
def labelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a phrase bank, tweets and headlines about an entity."""
    folder = tmp_path_factory.mktemp("data") / "sentiment"
    folder.mkdir()
    texts = made_up(700, 3)
    _write(folder / "financial_phrasebank.csv", ["id", "text", "label", "agree"],
           [[f"p{n}", text, label, 75] for n, (text, label) in enumerate(texts[:350])])  # fmt: skip
    _write(folder / "twitter_financial_news.csv", ["id", "text", "label"],
           [[f"t{n}", text, label] for n, (text, label) in enumerate(texts[350:600])])  # fmt: skip
    _write(folder / "sentfin_entities.csv", ["id", "text", "entity", "label", "n_entities", "conflict"],
           [[f"e{n}", f"company {text}", "company", label, 1, False]
            for n, (text, label) in enumerate(texts[600:])])  # fmt: skip
    return folder.parent


@pytest.fixture(scope="session")
def learnt(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that reads made-up texts well, as a training of ours leaves it."""
    rows = [
        {"id": str(n), "source": "headlines", "text": text, "entity": None, "label": label}
        | {f"p_{each}": float(each == label) for each in LABELS} | {"agreement": 100, "conflict": False}
        for n, (text, label) in enumerate(made_up(300, 4))
    ]  # fmt: skip
    grouped = with_groups(pl.DataFrame(rows, schema=ROWS))
    plan = FineTuningConfig(
        str(tiny_base), epochs=8, batch=8, learning_rate=3e-3, train_embeddings=True, averaging=0.5, half=False
    )
    return train(grouped, grouped, plan, tmp_path_factory.mktemp("learnt")).folder


@pytest.fixture(autouse=True)
def small_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe with a few written sentences, one teacher and one seed, so that a test need not train for minutes."""
    monkeypatch.setattr(custom_bert, "Recipe", partial(Recipe, sentences=60, teachers=1, seeds=1))


@pytest.fixture(scope="session")
def empty_register(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make its tables; they are made once and copied."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    Registry(f"sqlite:///{path}").versions("nothing")
    return path


@pytest.fixture
def home(tmp_path: Path, empty_register: Path) -> Path:
    """A home whose register is there and empty."""
    (tmp_path / "home" / "mlflow").mkdir(parents=True)
    shutil.copy(empty_register, tmp_path / "home" / "mlflow" / "mlflow.db")
    return tmp_path / "home"


@pytest.fixture
def store(home: Path, key: SigningKey) -> ModelStore:
    """A workshop in that home."""
    registry = Registry(f"sqlite:///{home}/mlflow/mlflow.db", home / "mlflow" / "artifacts")
    return ModelStore(registry, key, home / "models", home)


def renamed(folder: Path, to: Path, **config: object) -> Path:
    """A copy of a model's files, without its record, with other words in its configuration."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("signature.json", "training.json"))
    found = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**found, **config}))
    return to


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
