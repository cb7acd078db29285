"""Metrics of three-class probabilities: accuracy, macro-F1, calibration, bootstrap intervals and paired tests.

Throughout, ``labels`` is an integer array of shape (n,) with the classes 0 negative, 1 neutral, 2 positive,
and ``probabilities`` a float array of shape (n, 3) in the same order, each row summing to one. Pure: no files, no
clock, every random draw from the seed given. SciPy is imported in the functions of training that need it, so that
scoring never loads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from paiid_pipeline.sentiment.labels import LABELS

Labels = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]
Groups = npt.NDArray[np.generic]

ECE_BINS = 15


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % bootstrap interval (percentiles 2.5 and 97.5)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Evaluation:
    """One model on one set of labelled rows."""

    rows: int
    accuracy: Interval
    macro_f1: Interval
    ece: Interval
    ece_by_chance: float
    """Expected ECE of perfectly calibrated probabilities on as many rows (:func:`ece_by_chance`)."""
    brier: float
    """Brier score: mean over rows of the squared error summed over classes, in [0, 2]."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows: the true class; columns: the predicted one."""
    reliability: tuple[tuple[float, float, int], ...]
    """Mean confidence, accuracy and row count of each non-empty confidence bin."""

    def as_dict(self) -> dict[str, object]:
        """All fields as JSON values."""
        return asdict(self)

    def flat(self) -> Mapping[str, float]:
        """The scalar metrics by the name under which they are logged."""
        return {
            "rows": float(self.rows), "accuracy": self.accuracy.value, "accuracy_low": self.accuracy.low,
            "accuracy_high": self.accuracy.high, "macro_f1": self.macro_f1.value, "macro_f1_low": self.macro_f1.low,
            "macro_f1_high": self.macro_f1.high, "ece": self.ece.value, "ece_by_chance": self.ece_by_chance,
            "brier": self.brier,
        }  # fmt: skip


def evaluate(labels: Labels, probabilities: Floats, *, groups: Groups | None = None, seed: int = 0) -> Evaluation:
    """Evaluate one model. ``groups`` (n,): rows with the same value are resampled together (cluster bootstrap).

    Raises ValueError where there are no rows or the shapes differ.
    """
    _check(labels, probabilities)
    predicted = probabilities.argmax(1)
    draws = _resamples(len(labels), groups, seed)

    def interval(metric: Callable[[npt.NDArray[np.int64]], float]) -> Interval:
        values = [metric(rows) for rows in draws]
        low, high = np.percentile(values, [2.5, 97.5])
        return Interval(metric(np.arange(len(labels))), float(low), float(high))

    return Evaluation(
        rows=len(labels),
        accuracy=interval(lambda rows: float((labels[rows] == predicted[rows]).mean())),
        macro_f1=interval(lambda rows: macro_f1(labels[rows], predicted[rows])),
        ece=interval(lambda rows: expected_calibration_error(labels[rows], probabilities[rows])),
        ece_by_chance=ece_by_chance(probabilities, seed),
        brier=float(((probabilities - np.eye(3)[labels]) ** 2).sum(1).mean()),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion(labels, predicted)),
        reliability=tuple(_reliability(labels, probabilities)),
    )


def confusion(labels: Labels, predicted: Labels) -> npt.NDArray[np.int64]:
    """Counts, shape (3, 3): rows are the true class, columns the predicted one."""
    return np.bincount(labels * 3 + predicted, minlength=9).reshape(3, 3)


def macro_f1(labels: Labels, predicted: Labels) -> float:
    """Unweighted mean F1 over the classes that occur in either array, in [0, 1]; equals scikit-learn's ``f1_score``.

    Computed from counts, since a bootstrap calls it 1,000 times and ``f1_score`` takes 10 ms a call.
    """
    counts = confusion(labels, predicted)
    both = counts.sum(0) + counts.sum(1)
    scores = 2 * counts.diagonal()[both > 0] / both[both > 0]
    return float(scores.mean())


def expected_calibration_error(labels: Labels, probabilities: Floats, bins: int = ECE_BINS) -> float:
    """ECE: mean |confidence - accuracy| over ``bins`` equal-width confidence bins, in [0, 1] (Guo 2017)."""
    parts = _reliability(labels, probabilities, bins)
    return sum(rows * abs(confidence - accuracy) for confidence, accuracy, rows in parts) / len(labels)


