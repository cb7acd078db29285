"""The ML engine: the logits of a fitted model in place of the rules; sizing and validation are those of the rules.

The model reads the features of the decision's own row (`features`) and estimates the probability that the price meets
its upper barrier before its lower one (`backtest.triple_barrier`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats
from paiid_pipeline.signals.features import FEATURES, TEXTS, computed
from paiid_pipeline.signals.generator import Reason, SignalGenerator, class_of, reason
from paiid_pipeline.signals.rules import Row, Shown

ENGINE = "ml"
SHOWN = 8
"""How many features have their own reason; the others share one."""

DOWN, NEITHER, UP = 0, 1, 2
"""The columns of a model's logits."""


class Model(Protocol):
    """A fitted model. Its outputs for a row are bit-identical whatever the batch."""

    @property
    def version(self) -> str:
        """Its name, version and digest: part of the signals' ``model_version``."""

    @property
    def features(self) -> tuple[str, ...]:
        """Which of ``FEATURES`` it reads, in this order."""

    def logits(self, values: Floats) -> Floats:
        """The logits of DOWN, NEITHER and UP, (n, 3), from values (n, features), NaN where not known."""

    def attributions(self, values: Floats) -> Floats:
        """Contributions to the logits of UP against DOWN, (n, features + 1); the last column is the base."""


class ModelGenerator(SignalGenerator):
    """The ML engine, its risk manager and its validator.

    With q the probability of UP given that it is UP or DOWN: strength is 2q - 1, confidence the larger of q and 1 - q,
    and agreement the net over the gross of the attributions. The classes are those of the rulebook. The
    contributions of the reasons are the attributions, scaled to add up to the strength.
    """

    engine = ENGINE

    def __init__(self, model: Model, *args: Any, columns: Mapping[str, pl.Expr] = FEATURES, **kwargs: Any) -> None:
        """``model``, then as for the rule engine, of whose rulebook only classes and limits are used.

        ``columns``: the expressions of the features. Raises LookupError where the model needs one that is missing.
        """
        super().__init__(*args, **kwargs)
        if missing := [name for name in model.features if name not in columns]:
            raise LookupError(f"{model.version} reads {', '.join(missing)}, which this code does not make: train anew")
        self.model = model
        self._columns = {name: columns[name] for name in model.features}

    @property
    def version(self) -> str:
        """The model's, and that of the rulebook whose classes and limits apply."""
        return f"{self.model.version}+{self.rulebook.version}"

    def _scored(self, inputs: pl.DataFrame) -> pl.DataFrame:
        values = matrix(computed(inputs, self._columns), self.model.features)
        logits, shares = self.model.logits(values), self.model.attributions(values)
        log_odds = (logits[:, UP] - logits[:, DOWN]).tolist()
        # One by one: vectorised functions may round otherwise at another place of a batch.
        strength = [math.tanh(0.5 * each) for each in log_odds]
        gross = [math.fsum(np.abs(row).tolist()) for row in shares]
        scored = inputs.with_columns(
            pl.Series("log_odds", log_odds, dtype=pl.Float64),
            pl.Series("strength", strength, dtype=pl.Float64),
            pl.Series("confidence", [0.5 + 0.5 * abs(each) for each in strength], dtype=pl.Float64),
            pl.Series(
                "agreement", [abs(n) / g if g else 1.0 for n, g in zip(log_odds, gross, strict=True)], pl.Float64
            ),
            pl.Series("shares", shares.tolist(), dtype=pl.List(pl.Float64)),
        )
        return scored.with_columns(class_of(self.rulebook.classes).alias("signal"))

    def _why(self, row: Row) -> list[Reason]:
        scale = row["strength"] / row["log_odds"] if row["log_odds"] else 0.0
        *shares, base = (share * scale for share in row["shares"])
        found = sorted(zip(self.model.features, shares, strict=True), key=lambda each: -abs(each[1]))
        reasons = [reason(name, share, describe(name, row)) for name, share in found[:SHOWN]]
        if rest := found[SHOWN:]:
            total = math.fsum(share for _, share in rest)
            reasons.append(reason("others", total, f"{len(rest)} other readings together"))
        reasons.append(reason("base", base, "What decisions of the model's training came to on the whole"))
        return reasons


def matrix(features: pl.DataFrame, names: tuple[str, ...]) -> Floats:
    """The columns ``names`` as (rows, names), NaN where null."""
    values = [features[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names]
    return np.ascontiguousarray(np.stack(values, axis=1)) if values else np.empty((features.height, 0))


def describe(name: str, row: Row) -> str:
    """The value of a feature in words, for one row of the inputs."""
    return TEXTS.get(name, name).format_map(Shown(row))
