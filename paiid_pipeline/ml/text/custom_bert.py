"""The custom BERT: training, export, evaluation on held-out rows, registration."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from paiid_pipeline.ml.classification_metrics import Evaluation, fit_temperature, scale_temperature
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.plots import plots
from paiid_pipeline.ml.registry import Version
from paiid_pipeline.ml.signing import sign_folder
from paiid_pipeline.ml.text.classifier import Text, bundled_base
from paiid_pipeline.ml.text.dataset_store import HELD_OUT, Parts, Texts, split_held_out
from paiid_pipeline.ml.text.datasets import label_indices
from paiid_pipeline.ml.text.evaluation import ALL, evaluate_sets, metrics, predictions, probabilities_of
from paiid_pipeline.ml.text.export import export_model
from paiid_pipeline.ml.text.hub import check_base
from paiid_pipeline.ml.text.progress import ProgressReporter
from paiid_pipeline.ml.text.recipe import Recipe, fine_tune
from paiid_pipeline.ml.text.scoring import open_member
from paiid_pipeline.ml.text.signature import TEXTS
from paiid_pipeline.sentiment.transformer import Transformer
from paiid_pipeline.sentiment.vader import Vader

CUSTOM_BERT: Final = "custom_bert"

_CALIBRATION = 400
_COMPARED = 1000
"""Held-out rows on which int8 is compared with float32, which is slow one text at a time."""


@dataclass(frozen=True)
class Choice:
    """The options of a training; the rest is the recipe's."""

    base: str | None = None
    """A folder or hub name of an encoder; None: the MiniLM-L6 of an installed package."""
    seed: int = 0
    epochs: int | None = None
    """Of each of the recipe's trainings; None: the recipe's own."""

    def recipe(self) -> Recipe:
        """The recipe with these options. Raises LookupError with the remedy where the base cannot be loaded."""
        base = str(Path(self.base).expanduser()) if self.base else str(bundled_base())
        check_base(base)
        made = Recipe(base, seed=self.seed)
        if self.epochs is None:
            return made
        stage_1, student, stage_2 = (replace(p, epochs=self.epochs) for p in (made.stage_1, made.student, made.stage_2))
        return replace(made, stage_1=stage_1, student=student, stage_2=stage_2)


@dataclass(frozen=True)
class Registered:
    """A registered version with its evaluation and that of the models it is compared with."""

    version: Version
    measured: Mapping[str, Mapping[str, Evaluation]]
    """By model and set (`evaluation.SETS`)."""
    plots: Mapping[str, bytes]
    """PNG by name."""
    facts: Mapping[str, str | float]
    """Further figures, by name."""


def train_custom_bert(texts: Texts, choice: Choice, store: ModelStore, say: Callable[[str], None]) -> Registered:
    """Train on all but the held-out fold, evaluate on it, and register; ``say`` takes lines of progress.

    Killed and called again with the same arguments it resumes from its checkpoint. Raises LookupError with the remedy
    where the base cannot be loaded, ValueError where there are too few rows, RegistryError before any training where
    the registry cannot be used.
    """
    store.registry.reach()
    recipe, parts = choice.recipe(), split_held_out(texts.labelled.rows)
    folder = store.training / CUSTOM_BERT / _name(texts, recipe)
    say(f"{parts.training.height} texts to train on, {parts.test.height} to measure on; checkpoints in {folder}")
    say(f"computing in {'bfloat16' if recipe.stage_1.half else 'float32: this processor has no bfloat16'}")
    trained = _alone(
        fine_tune(parts.training, recipe, folder, ProgressReporter(say), texts.articles), folder / "trained"
    )
    served = export_model(trained, folder / "served", calibration_texts(parts.training), reads_entities=True)
    say("measuring on the held-out texts")
    made = _register(texts, recipe, parts, trained, served, store)
    _keep(trained, folder)
    say(f"registered as {CUSTOM_BERT} version {made.version.version}")
    return made


def calibration_texts(rows: pl.DataFrame) -> list[Text]:
    """Some hundred training texts that fix the int8 scales, from all sources."""
    return list(rows.gather_every(max(rows.height // _CALIBRATION, 1)).select("text", "entity").iter_rows())


def agreement(served: Transformer, whole: Transformer, rows: pl.DataFrame) -> float:
    """The fraction of rows on which the exported model predicts the class of the float32 model."""
    predicted = predictions([replace(served, name="served"), replace(whole, name="whole")], rows.head(_COMPARED))
    one, other = (probabilities_of(each).argmax(1) for each in predicted.values())
    return float((one == other).mean())


def _register(texts: Texts, recipe: Recipe, parts: Parts, trained: Path, served: Path, store: ModelStore) -> Registered:
    public = store.key.public
    for folder in (trained, served):
        sign_folder(folder, store.key)
    member = open_member(CUSTOM_BERT, served, public)
    predicted = predictions([member, Vader()], parts.test)
    measured = {name: evaluate_sets(parts.test, probabilities_of(each)) for name, each in predicted.items()}
    facts = _calibration(member, parts, probabilities_of(predicted[CUSTOM_BERT]))
    facts["int8 labels as float32"] = agreement(member, open_member(CUSTOM_BERT, trained, public), parts.test)
    own = measured[CUSTOM_BERT]
    images = plots(own[ALL], {name: each[ALL] for name, each in measured.items()})
    version = store.registry.register(
        CUSTOM_BERT,
        served,
        store.key,
        interface=TEXTS,
        data_sha256=texts.labelled.sha256,
        metrics={**metrics(own), **facts},
        parameters=_parameters(texts, recipe) | {"training_rows": parts.training.height},
        documents={"evaluation": {name: each.as_dict() for name, each in own.items()}, "recipe": asdict(recipe)},
        plots=images,
    )
    return Registered(version, measured, images, facts)


def _calibration(member: Transformer, parts: Parts, found: np.ndarray) -> dict[str, float]:
    """The temperature fitted on validation rows, and the ECE with it on the test rows."""
    validated = probabilities_of(predictions([member], parts.validation)[member.name])
    temperature = fit_temperature(label_indices(parts.validation), validated)
    after = evaluate_sets(parts.test, scale_temperature(found, temperature))[ALL]
    return {"temperature": temperature, "ECE after temperature": after.ece.value}


def _parameters(texts: Texts, recipe: Recipe) -> dict[str, object]:
    chosen = {
        **{name: value for name, value in asdict(recipe).items() if isinstance(value, int)},
        "base": Path(recipe.base).name if Path(recipe.base).is_dir() else recipe.base,
        "articles": min(texts.articles.height, recipe.articles),
        "articles_sha256": texts.articles_sha256,
        "held_out_fold": HELD_OUT,
    }
    plans = {"stage_1": recipe.stage_1, "student": recipe.student, "stage_2": recipe.stage_2}
    return chosen | {
        f"{which}/{name}": getattr(plan, name)
        for which, plan in plans.items()
        for name in ("epochs", "batch", "learning_rate", "smoothing", "consistency", "averaging")
    }


def _name(texts: Texts, recipe: Recipe) -> str:
    made_of = [texts.labelled.sha256, texts.articles_sha256, asdict(recipe)]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]


def _alone(trained: Path, to: Path) -> Path:
    """Copy a model without the trainings in the folders below it."""
    to.mkdir(exist_ok=True)
    for path in trained.iterdir():
        if path.is_file():
            shutil.copy(path, to / path.name)
    return to


def _keep(trained: Path, folder: Path) -> None:
    """Keep the newest float32 weights, for a GPU or another training, and delete the rest of the training."""
    kept = folder.parent / "newest"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.move(trained, kept)
    shutil.rmtree(folder)
