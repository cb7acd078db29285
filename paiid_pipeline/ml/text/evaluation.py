"""Evaluation of members and ensembles on labelled rows, with texts prepared as at scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Final

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats
from paiid_pipeline.ml.classification_metrics import Evaluation, Interval, evaluate
from paiid_pipeline.ml.text.datasets import label_indices
from paiid_pipeline.ml.text.recipe import PHRASEBANK
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.base import Prediction, SentimentModel, TextInput, predict_texts
from paiid_pipeline.sentiment.ensemble import EnsembleWeights
from paiid_pipeline.sentiment.text.entities import read_for

Predictions = Mapping[str, Sequence[Prediction]]
"""By member, its prediction for each row."""

ALL: Final = "all"
SETS: Final[Mapping[str, pl.Expr]] = {
    ALL: pl.lit(value=True),
    "phrasebank": pl.col("source") == PHRASEBANK,
    "phrasebank_75": (pl.col("source") == PHRASEBANK) & (pl.col("agreement") >= 75),
    "headlines": pl.col("source") == "headlines",
    "entities": pl.col("source") == "entities",
    "conflicts": pl.col("conflict"),
    "tweets": pl.col("source") == "tweets",
    "fiqa": pl.col("source") == "fiqa",
}
"""Subsets of a dataset that are evaluated separately, by name."""


def text_inputs(rows: pl.DataFrame) -> list[TextInput]:
    """Prepared rows (text, entity) as members take them: with the entity's clause where the text names it."""
    return [read_for(text, entity, {}) for text, entity in rows.select("text", "entity").iter_rows()]


class NoPredictionError(ValueError):
    """A model without a valid prediction for some text, so that it cannot be evaluated. One line names the text."""


def predictions(members: Sequence[SentimentModel], rows: pl.DataFrame) -> dict[str, list[Prediction]]:
    """Each member's predictions, one a row. Raises NoPredictionError where one is missing."""
    inputs = text_inputs(rows)
    return {member.name: all_predictions(member, inputs) for member in members}


def all_predictions(member: SentimentModel, inputs: Sequence[TextInput]) -> list[Prediction]:
    """One prediction an input, in order. Raises NoPredictionError where one is missing."""
    found, failure = predict_texts(member, inputs)
    if failure:
        first = next(text_input.text for text_input, each in zip(inputs, found, strict=True) if each is None)
        raise NoPredictionError(
            f"{member.name} {member.version} makes no prediction for {failure.texts} of {len(inputs)} texts, such as "
            f"{shorten(first, 60)!r}: {shorten(failure.reason, 200)}; train it, or fetch it, again"
        )
    return [each for each in found if each is not None]


def probabilities_of(found: Sequence[Prediction]) -> Floats:
    """Predictions as an array of probabilities, (rows, 3)."""
    return np.array([prediction.probabilities for prediction in found])


def mixed(blend: EnsembleWeights, members: Predictions) -> Floats:
    """The probabilities of the ensemble, (rows, 3), from those of its members."""
    rows = len(next(iter(members.values())))
    return probabilities_of([blend.mix({name: each[row] for name, each in members.items()}) for row in range(rows)])


def evaluate_rows(analyzer: SentimentAnalyzer, rows: pl.DataFrame) -> dict[str, Evaluation]:
    """Each member and the ensemble by name, evaluated on rows of `datasets.read_labelled`."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for result in analyzer.analyze_batch(rows["text"].to_list(), rows["entity"].to_list()):
        for each in (*result.members, result):
            found.setdefault(each.model, []).append((each.p_negative, each.p_neutral, each.p_positive))
    truth = label_indices(rows)
    return {name: evaluate(truth, np.array(probabilities)) for name, probabilities in found.items()}


def evaluate_sets(rows: pl.DataFrame, found: Floats) -> dict[str, Evaluation]:
    """One model's probabilities (rows, 3), evaluated on each of :data:`SETS` that is not empty."""
    truth, groups = label_indices(rows), rows["group"].to_numpy()
    chosen = {name: rows.select(which.alias("in"))["in"].to_numpy() for name, which in SETS.items()}
    chosen[ALL] = np.ones(rows.height, bool)
    return {
        name: evaluate(truth[which], found[which], groups=groups[which])
        for name, which in chosen.items()
        if which.any()
    }


def summary(measured: Mapping[str, Mapping[str, Evaluation]]) -> list[dict[str, object]]:
    """The rows of a table of models by sets: accuracy, macro-F1 and ECE with 95 % intervals, and ECE by chance."""
    return [
        {"set": chosen, "model": model, "rows": found[chosen].rows}
        | {name: str(value) for name, value in _measures(found[chosen]).items()}
        | {"ECE by chance": f"{found[chosen].ece_by_chance:.4f}"}
        for chosen in SETS
        for model, found in measured.items()
        if chosen in found
    ]


def _measures(found: Evaluation) -> dict[str, Interval]:
    return {"accuracy": found.accuracy, "macro-F1": found.macro_f1, "ECE": found.ece}


def metrics(measured: Mapping[str, Evaluation]) -> dict[str, float]:
    """The scalar metrics of :func:`evaluate_sets`: ``accuracy`` of all rows, ``tweets/accuracy`` of a set."""
    return {
        name if chosen == ALL else f"{chosen}/{name}": value
        for chosen, found in measured.items()
        for name, value in found.flat().items()
    }
