"""How the custom BERT is made from a dataset: first every source but the phrase bank, then the phrase bank.

The order is what lets one general training serve all folds of the phrase bank, and it gives the model that has
never seen the phrase bank, which is the honest measure of how far the training carries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import polars as pl

from paiid_pipeline.models.datasets import GROUPED, with_groups, without_leaks
from paiid_pipeline.models.results import result_sentences
from paiid_pipeline.models.training import SHARES, Plan, Progress, Trained, train

PHRASEBANK: Final = "phrasebank"

FURTHER_SHARES: Final[Mapping[str, float]] = {
    "tweets": 0.03,
    "headlines": 0.02,
    "entities": 0.0,
    "conflict": 0.05,
    "opinions": 0.1,
    "results": 0.0,
}
"""While the phrase bank is learnt, a little of what was learnt before is repeated, so that it is kept."""

_VALIDATION = 20


@dataclass(frozen=True)
class Recipe:
    """The two trainings, and how many sentences are written by rule for the first."""

    base: str
    seed: int = 0
    sentences: int = 2500
    general: Plan = field(default_factory=lambda: Plan("", epochs=4))
    further: Plan = field(
        default_factory=lambda: Plan(
            "", epochs=3, batch=16, learning_rate=2e-4, averaging=0.99, smoothing=0.02, warm_up=0.1,
            train_embeddings=True, shares=dict(FURTHER_SHARES),
        )
    )  # fmt: skip


def train_general(
    rows: pl.DataFrame, recipe: Recipe, folder: Path, progress: Callable[[Progress], None] = lambda _: None
) -> Trained:
    """Train the base on all of ``rows`` (`datasets.GROUPED`) that share no group with the phrase bank."""
    bank = rows.filter(pl.col("source") == PHRASEBANK)
    others = without_leaks(rows, bank)
    fit, validation = split(others)
    written = with_groups(result_sentences(recipe.sentences, recipe.seed)).select(GROUPED.keys())
    plan = replace(recipe.general, base=recipe.base, seed=recipe.seed, shares=dict(SHARES))
    return train(pl.concat([fit, written]), validation, plan, folder, progress)


def train_further(
    rows: pl.DataFrame,
    recipe: Recipe,
    general: Path,
    folder: Path,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Trained:
    """Train the general model of :func:`train_general` on the phrase bank in ``rows``, and a little of the rest."""
    bank = rows.filter(pl.col("source") == PHRASEBANK)
    _, validation = split(bank)
    plan = replace(recipe.further, base=str(general), seed=recipe.seed)
    return train(without_leaks(rows, validation), validation, plan, folder, progress)


def split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What to fit on, and every twentieth group to validate on; a group is never on both sides."""
    held = pl.col("group").str.slice(0, 8).str.to_integer(base=16, dtype=pl.UInt64) % _VALIDATION == 0
    return rows.filter(~held), rows.filter(held)


def fine_tune(
    rows: pl.DataFrame, recipe: Recipe, folder: Path, progress: Callable[[Progress], None] = lambda _: None
) -> Path:
    """Both trainings on all of ``rows``; the model lies in the returned folder under ``folder``.

    Resumes where an earlier call with the same arguments was killed. Without a phrase bank in ``rows`` the
    general model is the result.
    """
    general = train_general(rows, recipe, folder / "general", progress).folder
    if rows.filter(pl.col("source") == PHRASEBANK).is_empty():
        return general
    return train_further(rows, recipe, general, folder / "custom-bert", progress).folder
