"""The signal models: training data, training and gate, and drift of the champion."""

from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from paiid_pipeline import quality
from paiid_pipeline.backtest.accounts import Costs
from paiid_pipeline.backtest.triple_barrier import Barriers
from paiid_pipeline.defs.cadence import CADENCE_TAG
from paiid_pipeline.defs.factories import OWNERS, background_job, scheduled
from paiid_pipeline.defs.ingestion.assets import market_bars
from paiid_pipeline.defs.metadata import bullets, picture, table
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.row_checks import row_check_result
from paiid_pipeline.defs.sentiment.assets import symbol_sentiment
from paiid_pipeline.defs.technicals.assets import technical_indicators
from paiid_pipeline.ml.model_metrics import performance
from paiid_pipeline.ml.signals.dataset import SignalData, load_data, save_data
from paiid_pipeline.ml.signals.drift import DriftLimits
from paiid_pipeline.ml.signals.drift_report import ModelDrift, measure_drift
from paiid_pipeline.ml.signals.engines import open_installed
from paiid_pipeline.ml.signals.train import TradingCosts, TrainedSignalModel, make_signal_data, train_signal_model
from paiid_pipeline.ml.signals.training import TrainingConfig
from paiid_pipeline.trading_calendar import HORIZONS, Horizon

_TAGS = {"layer": "model", "cadence": "on_drift"}
_LONGEST = "14400"
_NONE = "no signal model of this horizon is installed"


class LabelConfig(dg.Config):
    """Which decisions are labelled, and the barriers of the label."""

    horizon: str = Field(default="daily", description="daily or intraday.")
    bars: int = Field(default=5, ge=1, description="Bars to the vertical barrier, and of the forward return.")
    upper: float = Field(default=2.0, gt=0, description="Upper barrier, in units of the volatility at the decision.")
    lower: float = Field(default=2.0, gt=0, description="Lower barrier, in the same units.")


class SignalTrainingConfig(dg.Config):
    """How models are trained and compared."""

    folds: int = Field(default=4, ge=1, description="Test folds of the walk-forward, in time order.")
    embargo_days: float = Field(default=1.0, ge=0, description="Between the last training label and a test fold.")
    seed: int = 0
    threads: int = Field(default=1, ge=1)
    commission_bp: list[float] = Field(default=[0.0, 5.0, 10.0], description="Per side; the gate uses the middle one.")
    slippage_bp: float = Field(default=1.0, description="Per side, on top of every commission.")
    audited: int = Field(default=6, ge=1, description="Decision times at which all features are recomputed.")


class DriftConfig(dg.Config):
    """The window of recent decisions, and the limits beyond which models are retrained."""

    horizon: str = Field(default="daily", description="Of the champion: daily or intraday.")
    days: float = Field(default=30.0, gt=0)
    psi: float = DriftLimits.psi
    ks: float = DriftLimits.ks
    share: float = DriftLimits.share
    ece: float = DriftLimits.ece
    decisions: int = DriftLimits.decisions


