"""Estimators of which barrier is hit first: XGBoost trees and a small neural network.

The logits of a row are bit-identical in any batch, and attributions add up exactly: TreeSHAP for trees, integrated
gradients for the network, in closed form for one hidden layer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np

from paiid_pipeline.arrays import Floats, Indices
from paiid_pipeline.backtest.triple_barrier import Barriers
from paiid_pipeline.ml.signing import UntrustedModelError
from paiid_pipeline.signals.model_engine import DOWN, NEITHER, UP

EstimatorKind = Literal["forest", "boosted", "network"]
KINDS: Final[tuple[EstimatorKind, ...]] = ("forest", "boosted", "network")
CLASSES: Final = ("down", "neither", "up")
"""The columns of the logits: which barrier is hit first."""

CARD: Final = "card.json"
_TREES, _NETWORK = "trees.json", "network.safetensors"
_LEAST_LEAF = 20
"""Minimum rows in a leaf."""
_WIDEST = 5.0
"""Standardised inputs of the network are clipped to this."""


@dataclass(frozen=True)
class LogitScale:
    """Factors on a model's logits that calibrate its probabilities out of sample.

    ``level``: on the logits of hitting either barrier; ``side``: on those of which one. Volatility is much easier to
    forecast than direction, and one factor for both would be overconfident of the latter.
    """

    level: float
    side: float

    def __str__(self) -> str:
        return f"shrink {self.level:.2f} of the level, {self.side:.2f} of the side"


@dataclass(frozen=True)
class ModelCard:
    """Metadata of a model, stored beside its weights."""

    kind: EstimatorKind
    features: tuple[str, ...]
    horizon: str
    barriers: Barriers
    """Of its labels."""
    known_from: datetime
    """End of its training (UTC): it makes no earlier decision."""
    trained_to: datetime
    """The latest time (UTC) at which the label of a training row became known."""
    prior: tuple[float, float, float]
    """Log of the class frequencies in training."""
    shrink: LogitScale


class Estimator(Protocol):
    """A fitted estimator of logits relative to the prior."""

    def margins(self, values: Floats) -> Floats:
        """Logits relative to the prior, (n, 3)."""

    def attributions(self, values: Floats) -> Floats:
        """Contribution of each feature to the margin of UP less that of DOWN, (n, features + 1); last the bias."""

    def save(self, folder: Path) -> None:
        """Write its weights."""


@dataclass(frozen=True)
class SignalModel:
    """A fitted model as the ML engine uses it: `signals.ml.Model`."""

    card: ModelCard
    core: Estimator
    version: str = "unregistered"

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its inputs, in order."""
        return self.card.features

    def logits(self, values: Floats) -> Floats:
        """Calibrated logits of the classes, (n, 3)."""
        level, side = split_margins(self.core.margins(values))
        return np.array(self.card.prior) + self.card.shrink.level * level + self.card.shrink.side * side

    def attributions(self, values: Floats) -> Floats:
        """Contribution of each feature to the logits of up against down, (n, features + 1); last the bias."""
        found = self.card.shrink.side * self.core.attributions(values)
        found[:, -1] += self.card.prior[UP] - self.card.prior[DOWN]
        return found

    def save(self, folder: Path) -> None:
        """Write it to a folder, as :func:`load_model` reads it; the caller signs the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        moments = {name: getattr(self.card, name).isoformat() for name in ("known_from", "trained_to")}
        (folder / CARD).write_text(json.dumps({**asdict(self.card), **moments}, indent=1, sort_keys=True))
        self.core.save(folder)


def load_card(folder: Path) -> ModelCard:
    """The card of the model in a verified folder. Raises UntrustedModelError where it is malformed."""
    try:
        found = json.loads((folder / CARD).read_text())
        moments = {name: datetime.fromisoformat(found[name]) for name in ("known_from", "trained_to")}
        rest = {
            "features": tuple(found["features"]),
            "prior": tuple(found["prior"]),
            "shrink": LogitScale(**found["shrink"]),
        }
        return ModelCard(**{**found, **moments, **rest, "barriers": Barriers(**found["barriers"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UntrustedModelError(f"{folder / CARD} describes no signal model ({error}): train it again") from None


def load_model(folder: Path, version: str) -> SignalModel:
    """The model in a verified folder."""
    card = load_card(folder)
    core: Estimator = MlpEstimator.load(folder) if card.kind == "network" else TreeEstimator.load(folder)
    return SignalModel(card, core, version)


def split_margins(margins: Floats) -> tuple[Floats, Floats]:
    """Margins (n, 3) as a sum: the level (mean of UP and DOWN, and NEITHER) and the side (half of UP less DOWN)."""
    middle = (margins[:, UP] + margins[:, DOWN]) * 0.5
    ahead = (margins[:, UP] - margins[:, DOWN]) * 0.5
    return np.stack([middle, margins[:, NEITHER], middle], axis=1), np.stack([-ahead, 0.0 * ahead, ahead], axis=1)


def probabilities(logits: Floats) -> Floats:
    """Softmax of logits (n, 3); scalar exponentials, since vectorised ones may round by position."""
    top = logits - np.max(logits, axis=1, keepdims=True)
    powers = np.array([math.exp(each) for each in top.ravel().tolist()]).reshape(logits.shape)
    total = powers[:, 0] + powers[:, 1] + powers[:, 2]
    return np.asarray(powers / total[:, None], dtype=np.float64)


class TreeEstimator:
    """XGBoost trees: boosted, or one round of many parallel trees, which is a random forest."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster

    @classmethod
    def fit(
        cls, values: Floats, labels: Indices, prior: Floats, settings: Mapping[str, float], seed: int, threads: int
    ) -> TreeEstimator:
        """``settings``: XGBoost's own names, ``rounds``, and ``leaf``, the least fraction of rows in a leaf.

        Deterministic.
        """
        import xgboost

        data = _matrix(values, threads, np.tile(prior, (len(values), 1)), labels)
        fixed = {
            "objective": "multi:softprob", "num_class": len(CLASSES), "tree_method": "hist", "max_bin": 64,
            "nthread": threads, "seed": seed, "verbosity": 0,
            # XGBoost weighs a leaf by its Hessian, 2 p (1 - p) a row: 4/9 at equal probabilities.
            "min_child_weight": max(settings["leaf"] * len(values), _LEAST_LEAF) * 4 / 9,
        }  # fmt: skip
        own = {name: value for name, value in settings.items() if name not in ("rounds", "leaf")}
        return cls(xgboost.train({**fixed, **own}, data, num_boost_round=int(settings["rounds"])))

    @classmethod
    def load(cls, folder: Path) -> TreeEstimator:
        """Read what :meth:`save` wrote."""
        import xgboost

        return cls(xgboost.Booster({"nthread": 1}, model_file=str(folder / _TREES)))

    def margins(self, values: Floats) -> Floats:
        """Sums of leaf values, (n, 3)."""
        if not len(values):
            return np.empty((0, len(CLASSES)))
        found = self._booster.predict(_matrix(values, 1, _nothing(len(values))), output_margin=True)
        return np.asarray(found, dtype=np.float64)

    def attributions(self, values: Floats) -> Floats:
        """Exact Shapley values of the trees: Lundberg and others, "Consistent individualized feature attribution"."""
        if not len(values):
            return np.empty((0, values.shape[1] + 1))
        found = self._booster.predict(_matrix(values, 1, _nothing(len(values))), pred_contribs=True)
        return np.asarray(found[:, UP] - found[:, DOWN], dtype=np.float64)

    def save(self, folder: Path) -> None:
        """As XGBoost JSON, which is lossless and holds no code."""
        self._booster.save_model(str(folder / _TREES))


