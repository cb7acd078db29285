"""The tables of the evaluation report, by a protocol that was fixed before the first number was seen.

Near-duplicates are grouped and the groups fall into five folds (`datasets`). For each fold a general model is
trained on the other folds of all sources but the phrase bank, and measured on its fold. No general model has
seen the phrase bank, so that the first one is measured on all of it, and is where the training on the phrase
bank's other folds starts from for each of its folds. Nothing is chosen on a test row: hyper-parameters are
constants, stopping is on a validation part of the training rows, and news that resembles a labelled row is
left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from paiid_pipeline.models.datasets import FOLDS, GROUPED, Dataset, without_leaks
from paiid_pipeline.models.distillation import apart
from paiid_pipeline.models.evaluation import Evaluation, evaluate, mcnemar
from paiid_pipeline.models.labels import INDEX
from paiid_pipeline.models.network import encode, load_network, load_tokenizer, predict
from paiid_pipeline.models.recipe import NO_ARTICLES, PHRASEBANK, Recipe, train_further, train_general
from paiid_pipeline.models.training import Progress

Report = dict[str, dict[str, Any]]

_PROBABILITIES: Final = ("p0", "p1", "p2")
_ABOUT: Final = ("id", "source", "label", "agreement", "conflict", "group", "fold")
_SAID: Final = {name: GROUPED[name] for name in _ABOUT} | {"by": pl.String} | dict.fromkeys(_PROBABILITIES, pl.Float64)

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


PAIRS: Final = (("conflicting entities", "conflicting entities, text alone"),)
"""Tables on the same rows whose models are compared by McNemar's test."""


def measure(
    data: Dataset,
    recipe: Recipe,
    folder: Path,
    folds: Sequence[int] = tuple(range(FOLDS)),
    progress: Callable[[int, Progress], None] = lambda *_: None,
    articles: pl.DataFrame = NO_ARTICLES,
    generals: Sequence[int] | None = None,
) -> Report:
    """Train and measure fold by fold; ``folder`` keeps every prediction, so that a killed call goes on from there.

    ``generals`` are the folds that get a general model of their own, by default all ``folds``; the first one's
    serves the phrase bank. Returns for each of :data:`SETS` the evaluation over its folds with intervals
    (groups resampled together), each fold's accuracy and macro-F1, and its seed.
    """
    generals = tuple(folds if generals is None else generals)
    run = _Measurement(data.rows, recipe, folder, apart(articles, data.rows), progress)
    found = pl.concat(
        [run.general(fold, whole_bank=fold == generals[0]) for fold in generals]
        + [run.further(fold, start=generals[0]) for fold in folds]
    )
    report: Report = {"data": {"sha256": data.sha256, "rows": data.rows.height}}
    for name in SETS:
        if not (chosen := _of(found, name)).is_empty():
            report[name] = table(chosen, recipe.seed)
    for one, other in PAIRS:
        if one in report:
            report[one][f"p against {other}"] = _compare(_of(found, one), _of(found, other))
    return report


def table(found: pl.DataFrame, seed: int) -> dict[str, Any]:
    """One set's figures: ``all`` folds together, and each of ``folds``."""
    folds = {
        str(fold[0]): {"accuracy": each.accuracy.value, "macro_f1": each.macro_f1.value, "rows": each.rows}
        for fold, rows in found.group_by("fold", maintain_order=True)
        for each in (_evaluate(rows),)
    }
    return {"all": _evaluate(found).as_dict(), "folds": folds, "seed": seed}


def _of(found: pl.DataFrame, name: str) -> pl.DataFrame:
    by, rows = SETS[name]
    return found.filter(pl.col("by") == by).filter(rows)


@dataclass(frozen=True)
class _Measurement:
    rows: pl.DataFrame
    recipe: Recipe
    folder: Path
    articles: pl.DataFrame
    progress: Callable[[int, Progress], None]

    def general(self, fold: int, *, whole_bank: bool) -> pl.DataFrame:
        """What the general model of ``fold`` says of its test rows, and if wanted of the whole phrase bank."""

        def made() -> list[pl.DataFrame]:
            bank = pl.col("source") == PHRASEBANK
            test = self.rows.filter((pl.col("fold") == fold) & ~bank)
            # It leaves out all groups of the phrase bank by itself, once it sees which they are.
            rows = pl.concat([self._fit(fold).filter(~bank), self.rows.filter(bank)])
            path = self.folder / f"general-{fold}"
            trained = train_general(rows, self._seeded(fold), path, partial(self.progress, fold), self.articles).folder
            unseen = pl.concat([test, self.rows.filter(bank)]) if whole_bank else test
            alone = test.filter("conflict").with_columns(entity=pl.lit(None, pl.String))
            return [_predict(trained, unseen, "general", fold), _predict(trained, alone, "alone", fold)]

        return self._kept(f"general-{fold}.json", made)

    def further(self, fold: int, *, start: int) -> pl.DataFrame:
        """What the model trained on the other folds of the phrase bank says of this one."""

        def made() -> list[pl.DataFrame]:
            test = self.rows.filter((pl.col("fold") == fold) & (pl.col("source") == PHRASEBANK))
            path, base = self.folder / f"further-{fold}", self.folder / f"general-{start}"
            if test.is_empty():
                return []
            trained = train_further(self._fit(fold), self._seeded(fold), base, path, partial(self.progress, fold))
            return [_predict(trained.folder, test, "further", fold)]

        return self._kept(f"further-{fold}.json", made)

    def _fit(self, fold: int) -> pl.DataFrame:
        test = pl.col("fold") == fold
        return without_leaks(self.rows.filter(~test), self.rows.filter(test))

    def _seeded(self, fold: int) -> Recipe:
        return replace(self.recipe, seed=self.recipe.seed + fold)

    def _kept(self, name: str, made: Callable[[], list[pl.DataFrame]]) -> pl.DataFrame:
        path = self.folder / name
        if not path.is_file():
            rows = pl.concat(made() or [pl.DataFrame(schema=_SAID)])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows.to_dict(as_series=False)))
        return pl.DataFrame(json.loads(path.read_text()), schema=_SAID)


def _predict(folder: Path, rows: pl.DataFrame, by: str, fold: int) -> pl.DataFrame:
    encoded = encode(load_tokenizer(folder), list(rows.select("text", "entity").iter_rows()))
    found = predict(load_network(folder), encoded) if encoded else np.zeros((0, 3), np.float32)
    said = {f"p{place}": pl.Series(found[:, place].astype(float)) for place in range(3)}
    return rows.with_columns(by=pl.lit(by), fold=pl.lit(fold, pl.Int64), **said).select(_SAID.keys())


def _compare(one: pl.DataFrame, other: pl.DataFrame) -> float:
    labels = np.array([INDEX[label] for label in one["label"]])
    return mcnemar(labels, *(each.select(_PROBABILITIES).to_numpy() for each in (one, other)))


def _evaluate(found: pl.DataFrame) -> Evaluation:
    labels = np.array([INDEX[label] for label in found["label"]])
    return evaluate(labels, found.select(_PROBABILITIES).to_numpy(), groups=found["group"].to_numpy())
