"""How good are probabilities against labels: accuracy, macro-F1, calibration, intervals and paired tests.

Throughout, ``labels`` is an integer array of shape (n,) with the classes 0 negative, 1 neutral, 2 positive,
and ``probabilities`` a float array of shape (n, 3) in the same order, rows adding up to one. Nothing here
reads files or a clock, and every random draw comes from a seed that is passed.
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
    """A value with the bounds between which it lies in 95 of 100 resamplings of the rows."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """One model on one set of labelled rows."""

    rows: int
    accuracy: Interval
    macro_f1: Interval
    ece: Interval
    ece_by_chance: float
    """What the calibration error of a perfect calibration would come to, on average, over so few rows."""
    brier: float
    """Mean squared distance between the probabilities and the label, summed over classes, in [0, 2]."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows: the true class; columns: the predicted one."""
    reliability: tuple[tuple[float, float, int], ...]
    """Mean confidence, accuracy and rows of each bin of confidence that is not empty."""

    def as_dict(self) -> dict[str, object]:
        """The same as plain values that JSON can hold."""
        return asdict(self)

    def flat(self) -> Mapping[str, float]:
        """The numbers that a tracking server stores as metrics."""
        return {
            "rows": float(self.rows), "accuracy": self.accuracy.value, "accuracy_low": self.accuracy.low,
            "accuracy_high": self.accuracy.high, "macro_f1": self.macro_f1.value, "macro_f1_low": self.macro_f1.low,
            "macro_f1_high": self.macro_f1.high, "ece": self.ece.value, "ece_by_chance": self.ece_by_chance,
            "brier": self.brier,
        }  # fmt: skip


def evaluate(labels: Labels, probabilities: Floats, *, groups: Groups | None = None, seed: int = 0) -> Evaluation:
    """Measure one model. ``groups`` (n,) names rows that belong together and are resampled together.

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
    """The mean of the classes' F1, in [0, 1]; a class that is neither there nor predicted is left out."""
    counts = confusion(labels, predicted)
    both = counts.sum(0) + counts.sum(1)
    scores = 2 * counts.diagonal()[both > 0] / both[both > 0]
    return float(scores.mean())


def expected_calibration_error(labels: Labels, probabilities: Floats, bins: int = ECE_BINS) -> float:
    """Mean distance between confidence and accuracy over ``bins`` equal bins of confidence, in [0, 1] (Guo 2017)."""
    parts = _reliability(labels, probabilities, bins)
    return sum(rows * abs(confidence - accuracy) for confidence, accuracy, rows in parts) / len(labels)


def ece_by_chance(probabilities: Floats, seed: int = 0, times: int = 50) -> float:
    """The mean calibration error where each label is drawn from its row's own probabilities: there is no bias then."""
    rng = np.random.default_rng(seed)
    below = probabilities.cumsum(1)[:, :-1]
    drawn = ((rng.random((len(probabilities), 1)) >= below).sum(1) for _ in range(times))
    return float(np.mean([expected_calibration_error(labels, probabilities) for labels in drawn]))


def mcnemar(labels: Labels, first: Floats, second: Floats) -> float:
    """How likely so unequal a split of the rows that just one model gets right is by chance: exact, two-sided.

    ``first`` and ``second`` are the probabilities of two models on the same rows. 1.0 where they are right
    on the same ones (McNemar 1947, in its binomial form).
    """
    right_first, right_second = first.argmax(1) == labels, second.argmax(1) == labels
    only = int((right_first & ~right_second).sum()), int((right_second & ~right_first).sum())
    n, k = sum(only), min(only)
    tail = math.fsum(
        math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2))
        for i in range(k + 1)
    )
    return min(1.0, 2 * tail)


def fit_temperature(labels: Labels, probabilities: Floats) -> float:
    """The exponent's divisor that makes :func:`temper` most likely on these rows, in [0.05, 20].

    Fit it on validation rows, after any mixing of models. Golden-section search: the loss has one minimum.
    """
    _check(labels, probabilities)
    logs = np.log(np.clip(probabilities, 1e-12, 1))

    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        top = scaled.max(1, keepdims=True)
        normaliser = top[:, 0] + np.log(np.exp(scaled - top).sum(1))
        return float((normaliser - scaled[np.arange(len(labels)), labels]).mean())

    return math.exp(_minimum(loss, math.log(0.05), math.log(20)))


def temper(probabilities: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Sharpen (< 1) or soften (> 1) probabilities; the class ranking of a row never changes."""
    logs = np.log(np.clip(np.asarray(probabilities, np.float64), 1e-12, 1)) / temperature
    powered = np.exp(logs - logs.max(1, keepdims=True))
    return np.asarray(powered / powered.sum(1, keepdims=True), np.float64)


def likelihood_gain(labels: Labels, challenger: Floats, other: Floats, groups: Groups, seed: int = 0) -> Interval:
    """The mean gain of the labels' log-likelihood under the challenger over that under the other, paired by row."""
    rows = np.arange(len(labels))
    ours, theirs = (np.log(np.clip(each[rows, labels], 1e-9, 1)) for each in (challenger, other))
    gains = ours - theirs
    low, high = np.percentile([gains[drawn].mean() for drawn in _resamples(len(labels), groups, seed)], [2.5, 97.5])
    return Interval(float(gains.mean()), float(low), float(high))


def is_better(labels: Labels, challenger: Floats, other: Floats, alpha: float = 0.05) -> bool:
    """Whether the challenger gets more rows right than the other, beyond noise (:func:`mcnemar` under ``alpha``)."""
    ahead = (challenger.argmax(1) == labels).mean() > (other.argmax(1) == labels).mean()
    return bool(ahead) and mcnemar(labels, challenger, other) < alpha


def majority_baseline(train: Labels, rows: int) -> npt.NDArray[np.float64]:
    """What to beat at the least: the classes' shares in the training labels, for each of ``rows`` rows."""
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


def _minimum(function: Callable[[float], float], low: float, high: float, steps: int = 60) -> float:
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(steps):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2