def _matrix(values: Floats, threads: int, base: Floats, labels: Indices | None = None) -> Any:
    import xgboost

    return xgboost.DMatrix(values, label=labels, base_margin=base, missing=np.nan, nthread=threads)


def _nothing(rows: int) -> Floats:
    return np.zeros((rows, len(CLASSES)))


@dataclass(frozen=True)
class MlpEstimator:
    """One hidden layer: margins = out · s(hidden · z + bias), with s(x) = x / (1 + |x|).

    z: each value standardised by training statistics and clipped to ``_WIDEST``, 0 where missing; and for each value an
    indicator of missingness less its mean in training. ``hidden`` is (2 features, units), ``out`` (units, 3). Sums are
    taken term by term from elementary operations, so that a row's bits are independent of the batch.
    """

    mean: Floats
    deviation: Floats
    missing: Floats
    hidden: Floats
    bias: Floats
    out: Floats

    @classmethod
    def fit(
        cls, values: Floats, labels: Indices, prior: Floats, settings: Mapping[str, float], seed: int, threads: int
    ) -> MlpEstimator:
        """``settings``: units, epochs, learning_rate, weight_decay. Statistics are of the rows given."""
        import torch

        known = np.isfinite(values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        spread = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count)
        scale = (mean, np.where(spread > 0, spread, 1.0), 1.0 - known.mean(axis=0))
        blank = cls(*scale, np.zeros((2 * values.shape[1], 0)), np.zeros(0), np.zeros((0, len(CLASSES))))
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            weights = _descend(blank._inputs(values), labels, prior, settings, seed)
        finally:
            torch.set_num_threads(before)
        return cls(*scale, *weights)

    @classmethod
    def load(cls, folder: Path) -> MlpEstimator:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        return cls(**load_file(folder / _NETWORK))

    def _inputs(self, values: Floats) -> Floats:
        known = np.isfinite(values)
        scaled = np.clip((np.where(known, values, self.mean) - self.mean) / self.deviation, -_WIDEST, _WIDEST)
        return np.concatenate([scaled, np.where(known, 0.0, 1.0) - self.missing], axis=1)

    def _sums(self, inputs: Floats) -> Floats:
        total = np.tile(self.bias, (len(inputs), 1))
        for place, weights in enumerate(self.hidden):
            total = total + inputs[:, place : place + 1] * weights
        return total

    def margins(self, values: Floats) -> Floats:
        """Output of the network, (n, 3)."""
        units = _squash(self._sums(self._inputs(values)))
        total = np.zeros((len(values), len(CLASSES)))
        for place, weights in enumerate(self.out):
            total = total + units[:, place : place + 1] * weights
        return total

    def attributions(self, values: Floats) -> Floats:
        """Integrated gradients from a row of means: Sundararajan, Taly and Yan 2017.

        Along a straight line each hidden unit's sum moves linearly, so that the integral of its slope is a difference
        quotient: the attributions add up exactly.
        """
        inputs = self._inputs(values)
        ends, start = self._sums(inputs), np.tile(self.bias, (len(inputs), 1))
        moved = ends - start
        still = moved == 0
        slope = np.where(still, 1.0 / (1.0 + np.abs(start)) ** 2, (_squash(ends) - _squash(start)) / (moved + still))
        pull = self.out[:, UP] - self.out[:, DOWN]
        gradient = np.zeros_like(inputs)
        base = np.zeros(len(inputs))
        for unit in range(len(self.bias)):
            gradient = gradient + slope[:, unit : unit + 1] * (self.hidden[:, unit] * pull[unit])
            base = base + _squash(start)[:, unit] * pull[unit]
        parts = inputs * gradient
        features = values.shape[1]
        return np.concatenate([parts[:, :features] + parts[:, features:], base[:, None]], axis=1)

    def save(self, folder: Path) -> None:
        """As safetensors."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(array) for name, array in vars(self).items()}
        save_file(arrays, folder / _NETWORK)


def _squash(sums: Floats) -> Floats:
    return np.asarray(sums / (1.0 + np.abs(sums)), dtype=np.float64)


def _descend(
    inputs: Floats, labels: Indices, prior: Floats, settings: Mapping[str, float], seed: int, batch: int = 512
) -> tuple[Floats, Floats, Floats]:
    """Fit the weights by AdamW; determined by the seed."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    units, wide = int(settings["units"]), inputs.shape[1]
    hidden = (torch.randn(wide, units, generator=draw, dtype=torch.float64) / math.sqrt(wide)).requires_grad_()
    bias = torch.zeros(units, dtype=torch.float64, requires_grad=True)
    out = torch.zeros(units, len(CLASSES), dtype=torch.float64, requires_grad=True)
    x, y, base = torch.from_numpy(inputs), torch.from_numpy(labels), torch.from_numpy(prior)
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    descent = torch.optim.AdamW([hidden, bias, out], lr=rate, weight_decay=decay)
    for _ in range(int(settings["epochs"])):
        for rows in torch.split(torch.randperm(len(x), generator=draw), batch):
            sums = x[rows] @ hidden + bias
            loss = torch.nn.functional.cross_entropy(base + (sums / (1 + sums.abs())) @ out, y[rows])
            descent.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            descent.step()
    return tuple(each.detach().numpy().copy() for each in (hidden, bias, out))  # type: ignore[return-value]
