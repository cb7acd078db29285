"""Five-fold cross-validation of the custom BERT, by a protocol fixed beforehand, and its report.

Folds are of near-duplicate groups (`datasets`). For each fold a stage 1 model is trained on the other folds of all
sources but the phrase bank, and evaluated on its fold. The first one is also evaluated on the whole phrase bank, which
stage 1 never uses, and is what stage 2 starts from: for each fold, training on the phrase bank's other folds.
Nothing is chosen on test rows: hyperparameters are constants, early stopping uses a validation split of the training
rows, and news that is a near-duplicate of a labelled row is dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from paiid_pipeline.ml.classification_metrics import Evaluation, evaluate, mcnemar
from paiid_pipeline.ml.text.classifier import encode, load_network, load_tokenizer, predict
from paiid_pipeline.ml.text.custom_bert import Choice
from paiid_pipeline.ml.text.dataset_store import Texts
from paiid_pipeline.ml.text.datasets import FOLDS, GROUPED, Dataset, label_indices, without_leaks
from paiid_pipeline.ml.text.distillation import without_near_duplicates
from paiid_pipeline.ml.text.recipe import NO_ARTICLES, PHRASEBANK, Recipe, train_stage_1, train_stage_2
from paiid_pipeline.ml.text.training import Progress

EvaluationReport = dict[str, dict[str, Any]]

_PROBABILITIES: Final = ("p0", "p1", "p2")
_ROW: Final = ("id", "source", "label", "agreement", "conflict", "group", "fold")
_SCHEMA: Final = {name: GROUPED[name] for name in _ROW} | {"by": pl.String} | dict.fromkeys(_PROBABILITIES, pl.Float64)

REPORT_SETS: Final[dict[str, tuple[str, pl.Expr]]] = {
    "phrase bank, 75 % agreement": ("stage_2", (pl.col("source") == PHRASEBANK) & (pl.col("agreement") >= 75)),
    "phrase bank, all": ("stage_2", pl.col("source") == PHRASEBANK),
    "phrase bank, never seen": ("stage_1", pl.col("source") == PHRASEBANK),
    "tweets": ("stage_1", pl.col("source") == "tweets"),
    "headlines": ("stage_1", pl.col("source") == "headlines"),
    "conflicting entities": ("stage_1", pl.col("conflict")),
    "conflicting entities, text alone": ("text_alone", pl.col("conflict")),
}
"""By name of the table: which model's predictions, on which rows."""


PAIRS: Final = (("conflicting entities", "conflicting entities, text alone"),)
"""Tables on the same rows whose models are compared by McNemar's test."""


def cross_validate(
    data: Dataset,
    recipe: Recipe,
    folder: Path,
    folds: Sequence[int] = tuple(range(FOLDS)),
    progress: Callable[[int, Progress], None] = lambda *_: None,
    articles: pl.DataFrame = NO_ARTICLES,
    stage_1_folds: Sequence[int] | None = None,
) -> EvaluationReport:
    """Train and evaluate fold by fold; ``folder`` keeps every prediction, so that a killed call resumes from there.

    ``stage_1_folds``: the folds with a stage 1 model of their own, by default all ``folds``; stage 2 starts from the
    first. Returns for each of :data:`REPORT_SETS` the pooled evaluation with intervals (groups resampled together),
    each fold's accuracy and macro-F1, and the seed.
    """
    stage_1_folds = tuple(folds if stage_1_folds is None else stage_1_folds)
    run = _Folds(data.rows, recipe, folder, without_near_duplicates(articles, data.rows), progress)
    found = pl.concat(
        [run.stage_1(fold, whole_bank=fold == stage_1_folds[0]) for fold in stage_1_folds]
        + [run.stage_2(fold, start=stage_1_folds[0]) for fold in folds]
    )
    report: EvaluationReport = {"data": {"sha256": data.sha256, "rows": data.rows.height}}
    for name in REPORT_SETS:
        if not (chosen := _of(found, name)).is_empty():
            report[name] = table(chosen, recipe.seed)
    for one, other in PAIRS:
        if one in report:
            report[one][f"p against {other}"] = _compare(_of(found, one), _of(found, other))
    return report


def table(found: pl.DataFrame, seed: int) -> dict[str, Any]:
    """One set's metrics: over ``all`` folds together, and of each of ``folds``."""
    folds = {
        str(fold[0]): {"accuracy": each.accuracy.value, "macro_f1": each.macro_f1.value, "rows": each.rows}
        for fold, rows in found.group_by("fold", maintain_order=True)
        for each in (_evaluate(rows),)
    }
    return {"all": _evaluate(found).as_dict(), "folds": folds, "seed": seed}


def _of(found: pl.DataFrame, name: str) -> pl.DataFrame:
    by, rows = REPORT_SETS[name]
    return found.filter(pl.col("by") == by).filter(rows)


