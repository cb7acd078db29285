"""Drift of the champion signal model on stored decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from paiid_pipeline.ml.classification_metrics import expected_calibration_error
from paiid_pipeline.ml.signals.dataset import signal_data
from paiid_pipeline.ml.signals.drift import Drift, DriftLimits, assess
from paiid_pipeline.ml.signals.estimators import SignalModel, probabilities
from paiid_pipeline.ml.signals.installed import InstalledModels
from paiid_pipeline.ml.signals.train import stored_decisions, stored_grid
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.features import FEATURES, computed, joined
from paiid_pipeline.signals.model_engine import matrix
from paiid_pipeline.trading_calendar import Horizon
from paiid_pipeline.warehouse import Warehouse


@dataclass(frozen=True)
class ModelDrift:
    """The drift of a version."""

    version: str
    trained_at: datetime
    drift: Drift
    outcomes: int
    """Decisions since its training with a known label."""


def measure_drift(
    installed: InstalledModels,
    warehouse: Warehouse,
    settings: Settings,
    now: datetime,
    horizon: Horizon,
    recent: timedelta,
    limits: DriftLimits,
) -> ModelDrift | None:
    """The champion's drift over the decisions of the last ``recent``; None without a champion.

    Calibration is of the decisions since its training, once enough labels are known.
    """
    model = installed.champion(horizon)
    if model is None:
        return None
    columns = {name: FEATURES[name] for name in model.features}
    indicators, sentiment = stored_decisions(warehouse, horizon, now - recent, now)
    seen = computed(joined(indicators, sentiment), columns).select(model.features)
    ece, outcomes = _calibration(model, warehouse, settings, now, horizon, limits)
    return ModelDrift(
        model.version, model.card.known_from, assess(installed.reference(horizon), seen, ece, limits), outcomes
    )


def _calibration(
    model: SignalModel, warehouse: Warehouse, settings: Settings, now: datetime, horizon: Horizon, limits: DriftLimits
) -> tuple[float | None, int]:
    """The ECE on decisions after training, None with too few labels, and the number of labels."""
    indicators, sentiment = stored_decisions(warehouse, horizon, model.card.known_from, now)
    if indicators.is_empty():
        return None, 0
    columns: dict[str, pl.Expr] = {name: FEATURES[name] for name in model.features}
    grid = stored_grid(warehouse, indicators, horizon, now)
    rows = signal_data(indicators, sentiment, grid, settings.decision_lag, model.card.barriers, now, columns).rows
    if rows.height < limits.decisions:
        return None, rows.height
    labels = rows["barrier"].to_numpy() + 1
    shares = probabilities(model.logits(matrix(rows, model.features)))
    return expected_calibration_error(labels, shares), rows.height
