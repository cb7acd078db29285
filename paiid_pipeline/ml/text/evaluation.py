"""Members and blends on labelled rows, read as they are when served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from paiid_pipeline.ml.classification_metrics import Evaluation, Interval, evaluate
from paiid_pipeline.ml.text.recipe import PHRASEBANK
from paiid_pipeline.sentiment.base import Prediction, SentimentModel, TextInput, predict_texts
from paiid_pipeline.sentiment.ensemble import EnsembleWeights
from paiid_pipeline.sentiment.labels import INDEX
from paiid_pipeline.sentiment.text.entities import read_for

Predictions = Mapping[str, Sequence[Prediction]]
"""By member, its opinion of each row."""
Shares = npt.NDArray[np.float64]

ALL: Final = "all"
SETS: Final[Mapping[str, pl.Expr]] = {
    ALL: pl.lit(value=True),
    "phrasebank": pl.col("source") == PHRASEBANK,
    "phrasebank_75": (pl.col("source") == PHRASEBANK) & (pl.col("agreement") >= 75),
    "headlines": pl.col("source") == "headlines",
    "entities": pl.col("source") == "entities",
    "conflicts": pl.col("conflict"),
    "tweets": pl.col("source") == "tweets",
    "opinions": pl.col("source") == "opinions",
}
"""Which rows of a dataset are reported together."""


def text_inputs(rows: pl.DataFrame) -> list[TextInput]:
    """Prepared rows (text, entity) as members read them: with the entity's clause where the text names it."""
    return [read_for(text, entity, {}) for text, entity in rows.select("text", "entity").iter_rows()]


class NoPredictionError(ValueError):
    """A model that makes no usable prediction for some text, so that it cannot be measured. One line says which."""


def predictions(members: Sequence[SentimentModel], rows: pl.DataFrame) -> dict[str, list[Prediction]]:
    """What each member predicts of each row. Raises NoPredictionError where one does not."""
    read = text_inputs(rows)
    return {member.name: all_predictions(member, read) for member in members}


def all_predictions(member: SentimentModel, read: Sequence[TextInput]) -> list[Prediction]:
    """One prediction a reading. Raises NoPredictionError where one is missing."""
    found, failure = predict_texts(member, read)
    if failure:
        first = next(text_input.text for text_input, each in zip(read, found, strict=True) if each is None)
        raise NoPredictionError(
            f"{member.name} {member.version} makes no prediction for {failure.texts} of {len(read)} texts, such as "
            f"{shorten(first, 60)!r}: {shorten(failure.reason, 200)}; train it, or fetch it, again"
        )
    return [each for each in found if each is not None]


def shares(said: Sequence[Prediction]) -> Shares:
    """The probabilities of opinions, shape (rows, 3)."""
    return np.array([prediction.probabilities for prediction in said])


def mixed(blend: EnsembleWeights, said: Predictions) -> Shares:
    """The probabilities of a blend of opinions, shape (rows, 3)."""
    rows = len(next(iter(said.values())))
    return shares([blend.mix({name: each[row] for name, each in said.items()}) for row in range(rows)])


def labels(rows: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The labels of rows as numbers."""
    return np.array([INDEX[label] for label in rows["label"]], np.int64)


def evaluate_sets(rows: pl.DataFrame, found: Shares) -> dict[str, Evaluation]:
    """One model's probabilities of a dataset's rows, measured on each of :data:`SETS` that has rows."""
    truth, groups = labels(rows), rows["group"].to_numpy()
    chosen = {name: rows.select(which.alias("in"))["in"].to_numpy() for name, which in SETS.items()}
    chosen[ALL] = np.ones(rows.height, bool)
    return {
        name: evaluate(truth[which], found[which], groups=groups[which])
        for name, which in chosen.items()
        if which.any()
    }


def summary(measured: Mapping[str, Mapping[str, Evaluation]]) -> list[dict[str, object]]:
    """The rows of a table of models by sets: accuracy, macro-F1 and calibration error, with 95 % intervals.

    The last column is what the calibration error of a perfect calibration would be on so many rows.
    """
    return [
        {"set": chosen, "model": model, "rows": found[chosen].rows}
        | {name: interval(value) for name, value in _measures(found[chosen]).items()}
        | {"ECE by chance": f"{found[chosen].ece_by_chance:.4f}"}
        for chosen in SETS
        for model, found in measured.items()
        if chosen in found
    ]


def interval(found: Interval) -> str:
    """A value and its bounds, for people."""
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def _measures(found: Evaluation) -> dict[str, Interval]:
    return {"accuracy": found.accuracy, "macro-F1": found.macro_f1, "ECE": found.ece}


def metrics(measured: Mapping[str, Evaluation]) -> dict[str, float]:
    """The numbers of :func:`evaluate_sets` by name: ``accuracy``, and of a set ``tweets/accuracy``."""
    return {
        name if chosen == ALL else f"{chosen}/{name}": value
        for chosen, found in measured.items()
        for name, value in found.flat().items()
    }