@dg.asset(
    group_name="models",
    deps=[technical_indicators, symbol_sentiment, market_bars],
    owners=OWNERS,
    kinds={"polars", "parquet"},
    tags=_TAGS,
)
def signal_dataset(config: LabelConfig, pipeline: PipelineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Features as known at each stored decision, with triple-barrier labels and forward returns: hashed, as Parquet.

    The label is the barrier that the price meets first after the next open, and the return runs from that open;
    only decisions whose outcome is known by now are included.
    """
    horizon = _horizon(config.horizon)
    barriers = Barriers(config.bars, config.upper, config.lower)
    try:
        data = make_signal_data(pipeline.warehouse, pipeline.settings, pipeline.clock.now(), horizon, barriers)
    except (LookupError, ValueError) as error:
        raise dg.Failure(str(error)) from error
    path = save_data(data, pipeline.store.signals)
    return dg.MaterializeResult(metadata={**_described(data), "file": dg.MetadataValue.path(path)})


def _horizon(name: str) -> Horizon:
    found = next((each for each in HORIZONS if each == name), None)
    if found is None:
        raise dg.Failure(f"horizon {name!r} is not one of {', '.join(HORIZONS)}")
    return found


def _described(data: SignalData) -> dict[str, Any]:
    first, last, known = data.rows.select(
        first=pl.col("as_of").min(), last=pl.col("as_of").max(), known=pl.col("label_end").max()
    ).row(0)
    columns = [dg.TableColumn(name, str(kind)) for name, kind in data.rows.schema.items()]
    return {
        "dagster/row_count": data.rows.height,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "symbols": data.rows["symbol"].n_unique(),
        "decision times": data.rows["as_of"].n_unique(),
        "first": dg.MetadataValue.timestamp(first),
        "last": dg.MetadataValue.timestamp(last),
        "last outcome known at": dg.MetadataValue.timestamp(known),
        "label balance": table(pl.DataFrame([data.balance()])),
        "features": len(data.features),
        "barriers": str(data.barriers),
        "sha256": data.sha256,
    }


@dg.asset_check(
    asset=signal_dataset,
    name="point_in_time",
    blocking=True,
    description="Every row satisfies: " + "; ".join(quality.SIGNAL_ROWS) + "; and no outcome lies in the future.",
)
def signal_dataset_is_point_in_time(pipeline: PipelineResource) -> dg.AssetCheckResult:
    rows = load_data(pipeline.store.signals).rows
    known = pl.col("label_end") <= pipeline.clock.now()
    return row_check_result(rows, {**quality.SIGNAL_ROWS, "the outcome is known by now": known})


@dg.asset(
    group_name="models",
    deps=[signal_dataset],
    owners=OWNERS,
    kinds={"xgboost", "pytorch", "mlflow"},
    tags=_TAGS,
    check_specs=[
        dg.AssetCheckSpec(
            "promotion",
            asset="signal_model",
            blocking=True,
            description="Significantly better than the rules, the champion and uninformed baselines, corrected for the "
            "number of trials, and no feature looks ahead. A version that passes is deployed at once; one that fails "
            "stays registered, and the run succeeds.",
        )
    ],
)
def signal_model(
    context: dg.AssetExecutionContext, config: SignalTrainingConfig, pipeline: PipelineResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Random forest, boosted trees and a neural network, tuned inside walk-forward; the best, signed and registered.

    Hyperparameters are chosen on training rows alone, with purge and embargo. Forecasts are evaluated out of sample,
    and backtested net of costs.
    """
    now, say = pipeline.clock.now(), context.log.info
    plan = TrainingConfig(
        folds=config.folds, embargo=timedelta(days=config.embargo_days), seed=config.seed, threads=config.threads
    )
    trading = TradingCosts(Costs(config.commission_bp, config.slippage_bp), config.audited)
    try:
        data = load_data(pipeline.store.signals)
        warehouse, settings = pipeline.warehouse, pipeline.settings
        trained = train_signal_model(data, plan, trading, warehouse, settings, pipeline.store, now, say)
    except (LookupError, ValueError) as error:
        raise dg.Failure(str(error)) from error
    warehouse.model_metrics.write(performance(trained.version, trained.verdict, now, context.run.run_id))
    return dg.MaterializeResult(metadata=_reported(trained), check_results=[_promotion(trained)])


def _promotion(trained: TrainedSignalModel) -> dg.AssetCheckResult:
    verdict = trained.verdict
    return dg.AssetCheckResult(
        passed=verdict.promote,
        check_name="promotion",
        severity=dg.AssetCheckSeverity.WARN,
        description=_outcome(trained),
        metadata={"version": trained.version.version, "why": bullets(verdict.reasons, empty="nothing")},
    )


def _outcome(trained: TrainedSignalModel) -> str:
    version = trained.version.version
    if trained.verdict.promote:
        return f"promoted: version {version} is the champion and decides from now on"
    return f"no promotion: version {version} is kept and decides nothing; the run has done what it should"


def _reported(trained: TrainedSignalModel) -> dict[str, Any]:
    evaluation, training = trained.evaluation, trained.training
    qualities = [("chosen", evaluation.model), *evaluation.kinds.items()]
    return {
        "verdict": _outcome(trained),
        "why": bullets(trained.verdict.reasons, empty="nothing"),
        "forecasts": table(pl.DataFrame([{"model": n, **vars(each)} for n, each in qualities])),
        "rivals": table(pl.DataFrame([vars(each) for each in evaluation.comparisons])),
        "traded": table(evaluation.traded.summary),
        **{name: picture(name, image) for name, image in trained.plots.items()},
        "chosen": str(training.plan.trials[training.chosen[-1]]),
        "trials": len(training.plan.trials),
        "trials of all trainings": evaluation.trials,
        "dagster/row_count": evaluation.model.rows,
        "version": trained.version.version,
        "data sha256": trained.version.data_sha256,
        "digest": trained.version.digest,
        "MLflow run": trained.version.run_id,
    }


@dg.asset(
    group_name="models",
    deps=[signal_model, technical_indicators, symbol_sentiment],
    owners=OWNERS,
    kinds={"polars"},
    tags={"layer": "evaluation", "cadence": "daily"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=4), warn_window=timedelta(days=2)),
    check_specs=[
        dg.AssetCheckSpec(
            "within_limits",
            asset="signal_drift",
            blocking=True,
            description="Feature drift from the champion's training data and its calibration error are within limits. "
            "Beyond them a sensor requests a retraining.",
        )
    ],
)
def signal_drift(config: DriftConfig, pipeline: PipelineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Drift of recent decisions from the champion's training data: PSI and KS by feature, and calibration error."""
    limits = DriftLimits(config.psi, config.ks, config.share, config.ece, config.decisions)
    installed, now = open_installed(pipeline.settings), pipeline.clock.now()
    horizon, recent = _horizon(config.horizon), timedelta(days=config.days)
    found = measure_drift(installed, pipeline.warehouse, pipeline.settings, now, horizon, recent, limits)
    reasons = found.drift.reasons if found else ()
    return dg.MaterializeResult(
        metadata={"retrain": bool(reasons), **(_watched(found) if found else {"model": installed.why_none or _NONE})},
        check_results=[
            dg.AssetCheckResult(
                passed=not reasons,
                check_name="within_limits",
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(reasons) or (installed.why_none or ("within the limits" if found else _NONE)),
                metadata={name: value for name, value in vars(limits).items()},
            )
        ],
    )


def _watched(found: ModelDrift) -> dict[str, Any]:
    drift = found.drift
    return {
        "model": found.version,
        "trained at": dg.MetadataValue.timestamp(found.trained_at),
        "why": bullets(drift.reasons, empty="nothing"),
        "features": table(drift.features),
        "drifted": bullets(drift.drifted, empty="nothing"),
        "recent decisions": drift.decisions,
        "calibration error": drift.ece if drift.ece is not None else "too few outcomes since training",
        "calibration error in training": drift.ece_before,
        "outcomes since training": found.outcomes,
        "dagster/row_count": drift.features.height,
    }


signal_training_job = background_job(
    "signal_training_job",
    signal_dataset,
    signal_model,
    tags={CADENCE_TAG: "signal_training", "dagster/max_runtime": _LONGEST},
    description="The dataset of all decisions so far, signal models trained on it, and their gate.",
)
signal_drift_job = background_job(
    "signal_drift_job",
    signal_drift,
    tags={CADENCE_TAG: "signal_drift"},
    description="Drift of the champion among the signal models.",
)
signal_drift_schedule = scheduled(
    signal_drift_job, "30 5 * * *", "Every day: drift of the champion among the signal models."
)
