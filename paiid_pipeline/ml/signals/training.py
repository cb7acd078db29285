"""Walk-forward training of signal models: hyperparameters are chosen on training rows only, all trials counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Indices
from paiid_pipeline.backtest.walk_forward import walk_forward
from paiid_pipeline.ml.signals.dataset import SignalData
from paiid_pipeline.ml.signals.estimators import (
    CLASSES,
    Estimator,
    EstimatorKind,
    LogitScale,
    MlpEstimator,
    ModelCard,
    SignalModel,
    TreeEstimator,
    split_margins,
)
from paiid_pipeline.signals.model_engine import matrix

Hyperparameters = Mapping[str, float]

MIN_TRAINING_MOMENTS = 30
"""Minimum decision times with a known label."""
_ROUNDS = 4
_LEAST, _MOST = 0.001, 5.0
"""Bounds of a factor; the least keeps the ranking of the forecasts."""


@dataclass(frozen=True)
class Trial:
    """One kind of estimator with its hyperparameters."""

    kind: EstimatorKind
    settings: Hyperparameters

    def __str__(self) -> str:
        return f"{self.kind} ({', '.join(f'{name} {value:g}' for name, value in self.settings.items())})"


def _forest(depth: float, leaf: float) -> Trial:
    one_round = {"rounds": 1, "learning_rate": 1.0, "num_parallel_tree": 100, "subsample": 0.63}
    return Trial("forest", {**one_round, "colsample_bynode": 0.3, "max_depth": depth, "leaf": leaf})


def _boosted(depth: float, rounds: float, ridge: float) -> Trial:
    drawn = {"subsample": 0.7, "leaf": 0.005, "learning_rate": 0.05}
    return Trial("boosted", {**drawn, "max_depth": depth, "rounds": rounds, "lambda": ridge})


def _network(units: float, decay: float) -> Trial:
    return Trial("network", {"units": units, "weight_decay": decay, "epochs": 8, "learning_rate": 0.003})


TRIALS: Final = (
    _forest(3, 0.005),
    _forest(5, 0.002),
    _forest(6, 0.001),
    _boosted(1, 40, 50),
    _boosted(2, 60, 50),
    _boosted(3, 100, 10),
    _network(8, 0.3),
    _network(16, 0.1),
    _network(32, 0.03),
)
"""The search grid: few and coarse, since each trial lowers the significance of the best."""


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of a training; with the data it determines the model."""

    folds: int = 4
    embargo: timedelta = timedelta(days=1)
    least_train: float = 0.3
    """The fraction of the decision times, the earliest, that is never tested."""
    inner_train: float = 0.7
    """The fraction of a fold's training times on which trials are fitted; on the rest they are compared."""
    seed: int = 0
    threads: int = 1
    trials: Sequence[Trial] = field(default_factory=lambda: TRIALS)


@dataclass(frozen=True)
class TrialResult:
    """The log-loss of one trial in one fold, on training rows that it was not fitted on."""

    fold: int
    """From 0; the last one is the fit on all rows."""
    trial: int
    loss: float
    shrink: LogitScale


@dataclass(frozen=True)
class Training:
    """The result of a training."""

    model: SignalModel
    """Fitted on all rows, with the trial that was best on the latest of them."""
    forecasts: pl.DataFrame
    """Out-of-fold forecasts, by models trained on earlier rows only: the rows of the data with ``fold``,
    ``logits_<kind>`` and ``logits`` (the best trial of any kind), each a list of three, and ``logits_base``, the log of
    the class frequencies in the fold's training rows."""
    tried: tuple[TrialResult, ...]
    chosen: tuple[int, ...]
    """The index of the trial chosen in each fold, and last for the model."""
    plan: TrainingConfig
    fold_models: tuple[SignalModel, ...]
    """The model of each fold."""


def train(
    data: SignalData, plan: TrainingConfig, known_from: datetime, log: Callable[[str], None] = lambda _: None
) -> Training:
    """Fit, select and forecast. ``known_from``: now (UTC); the model makes no earlier decision.

    Deterministic. Raises ValueError where there are too few decision times for the folds, or where training rows have
    only one class.
    """
    times = data.rows["as_of"].n_unique()
    if times < MIN_TRAINING_MOMENTS:
        raise _too_few(f"only {times} decision times have a known outcome, at least {MIN_TRAINING_MOMENTS} are needed")
    values, labels = matrix(data.rows, data.features), (data.rows["barrier"].to_numpy() + 1).astype(np.int64)
    run = _WalkForward(data, values, labels, plan, known_from, log)
    folds = walk_forward(data.rows, plan.folds, plan.embargo, plan.least_train)
    parts = []
    for place, fold in enumerate(folds):
        log(f"fold {place + 1} of {len(folds)}: {len(fold.train)} training rows, {len(fold.test)} test rows")
        models, chosen = run.best_of_each_kind(fold.train, place)
        logits = {f"logits_{kind}": model.logits(values[fold.test]) for kind, model in sorted(models.items())}
        logits |= {"logits": models[chosen].logits(values[fold.test])}
        logits |= {"logits_base": np.tile(models[chosen].card.prior, (len(fold.test), 1))}
        columns = [pl.Series(name, each.tolist(), dtype=pl.List(pl.Float64)) for name, each in logits.items()]
        parts.append(data.rows[fold.test].with_columns(pl.lit(place).alias("fold"), *columns))
        run.fold_models.append(models[chosen])
    log(f"final model, on all {data.rows.height} rows")
    models, chosen = run.best_of_each_kind(np.arange(data.rows.height), len(folds), only_best=True)
    return Training(models[chosen], pl.concat(parts), tuple(run.tried), tuple(run.chosen), plan, tuple(run.fold_models))


