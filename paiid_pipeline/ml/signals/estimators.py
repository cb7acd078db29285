"""Models that say how likely each barrier is met first: trees in XGBoost's format, and a small neural network.

Each says of a row the same bits whatever rows stand beside it, and explains it exactly: trees by TreeSHAP, the
network by its integrated gradients, which have a closed form for one hidden layer.
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
from numpy.typing import NDArray

from paiid_pipeline.arrays import Floats
from paiid_pipeline.backtest.triple_barrier import Barriers
from paiid_pipeline.ml.signing import UntrustedModelError
from paiid_pipeline.signals.model_engine import DOWN, NEITHER, UP

EstimatorKind = Literal["forest", "boosted", "network"]
KINDS: Final[tuple[EstimatorKind, ...]] = ("forest", "boosted", "network")
CLASSES: Final = ("down", "neither", "up")
"""What the columns of the odds are: which barrier is met first."""

CARD: Final = "card.json"
_TREES, _NETWORK = "trees.json", "network.safetensors"
_LEAST_LEAF = 20
"""Rows, however few there are."""
_WIDEST = 5.0
"""Standard deviations beyond which the network sees no difference."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LogitScale:
    """By what a model's log-odds are multiplied, so that its probabilities are right on rows not learnt from.

    ``level``: those of meeting either barrier; ``side``: those of which one. How far a price will move is much
    easier to tell than where to, and one factor for both would be far too sure of the latter.
    """

    level: float
    side: float

    def __str__(self) -> str:
        return f"shrink {self.level:.2f} of the level, {self.side:.2f} of the side"


@dataclass(frozen=True)
class ModelCard:
    """What a model is, and what it needs to be put to work."""

    kind: EstimatorKind
    features: tuple[str, ...]
    horizon: str
    barriers: Barriers
    """Of the labels that it learnt."""
    known_from: datetime
    """When its training ended: it decides nothing before."""
    trained_to: datetime
    """By when the outcome of every row that it learnt from was known."""
    prior: tuple[float, float, float]
    """The log of the classes' shares in training."""
    shrink: LogitScale


