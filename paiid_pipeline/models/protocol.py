"""The tables of the evaluation report, by a protocol that was fixed before the first number was seen.

Near-duplicates are grouped and the groups fall into five folds (`datasets`). For each fold one general model
is trained on the other folds of all sources but the phrase bank; it is measured on its fold of those sources,
and, fold 0's, on the whole phrase bank. From it a model is trained on the phrase bank's other folds and
measured on its fold. Nothing is chosen on a test row: hyper-parameters are constants, stopping is on a
validation part of the training rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from paiid_pipeline.models.datasets import FOLDS, Dataset, without_leaks
from paiid_pipeline.models.evaluation import Evaluation, evaluate
from paiid_pipeline.models.labels import INDEX
from paiid_pipeline.models.network import encode, load_network, load_tokenizer, predict
from paiid_pipeline.models.recipe import PHRASEBANK, Recipe, train_further, train_general
from paiid_pipeline.models.training import Progress

Report = dict[str, dict[str, Any]]

SETS: Final[dict[str, tuple[str, pl.Expr]]] = {
    "phrase bank, 75 % agreement": ("further", (pl.col("source") == PHRASEBANK) & (pl.col("agreement") >= 75)),
    "phrase bank, all": ("further", pl.col("source") == PHRASEBANK),
    "phrase bank, never seen": ("general", pl.col("source") == PHRASEBANK),
    "tweets": ("general", pl.col("source") == "tweets"),
    "headlines": ("general", pl.col("source") == "headlines"),
    "conflicting entities": ("general", pl.col("conflict")),
    "conflicting entities, text alone": ("alone", pl.col("conflict")),
}
"""A table's name: by which model's predictions, on which rows."""


def measure(
    data: Dataset,
    recipe: Recipe,
    folder: Path,
    folds: Sequence[int] = tuple(range(FOLDS)),
    progress: Callable[[int, Progress], None] = lambda *_: None,
) -> Report:
    """Train and measure fold by fold; ``folder`` keeps every prediction, so that a killed call goes on from there.

    Returns for each of :data:`SETS` the evaluation over all ``folds`` with intervals (groups resampled
    together), each fold's accuracy and macro-F1, and its seed.
    """
    found = pl.concat([_fold(data.rows, recipe, folder, fold, progress) for fold in folds])
    return {"data": {"sha256": data.sha256, "rows": data.rows.height}} | {
        name: table(found.filter(pl.col("by") == by).filter(rows), recipe.seed)
        for name, (by, rows) in SETS.items()
        if not found.filter(pl.col("by") == by).filter(rows).is_empty()
    }


def table(found: pl.DataFrame, seed: int) -> dict[str, Any]:
    """One set's figures: ``all`` folds together, and each of ``folds``."""
    folds = {
        str(fold[0]): {"accuracy": each.accuracy.value, "macro_f1": each.macro_f1.value, "rows": each.rows}
        for fold, rows in found.group_by("fold", maintain_order=True)
        for each in (_evaluate(rows),)
    }
    return {"all": _evaluate(found).as_dict(), "folds": folds, "seed": seed}


def _fold(
    rows: pl.DataFrame, recipe: Recipe, folder: Path, fold: int, progress: Callable[[int, Progress], None]
) -> pl.DataFrame:
    kept = folder / f"predictions-{fold}.json"
    if kept.is_file():
        return pl.DataFrame(json.loads(kept.read_text()))
    test = rows.filter(pl.col("fold") == fold)
    bank = pl.col("source") == PHRASEBANK
    fit = without_leaks(rows.filter(pl.col("fold") != fold), test)
    seeded = replace(recipe, seed=recipe.seed + fold)

    def tell(seen: Progress) -> None:
        progress(fold, seen)

    # The general model leaves out all groups of the phrase bank by itself, once it sees which they are.
    general = train_general(pl.concat([fit.filter(~bank), rows.filter(bank)]), seeded, folder / f"general-{fold}", tell)
    # No fold of the phrase bank was in any general training: one model's answers for all of it are enough.
    unseen = test.filter(~bank) if fold else pl.concat([test.filter(~bank), rows.filter(bank)])
    found = [_predict(general.folder, unseen, "general")]
    conflict = test.filter("conflict").with_columns(entity=pl.lit(None, pl.String))
    found.append(_predict(general.folder, conflict, "alone"))
    if not test.filter(bank).is_empty():
        further = train_further(fit, seeded, general.folder, folder / f"further-{fold}", tell)
        found.append(_predict(further.folder, test.filter(bank), "further"))
    made = pl.concat(found).with_columns(fold=pl.lit(fold))
    kept.write_text(json.dumps(made.to_dict(as_series=False)))
    return made


def _predict(folder: Path, rows: pl.DataFrame, by: str) -> pl.DataFrame:
    encoded = encode(load_tokenizer(folder), list(rows.select("text", "entity").iter_rows()))
    found = predict(load_network(folder), encoded) if encoded else np.zeros((0, 3), np.float32)
    about = rows.select("id", "source", "label", "agreement", "conflict", "group")
    columns = {f"p{i}": pl.Series(found[:, i].astype(float)) for i in range(3)}
    return about.with_columns(by=pl.lit(by), **columns)


def _evaluate(found: pl.DataFrame) -> Evaluation:
    labels = np.array([INDEX[label] for label in found["label"]])
    return evaluate(labels, found.select("p0", "p1", "p2").to_numpy(), groups=found["group"].to_numpy())