def ece_by_chance(probabilities: Floats, seed: int = 0, times: int = 50) -> float:
    """Mean ECE over ``times`` draws of the labels from the probabilities themselves: ECE from sampling noise alone."""
    rng = np.random.default_rng(seed)
    below = probabilities.cumsum(1)[:, :-1]
    drawn = ((rng.random((len(probabilities), 1)) >= below).sum(1) for _ in range(times))
    return float(np.mean([expected_calibration_error(labels, probabilities) for labels in drawn]))


def mcnemar(labels: Labels, first: Floats, second: Floats) -> float:
    """The p-value of McNemar's exact two-sided test (1947) on the rows that exactly one of two models classifies right.

    ``first`` and ``second``: the models' probabilities (n, 3) on the same rows. 1.0 without discordant rows.
    """
    from scipy.stats import binomtest

    right_first, right_second = first.argmax(1) == labels, second.argmax(1) == labels
    only_first, discordant = int((right_first & ~right_second).sum()), int((right_first != right_second).sum())
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def fit_temperature(labels: Labels, probabilities: Floats) -> float:
    """The temperature in [0.05, 20] for :func:`scale_temperature` with the least log-loss on these rows (Guo 2017).

    Fit it on validation rows, after any mixing of models. The loss has one minimum in the logarithm.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    _check(labels, probabilities)
    logs = np.log(np.clip(probabilities, 1e-12, 1))

    def log_loss(log_temperature: float) -> float:
        scaled = log_softmax(logs / math.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(labels)), labels].mean())

    bounds = math.log(0.05), math.log(20)
    return math.exp(minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-9}).x)


def scale_temperature(probabilities: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """softmax(log p / temperature), (n, 3): sharper below 1, softer above 1; a row's ranking is unchanged."""
    from scipy.special import softmax

    logs = np.log(np.clip(np.asarray(probabilities, np.float64), 1e-12, 1))
    return np.asarray(softmax(logs / temperature, axis=1), np.float64)


def likelihood_gain(labels: Labels, challenger: Floats, other: Floats, groups: Groups, seed: int = 0) -> Interval:
    """Mean paired difference in log-likelihood of the labels, challenger less other, with its 95 % interval."""
    rows = np.arange(len(labels))
    ours, theirs = (np.log(np.clip(each[rows, labels], 1e-9, 1)) for each in (challenger, other))
    gains = ours - theirs
    low, high = np.percentile([gains[drawn].mean() for drawn in _resamples(len(labels), groups, seed)], [2.5, 97.5])
    return Interval(float(gains.mean()), float(low), float(high))


def is_better(labels: Labels, challenger: Floats, other: Floats, alpha: float = 0.05) -> bool:
    """Whether the challenger's accuracy is higher with :func:`mcnemar` below ``alpha``."""
    ahead = (challenger.argmax(1) == labels).mean() > (other.argmax(1) == labels).mean()
    return bool(ahead) and mcnemar(labels, challenger, other) < alpha


def majority_baseline(train: Labels, rows: int) -> npt.NDArray[np.float64]:
    """Class frequencies of the training labels as constant probabilities, (rows, 3)."""
    return np.tile(np.bincount(train, minlength=3) / len(train), (rows, 1))


def _check(labels: Labels, probabilities: Floats) -> None:
    if len(labels) == 0:
        raise ValueError("no rows to evaluate: give at least one labelled text")
    if probabilities.shape != (len(labels), len(LABELS)):
        raise ValueError(f"probabilities have the shape {probabilities.shape}, expected {(len(labels), len(LABELS))}")


def _reliability(labels: Labels, probabilities: Floats, bins: int = ECE_BINS) -> list[tuple[float, float, int]]:
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows = np.bincount(place, minlength=bins)
    sums = np.bincount(place, confidence, bins), np.bincount(place, right, bins)
    return [(float(sums[0][b] / rows[b]), float(sums[1][b] / rows[b]), int(rows[b])) for b in range(bins) if rows[b]]


def _resamples(rows: int, groups: Groups | None, seed: int, times: int = 1000) -> list[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    if groups is None:
        return list(rng.integers(0, rows, (times, rows)))
    _, of_row = np.unique(groups, return_inverse=True)
    order = np.argsort(of_row, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(of_row[order])) + 1)
    return [np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))]) for _ in range(times)]