class Estimator(Protocol):
    """What learns: log-odds beyond the prior."""

    def margins(self, values: Floats) -> Floats:
        """(n, 3)."""

    def shares(self, values: Floats) -> Floats:
        """What each feature adds to the margin of UP less that of DOWN, (n, features + 1); last what all rows share."""

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
        """What it reads, in this order."""
        return self.card.features

    def logits(self, values: Floats) -> Floats:
        """The log-odds of the classes, (n, 3)."""
        level, side = split_margins(self.core.margins(values))
        return np.array(self.card.prior) + self.card.shrink.level * level + self.card.shrink.side * side

    def attributions(self, values: Floats) -> Floats:
        """What each feature adds to the log-odds of up against down, (n, features + 1)."""
        shares = self.card.shrink.side * self.core.shares(values)
        shares[:, -1] += self.card.prior[UP] - self.card.prior[DOWN]
        return shares

    def save(self, folder: Path) -> None:
        """Write it to a folder, as :func:`load_model` reads it; the caller signs the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        moments = {name: getattr(self.card, name).isoformat() for name in ("known_from", "trained_to")}
        (folder / CARD).write_text(json.dumps({**asdict(self.card), **moments}, indent=1, sort_keys=True))
        self.core.save(folder)


def load_card(folder: Path) -> ModelCard:
    """What the model in a verified folder is. Raises UntrustedModelError where that cannot be read."""
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
    """Margins (n, 3) as the sum of two: what UP and DOWN share, with NEITHER; and by how much UP is ahead of both."""
    middle = (margins[:, UP] + margins[:, DOWN]) * 0.5
    ahead = (margins[:, UP] - margins[:, DOWN]) * 0.5
    return np.stack([middle, margins[:, NEITHER], middle], axis=1), np.stack([-ahead, 0.0 * ahead, ahead], axis=1)


def probabilities(logits: Floats) -> Floats:
    """The shares that log-odds stand for, row by row; the exponentials are taken one by one, for the same bits."""
    top = logits - np.max(logits, axis=1, keepdims=True)
    powers = np.array([math.exp(each) for each in top.ravel().tolist()]).reshape(logits.shape)
    total = powers[:, 0] + powers[:, 1] + powers[:, 2]
    return np.asarray(powers / total[:, None], dtype=np.float64)


class TreeEstimator:
    """TreeEstimator of XGBoost: boosted ones, or one round of many parallel ones, which is a random forest."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster

    @classmethod
    def fit(
        cls, values: Floats, labels: Labels, prior: Floats, settings: Mapping[str, float], seed: int, threads: int
    ) -> TreeEstimator:
        """``settings``: XGBoost's own names, ``rounds``, and ``leaf``, the least share of the rows in a leaf.

        The same arguments give the same trees.
        """
        import xgboost

        data = _matrix(values, threads, np.tile(prior, (len(values), 1)), labels)
        fixed = {
            "objective": "multi:softprob", "num_class": len(CLASSES), "tree_method": "hist", "max_bin": 64,
            "nthread": threads, "seed": seed, "verbosity": 0,
            # What XGBoost weighs is curvature, which a row has 2 p (1 - p) of: 4/9 where nothing is known.
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
        """The sums of the leaves."""
        if not len(values):
            return np.empty((0, len(CLASSES)))
        found = self._booster.predict(_matrix(values, 1, _nothing(len(values))), output_margin=True)
        return np.asarray(found, dtype=np.float64)

    def shares(self, values: Floats) -> Floats:
        """Exact Shapley values of the trees: Lundberg and others, "Consistent individualized feature attribution"."""
        if not len(values):
            return np.empty((0, values.shape[1] + 1))
        found = self._booster.predict(_matrix(values, 1, _nothing(len(values))), pred_contribs=True)
        return np.asarray(found[:, UP] - found[:, DOWN], dtype=np.float64)

    def save(self, folder: Path) -> None:
        """In XGBoost's JSON, which holds every bit and no code."""
        self._booster.save_model(str(folder / _TREES))


def _matrix(values: Floats, threads: int, base: Floats, labels: Labels | None = None) -> Any:
    import xgboost

    return xgboost.DMatrix(values, label=labels, base_margin=base, missing=np.nan, nthread=threads)


def _nothing(rows: int) -> Floats:
    return np.zeros((rows, len(CLASSES)))


@dataclass(frozen=True)
class MlpEstimator:
    """One hidden layer: margins = out · s(hidden · z + bias), with s(x) = x / (1 + |x|).

    z: each value less its mean over its deviation in training, within ``_WIDEST``, 0 where it is not known; and for
    each value whether it is not known, less how often that was so in training. ``hidden`` is (2 features, units),
    ``out`` (units, 3). Sums are taken term by term, and nothing but sums, products and quotients is used, so
    that the bits of a row are its own.
    """

    mean: Floats
    deviation: Floats
    missing: Floats
    hidden: Floats
    bias: Floats
    out: Floats

    @classmethod
    def fit(
        cls, values: Floats, labels: Labels, prior: Floats, settings: Mapping[str, float], seed: int, threads: int
    ) -> MlpEstimator:
        """``settings``: units, epochs, learning_rate, weight_decay. Statistics are of the rows given, and no others."""
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
        """What the hidden units add up to."""
        units = _squash(self._sums(self._inputs(values)))
        total = np.zeros((len(values), len(CLASSES)))
        for place, weights in enumerate(self.out):
            total = total + units[:, place : place + 1] * weights
        return total

    def shares(self, values: Floats) -> Floats:
        """Integrated gradients from a row of means: Sundararajan, Taly and Yan 2017.

        Along a straight line each hidden unit's sum moves evenly, so that the integral of its slope is what it
        rises over what its sum does: the shares add up exactly.
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
    inputs: Floats, labels: Labels, prior: Floats, settings: Mapping[str, float], seed: int, batch: int = 512
) -> tuple[Floats, Floats, Floats]:
    """The weights that AdamW comes to, from the seed alone."""
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
