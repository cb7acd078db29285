"""The two-stage recipe of the custom BERT: stage 1 on all sources but the phrase bank, stage 2 on the phrase bank.

One stage 1 model serves all folds of the phrase bank, and its metrics there are those on a source that it was not
trained on. Stage 1 trains teachers on labelled rows, then a student on the same rows and on unlabelled news with the
teachers' predictions as targets (`distillation`). Stage 2 is run with several seeds, whose weights are averaged with
those of stage 1 against forgetting and for robustness (Wortsman 2022, "Robust fine-tuning").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import polars as pl

from paiid_pipeline.ml.text.classifier import average_networks
from paiid_pipeline.ml.text.datasets import GROUPED, with_groups, without_leaks
from paiid_pipeline.ml.text.distillation import ARTICLES, pseudo_labelled, without_near_duplicates
from paiid_pipeline.ml.text.synthetic_sentences import BALANCED, REAL, result_sentences
from paiid_pipeline.ml.text.training import SAMPLING, FineTunedModel, FineTuningConfig, Progress, train, validate

PHRASEBANK: Final = "phrasebank"
NO_ARTICLES: Final = pl.DataFrame(schema=ARTICLES)

STUDENT_SAMPLING: Final[Mapping[str, float]] = {
    "headlines": 0.4,
    "entities": 0.1,
    "conflict": 0.5,
    "fiqa": 0.4,
}
"""The fraction of labelled rows that the student's epochs sample, beside the pseudo-labelled news."""

STAGE_2_SAMPLING: Final[Mapping[str, float]] = {
    "tweets": 0.03,
    "headlines": 0.02,
    "entities": 0.0,
    "conflict": 0.05,
    "fiqa": 0.1,
}
"""The fraction of stage 1 rows that stage 2 rehearses, against forgetting."""

_VALIDATION = 20


@dataclass(frozen=True)
class Recipe:
    """Configurations of the three trainings, and the amount of data added to the labelled rows."""

    base: str
    seed: int = 0
    sentences: int = 4000
    """Synthetic sentences for each teacher, and for the student."""
    articles: int = 8000
    """The most pseudo-labelled articles for the student."""
    teachers: int = 2
    seeds: int = 3
    """Stage 2 trainings whose weights are averaged, with those of stage 1."""
    stage_1: FineTuningConfig = field(default_factory=lambda: FineTuningConfig("", epochs=3))
    student: FineTuningConfig = field(
        default_factory=lambda: FineTuningConfig("", epochs=1, learning_rate=1.2e-4, averaging=0.99, smoothing=0.08)
    )
    stage_2: FineTuningConfig = field(
        default_factory=lambda: FineTuningConfig(
            "", epochs=3, batch=16, learning_rate=1.2e-4, averaging=0.99, smoothing=0.05, consistency=1.0, warm_up=0.1
        )
    )


def train_stage_1(
    rows: pl.DataFrame,
    recipe: Recipe,
    folder: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    articles: pl.DataFrame = NO_ARTICLES,
) -> FineTunedModel:
    """Stage 1: train on the ``rows`` (`datasets.GROUPED`) that share no group with the phrase bank.

    Writes the teachers to ``folder/teacher-0`` and so on, and the student, initialised with the mean of their weights,
    to ``folder``. Without ``articles`` (`distillation.ARTICLES`) the student is trained on labelled and synthetic rows.
    """
    bank = rows.filter(pl.col("source") == PHRASEBANK)
    fit, validation = split(without_leaks(rows, bank))
    teachers = []
    for seed in range(recipe.seed, recipe.seed + recipe.teachers):
        plan = replace(recipe.stage_1, base=recipe.base, seed=seed, shares=dict(SAMPLING))
        fitted = pl.concat([fit, _synthetic(recipe.sentences, seed, BALANCED)])
        teachers.append(train(fitted, validation, plan, folder / f"teacher-{seed - recipe.seed}", progress).folder)
    news = pseudo_labelled(without_near_duplicates(articles, rows), teachers, recipe.articles, folder)
    fitted = pl.concat([fit, _synthetic(recipe.sentences, recipe.seed + recipe.teachers, REAL), news])
    start = folder / "teachers"
    average_networks(teachers, start)
    plan = replace(recipe.student, base=str(start), seed=recipe.seed, shares=dict(STUDENT_SAMPLING))
    return train(fitted, validation, plan, folder, progress)


def train_stage_2(
    rows: pl.DataFrame,
    recipe: Recipe,
    stage_1: Path,
    folder: Path,
    progress: Callable[[Progress], None] = lambda _: None,
) -> FineTunedModel:
    """Stage 2: train the model of :func:`train_stage_1` on the phrase bank in ``rows`` and a sample of the rest.

    Writes one training a seed to ``folder/seed-0`` and so on, and their mean with stage 1 to ``folder``.
    """
    bank = rows.filter(pl.col("source") == PHRASEBANK)
    _, validation = split(bank)
    fit = without_leaks(rows, validation)
    found = []
    for place in range(recipe.seeds):
        seed = recipe.seed + 100 * place
        plan = replace(recipe.stage_2, base=str(stage_1), seed=seed, shares=dict(STAGE_2_SAMPLING))
        found.append(train(fit, validation, plan, folder / f"seed-{place}", progress))
    average_networks([stage_1, *(each.folder for each in found)], folder)
    return replace(found[0], folder=folder, validation_macro_f1=validate(folder, validation, recipe.stage_2))


def split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training and validation rows (one group in twenty), split by group."""
    held = pl.col("group").str.slice(0, 8).str.to_integer(base=16, dtype=pl.UInt64) % _VALIDATION == 0
    return rows.filter(~held), rows.filter(held)


def fine_tune(
    rows: pl.DataFrame,
    recipe: Recipe,
    folder: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    articles: pl.DataFrame = NO_ARTICLES,
) -> Path:
    """Both stages on all of ``rows``; returns the folder of the model under ``folder``.

    Without rows of the phrase bank, stage 1 is the result; without ``articles`` there is no pseudo-labelled news.
    """
    stage_1 = train_stage_1(rows, recipe, folder / "stage-1", progress, articles).folder
    if rows.filter(pl.col("source") == PHRASEBANK).is_empty():
        return stage_1
    return train_stage_2(rows, recipe, stage_1, folder / "stage-2", progress).folder


def _synthetic(count: int, seed: int, plain: float) -> pl.DataFrame:
    return with_groups(result_sentences(count, seed, plain)).select(GROUPED.keys())
