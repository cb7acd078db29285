"""How the custom BERT is made from a dataset: first every source but the phrase bank, then the phrase bank.

The order is what lets one general training serve all folds of the phrase bank, and it gives the model that has
never seen the phrase bank, which is the honest measure of how far the training carries. The general training
has two steps: teachers, which learn from labelled rows, and their pupil, which learns from them as well, on
news that nobody labelled (`distillation`). The last training is run with several seeds, and their weights
are averaged with those of the general model, which keeps what it knows of other texts and helps on new ones
(Wortsman 2022, "Robust fine-tuning").
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
from paiid_pipeline.ml.text.training import SHARES, FineTunedModel, FineTuningConfig, Progress, train, validate

PHRASEBANK: Final = "phrasebank"
NO_ARTICLES: Final = pl.DataFrame(schema=ARTICLES)

STUDENT_SAMPLING: Final[Mapping[str, float]] = {
    "headlines": 0.4,
    "entities": 0.1,
    "conflict": 0.5,
    "opinions": 0.4,
}
"""While the pupil learns from news, enough of the labelled rows is repeated to keep what they taught."""

FURTHER_SHARES: Final[Mapping[str, float]] = {
    "tweets": 0.03,
    "headlines": 0.02,
    "entities": 0.0,
    "conflict": 0.05,
    "opinions": 0.1,
}
"""While the phrase bank is learnt, a little of what was learnt before is repeated, so that it is kept."""

_VALIDATION = 20


@dataclass(frozen=True)
class Recipe:
    """The three trainings, and what is added to the labelled rows."""

    base: str
    seed: int = 0
    sentences: int = 4000
    """Sentences written by rule for each teacher, and for the pupil."""
    articles: int = 8000
    """At most this many articles are taught to the pupil."""
    teachers: int = 2
    seeds: int = 3
    """Trainings on the phrase bank whose weights are averaged, with the general model's."""
    stage_1: FineTuningConfig = field(default_factory=lambda: FineTuningConfig("", epochs=3))
    student: FineTuningConfig = field(
        default_factory=lambda: FineTuningConfig("", epochs=1, learning_rate=1.2e-4, averaging=0.99, smoothing=0.08)
    )
    stage_2: FineTuningConfig = field(
        default_factory=lambda: FineTuningConfig(
            "", epochs=3, batch=16, learning_rate=1.2e-4, averaging=0.99, smoothing=0.05, consistency=1.0, warm_up=0.1
        )
    )


def train_general(
    rows: pl.DataFrame,
    recipe: Recipe,
    folder: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    articles: pl.DataFrame = NO_ARTICLES,
) -> FineTunedModel:
    """Train the base on all of ``rows`` (`datasets.GROUPED`) that share no group with the phrase bank.

    Teachers lie in ``folder`` under ``teacher-0`` and so on, the pupil, which starts from the mean of their
    weights, in ``folder`` itself. Without
    ``articles`` (`distillation.ARTICLES`) the pupil learns from labelled rows and written sentences alone.
    """
    bank = rows.filter(pl.col("source") == PHRASEBANK)
    fit, validation = split(without_leaks(rows, bank))
    teachers = []
    for seed in range(recipe.seed, recipe.seed + recipe.teachers):
        plan = replace(recipe.stage_1, base=recipe.base, seed=seed, shares=dict(SHARES))
        learnt = pl.concat([fit, _written(recipe.sentences, seed, BALANCED)])
        teachers.append(train(learnt, validation, plan, folder / f"teacher-{seed - recipe.seed}", progress).folder)
    news = pseudo_labelled(without_near_duplicates(articles, rows), teachers, recipe.articles, folder)
    learnt = pl.concat([fit, _written(recipe.sentences, recipe.seed + recipe.teachers, REAL), news])
    start = folder / "teachers"
    average_networks(teachers, start)
    plan = replace(recipe.student, base=str(start), seed=recipe.seed, shares=dict(STUDENT_SAMPLING))
    return train(learnt, validation, plan, folder, progress)


def train_further(
    rows: pl.DataFrame,
    recipe: Recipe,
    stage_1: Path,
    folder: Path,
    progress: Callable[[Progress], None] = lambda _: None,
) -> FineTunedModel:
    """Train the general model of :func:`train_general` on the phrase bank in ``rows``, and a little of the rest.

    One training a seed lies in ``folder`` under ``seed-0`` and so on, their mean with the general model in
    ``folder`` itself.
    """
    bank = rows.filter(pl.col("source") == PHRASEBANK)
    _, validation = split(bank)
    fit = without_leaks(rows, validation)
    found = []
    for place in range(recipe.seeds):
        seed = recipe.seed + 100 * place
        plan = replace(recipe.stage_2, base=str(stage_1), seed=seed, shares=dict(FURTHER_SHARES))
        found.append(train(fit, validation, plan, folder / f"seed-{place}", progress))
    average_networks([stage_1, *(each.folder for each in found)], folder)
    return replace(found[0], folder=folder, validation_macro_f1=validate(folder, validation, recipe.stage_2))


def split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What to fit on, and every twentieth group to validate on; a group is never on both sides."""
    held = pl.col("group").str.slice(0, 8).str.to_integer(base=16, dtype=pl.UInt64) % _VALIDATION == 0
    return rows.filter(~held), rows.filter(held)


def fine_tune(
    rows: pl.DataFrame,
    recipe: Recipe,
    folder: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    articles: pl.DataFrame = NO_ARTICLES,
) -> Path:
    """All trainings on all of ``rows``; the model lies in the returned folder under ``folder``.

    Resumes where an earlier call with the same arguments was killed. Without a phrase bank in ``rows`` the
    general model is the result; without ``articles`` the pupil has none to learn from.
    """
    stage_1 = train_general(rows, recipe, folder / "general", progress, articles).folder
    if rows.filter(pl.col("source") == PHRASEBANK).is_empty():
        return stage_1
    return train_further(rows, recipe, stage_1, folder / "custom-bert", progress).folder


def _written(count: int, seed: int, plain: float) -> pl.DataFrame:
    return with_groups(result_sentences(count, seed, plain)).select(GROUPED.keys())