class _WalkForward:
    """The state of one training."""

    def __init__(
        self,
        data: SignalData,
        values: Floats,
        labels: Indices,
        plan: TrainingConfig,
        known_from: datetime,
        log: Callable[[str], None],
    ) -> None:
        self._data, self._values, self._labels, self._plan = data, values, labels, plan
        self._known_from, self._log = known_from, log
        self.tried: list[TrialResult] = []
        self.chosen: list[int] = []
        self.fold_models: list[SignalModel] = []

    def best_of_each_kind(
        self, rows: Indices, fold: int, *, only_best: bool = False
    ) -> tuple[dict[EstimatorKind, SignalModel], EstimatorKind]:
        """The best trial of each kind fitted on ``rows``, and the best kind; only that one with ``only_best``."""
        (inner,) = walk_forward(self._data.rows[rows], 1, self._plan.embargo, self._plan.inner_train)
        learn, compare = rows[inner.train], rows[inner.test]
        if not len(learn):
            raise _too_few(f"{len(rows)} decisions of {self._times(rows)} times are too few to learn from some of them")
        found = [self._try(fold, number, learn, compare) for number in range(len(self._plan.trials))]
        ranked = sorted(found, key=lambda each: each.loss)
        best: dict[EstimatorKind, TrialResult] = {}
        for each in ranked:
            best.setdefault(self._plan.trials[each.trial].kind, each)
        first = ranked[0]
        chosen = self._plan.trials[first.trial].kind
        self.chosen.append(first.trial)
        self._log(f"  chosen: {self._plan.trials[first.trial]}, log-loss {first.loss:.5f}")
        wanted = {chosen: first} if only_best else best
        return {kind: self._fitted(each, rows) for kind, each in wanted.items()}, chosen

    def _times(self, rows: Indices) -> int:
        return self._data.rows[rows]["as_of"].n_unique()

    def _try(self, fold: int, number: int, learn: Indices, compare: Indices) -> TrialResult:
        prior = self._prior(learn)
        margins = self._fit(number, learn, prior).margins(self._values[compare])
        shrink, loss = fit_logit_scale(prior, margins, self._labels[compare])
        made = TrialResult(fold, number, loss, shrink)
        self.tried.append(made)
        self._log(f"  {self._plan.trials[number]}: log-loss {loss:.5f}, {shrink}")
        return made

    def _fitted(self, tried: TrialResult, rows: Indices) -> SignalModel:
        prior = self._prior(rows)
        card = ModelCard(
            kind=self._plan.trials[tried.trial].kind,
            features=self._data.features,
            horizon=self._data.rows["horizon"][0],
            barriers=self._data.barriers,
            known_from=self._known_from,
            trained_to=self._data.rows[rows]["label_end"].max(),  # type: ignore[arg-type]
            prior=tuple(prior.tolist()),
            shrink=tried.shrink,
        )
        return SignalModel(card, self._fit(tried.trial, rows, prior))

    def _fit(self, number: int, rows: Indices, prior: Floats) -> Estimator:
        trial, plan = self._plan.trials[number], self._plan
        learner = MlpEstimator if trial.kind == "network" else TreeEstimator
        return learner.fit(self._values[rows], self._labels[rows], prior, trial.settings, plan.seed, plan.threads)

    def _prior(self, rows: Indices) -> Floats:
        counts = np.bincount(self._labels[rows], minlength=len(CLASSES))
        if np.count_nonzero(counts) < 2:
            raise ValueError(
                f"{len(rows)} training rows have {np.count_nonzero(counts)} class: give more history, "
                "or barriers that are nearer"
            )
        # Laplace smoothing: a class absent from training is unlikely, not impossible.
        return np.asarray(np.log((counts + 1) / (counts.sum() + len(CLASSES))), dtype=np.float64)


def _too_few(what: str) -> ValueError:
    return ValueError(
        f"{what}: backfill technical_indicators and symbol_sentiment of earlier dates, then signal_dataset"
    )


def fit_logit_scale(prior: Floats, margins: Floats, labels: Indices) -> tuple[LogitScale, float]:
    """The :class:`LogitScale` with the least mean log-loss of the labels (n,), and that loss.

    Coordinate descent: the loss is jointly convex in both factors.
    """
    from scipy.special import softmax

    level, side = split_margins(margins)
    found = LogitScale(1.0, 1.0)
    for _ in range(_ROUNDS):
        found = LogitScale(fit_factor(prior + found.side * side, level, labels), found.side)
        found = LogitScale(found.level, fit_factor(prior + found.level * level, side, labels))
    shares = softmax(prior + found.level * level + found.side * side, axis=1)[np.arange(len(labels)), labels]
    return found, -math.fsum(np.log(shares).tolist()) / max(len(labels), 1)


def fit_factor(base: Floats, margins: Floats, labels: Indices) -> float:
    """The factor f in [``_LEAST``, ``_MOST``] with the least log-loss of softmax(base + f margins), by bisection."""
    from scipy.special import softmax

    at = np.arange(len(labels))

    def slope(factor: float) -> float:
        shares = softmax(base + factor * margins, axis=1)
        return float(np.mean(np.sum(shares * margins, axis=1) - margins[at, labels]))

    low, high = _LEAST, _MOST
    if slope(low) >= 0:
        return low
    if slope(high) <= 0:
        return high
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2