@dataclass(frozen=True)
class _Folds:
    """The models of each fold and their out-of-fold predictions, kept as JSON."""

    rows: pl.DataFrame
    recipe: Recipe
    folder: Path
    articles: pl.DataFrame
    progress: Callable[[int, Progress], None]

    def stage_1(self, fold: int, *, whole_bank: bool) -> pl.DataFrame:
        """Predictions of the stage 1 model of ``fold`` for its test rows and, optionally, the whole phrase bank."""

        def made() -> list[pl.DataFrame]:
            bank = pl.col("source") == PHRASEBANK
            test = self.rows.filter((pl.col("fold") == fold) & ~bank)
            # Stage 1 drops all groups of the phrase bank, for which it must be given their rows.
            rows = pl.concat([self._fit(fold).filter(~bank), self.rows.filter(bank)])
            path = self.folder / f"stage-1-{fold}"
            trained = train_stage_1(rows, self._seeded(fold), path, partial(self.progress, fold), self.articles).folder
            unseen = pl.concat([test, self.rows.filter(bank)]) if whole_bank else test
            alone = test.filter("conflict").with_columns(entity=pl.lit(None, pl.String))
            return [_predict(trained, unseen, "stage_1", fold), _predict(trained, alone, "text_alone", fold)]

        return self._kept(f"stage-1-{fold}.json", made)

    def stage_2(self, fold: int, *, start: int) -> pl.DataFrame:
        """Predictions for this fold of the phrase bank by the model trained on its other folds."""

        def made() -> list[pl.DataFrame]:
            test = self.rows.filter((pl.col("fold") == fold) & (pl.col("source") == PHRASEBANK))
            path, base = self.folder / f"stage-2-{fold}", self.folder / f"stage-1-{start}"
            if test.is_empty():
                return []
            trained = train_stage_2(self._fit(fold), self._seeded(fold), base, path, partial(self.progress, fold))
            return [_predict(trained.folder, test, "stage_2", fold)]

        return self._kept(f"stage-2-{fold}.json", made)

    def _fit(self, fold: int) -> pl.DataFrame:
        test = pl.col("fold") == fold
        return without_leaks(self.rows.filter(~test), self.rows.filter(test))

    def _seeded(self, fold: int) -> Recipe:
        return replace(self.recipe, seed=self.recipe.seed + fold)

    def _kept(self, name: str, made: Callable[[], list[pl.DataFrame]]) -> pl.DataFrame:
        path = self.folder / name
        if not path.is_file():
            rows = pl.concat(made() or [pl.DataFrame(schema=_SCHEMA)])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows.to_dict(as_series=False)))
        return pl.DataFrame(json.loads(path.read_text()), schema=_SCHEMA)


def _predict(folder: Path, rows: pl.DataFrame, by: str, fold: int) -> pl.DataFrame:
    encoded = encode(load_tokenizer(folder), list(rows.select("text", "entity").iter_rows()))
    found = predict(load_network(folder), encoded) if encoded else np.zeros((0, 3), np.float32)
    columns = {f"p{place}": pl.Series(found[:, place].astype(float)) for place in range(3)}
    return rows.with_columns(by=pl.lit(by), fold=pl.lit(fold, pl.Int64), **columns).select(_SCHEMA.keys())


def _compare(one: pl.DataFrame, other: pl.DataFrame) -> float:
    return mcnemar(label_indices(one), *(each.select(_PROBABILITIES).to_numpy() for each in (one, other)))


def _evaluate(found: pl.DataFrame) -> Evaluation:
    return evaluate(label_indices(found), found.select(_PROBABILITIES).to_numpy(), groups=found["group"].to_numpy())


def cross_validate_in(
    texts: Texts, choice: Choice, home: Path, folds: Sequence[int], progress: Callable[[int, Progress], None]
) -> EvaluationReport:
    """:func:`cross_validate` in a folder under ``home`` named by the texts and the recipe, so that it can resume."""
    recipe = choice.recipe()
    named = json.dumps([texts.labelled.sha256, texts.articles_sha256, asdict(recipe)], sort_keys=True)
    folder = home / hashlib.sha256(named.encode()).hexdigest()[:12]
    return cross_validate(texts.labelled, recipe, folder, folds, progress, texts.articles)


def markdown(report: EvaluationReport) -> str:
    """The report as Markdown: all sets with 95 % intervals, and the metrics of every fold."""
    sets = {name: found for name, found in report.items() if "all" in found}
    about = report.get("data", {})
    return "\n".join(
        [
            "# How well the custom BERT reads texts it has not seen",
            "",
            f"{about.get('rows', '?')} labelled texts, sha256 `{about.get('sha256', '?')}`. Near-duplicates are "
            "grouped, and a group is in one fold; brackets hold 95 % intervals, groups resampled together. The last "
            "column is the ECE that a perfect calibration would show on so many rows.",
            "",
            "| set | rows | accuracy | macro-F1 | ECE | by chance |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_row(name, found["all"]) for name, found in sets.items()),
            "",
            *(line for name, found in sets.items() for line in _compared(name, found)),
            "",
            "## Every fold",
            "",
            "| set | seed | fold | rows | accuracy | macro-F1 |",
            "| --- | --- | --- | --- | --- | --- |",
            *(line for name, found in sets.items() for line in _folds(name, found)),
        ]
    )


def _row(name: str, found: Mapping[str, Any]) -> str:
    measures = " | ".join(_interval(found[each]) for each in ("accuracy", "macro_f1", "ece"))
    return f"| {name} | {found['rows']} | {measures} | {found['ece_by_chance']:.3f} |"


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _compared(name: str, found: Mapping[str, Any]) -> list[str]:
    """The p-value of each paired test of a set."""
    return [f"{name}, {test}: {value:.2g} (McNemar)" for test, value in found.items() if test.startswith("p against ")]


def _folds(name: str, found: Mapping[str, Any]) -> list[str]:
    return [
        f"| {name} | {found['seed'] + int(fold)} | {fold} | {each['rows']} | {each['accuracy']:.3f} | "
        f"{each['macro_f1']:.3f} |"
        for fold, each in found["folds"].items()
    ]
