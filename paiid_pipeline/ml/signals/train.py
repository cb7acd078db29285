"""Signal models from the warehouse to the registry: data, training, evaluation, gate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from paiid_pipeline.backtest.accounts import Costs
from paiid_pipeline.backtest.prices import HISTORY, PricePanel, price_panel
from paiid_pipeline.backtest.simulation import Options
from paiid_pipeline.backtest.triple_barrier import Barriers
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.registry import ModelSignature, Version
from paiid_pipeline.ml.signals.dataset import SignalData, signal_data
from paiid_pipeline.ml.signals.drift import reference_json
from paiid_pipeline.ml.signals.engines import model_engine, open_installed, rule_engine
from paiid_pipeline.ml.signals.estimators import CLASSES
from paiid_pipeline.ml.signals.evaluation import (
    EvaluationInputs,
    SignalEvaluation,
    evaluate_training,
    importance,
    reliability,
)
from paiid_pipeline.ml.signals.feature_audit import leaking_features
from paiid_pipeline.ml.signals.gate import judge_signals
from paiid_pipeline.ml.signals.installed import REFERENCE, SIGNAL_MODEL
from paiid_pipeline.ml.signals.plots import signal_plots
from paiid_pipeline.ml.signals.training import Training, TrainingConfig, train
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.schemas import EPOCH
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.features import FEATURES
from paiid_pipeline.signals.model_engine import matrix
from paiid_pipeline.signals.risk import RiskInputs
from paiid_pipeline.technicals.adjustment import owned
from paiid_pipeline.trading_calendar import TIMEFRAME, Horizon
from paiid_pipeline.warehouse import Warehouse


def make_signal_data(
    warehouse: Warehouse,
    settings: Settings,
    now: datetime,
    horizon: Horizon,
    barriers: Barriers,
    columns: Mapping[str, pl.Expr] = FEATURES,
) -> SignalData:
    """All stored decisions of a horizon whose label is known by ``now``, for every symbol decided on at the time.

    Raises LookupError with the remedy where there is none.
    """
    indicators, sentiment = stored_decisions(warehouse, horizon, EPOCH, now)
    if indicators.is_empty():
        raise LookupError(f"no {horizon} decision is stored: backfill technical_indicators and symbol_sentiment first")
    grid = stored_grid(warehouse, indicators, horizon, now)
    data = signal_data(indicators, sentiment, grid, settings.decision_lag, barriers, now, columns)
    if data.rows.is_empty():
        raise LookupError(
            f"the outcome of none of {indicators.height} stored {horizon} decisions is known: it takes "
            f"{barriers.bars} bars after a decision; backfill earlier dates of technical_indicators, or wait"
        )
    return data


def stored_decisions(
    warehouse: Warehouse, horizon: Horizon, first: datetime, last: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Indicators and sentiment of all stored decisions, without those on an earlier owner of the ticker."""
    indicators = warehouse.indicators.read(None, horizon, first, last)
    actions = warehouse.corporate_actions.read(indicators["symbol"].unique().to_list(), last)
    dated = indicators.with_columns(known_at=pl.lit(EPOCH))
    kept = owned(dated, actions).drop("known_at")
    return kept, warehouse.symbol_sentiment.read(None, horizon, first, last)


def stored_grid(warehouse: Warehouse, indicators: pl.DataFrame, horizon: Horizon, now: datetime) -> PricePanel:
    symbols = indicators["symbol"].unique().sort().to_list()
    start: datetime = indicators["as_of"].min()  # type: ignore[assignment]
    bars = warehouse.bars.read(symbols, TIMEFRAME[horizon], start - HISTORY, now, now)
    return price_panel(bars, warehouse.corporate_actions.read(symbols, now))


@dataclass(frozen=True)
class TrainedSignalModel:
    """A registered version with its training, evaluation and verdict."""

    version: Version
    training: Training
    evaluation: SignalEvaluation
    importance: Mapping[str, float]
    verdict: GateResult
    plots: Mapping[str, bytes]


@dataclass(frozen=True)
class TradingCosts:
    """Costs of the backtest, and the extent of the feature audit."""

    costs: Costs = field(default_factory=Costs)
    audited: int = 6
    """Decision times at which features are audited for look-ahead."""


def train_signal_model(
    data: SignalData,
    plan: TrainingConfig,
    trading: TradingCosts,
    warehouse: Warehouse,
    settings: Settings,
    store: ModelStore,
    now: datetime,
    say: Callable[[str], None],
    columns: Mapping[str, pl.Expr] = FEATURES,
) -> TrainedSignalModel:
    """Train, evaluate, audit, judge and register; a version that passes becomes champion and is installed at once.

    ``say`` takes lines of progress. Raises ValueError where there is too little history.
    """
    horizon: Horizon = data.rows["horizon"][0]
    training = train(data, plan, now, say)
    inputs = _evaluation_inputs(data, trading, warehouse, settings, now, columns)
    champion = open_installed(settings).champion(horizon)
    earlier = sum(int(version.metrics.get("trials", 0)) for version in store.registry.versions(SIGNAL_MODEL))
    evaluation = evaluate_training(training, inputs, champion, earlier, say)
    say(f"auditing every feature for look-ahead at {trading.audited} decision times")
    caught = leaking_features(warehouse, settings, data, horizon, now, trading.audited, plan.seed, columns)
    verdict = judge_signals(evaluation, caught)
    version, shares, plots = _register(data, training, evaluation, verdict, store)
    if store.registry.promote(SIGNAL_MODEL, version.version, verdict):
        store.registry.install(SIGNAL_MODEL, store.models, store.key.public)
    say(f"version {version.version} {'is the champion' if verdict.promote else 'is not promoted'}")
    return TrainedSignalModel(version, training, evaluation, shares, verdict, plots)


def _evaluation_inputs(
    data: SignalData,
    trading: TradingCosts,
    warehouse: Warehouse,
    settings: Settings,
    now: datetime,
    columns: Mapping[str, pl.Expr],
) -> EvaluationInputs:
    horizon: Horizon = data.rows["horizon"][0]
    first, last = data.rows.select(first=pl.col("as_of").min(), last=pl.col("as_of").max()).row(0)
    indicators, sentiment = stored_decisions(warehouse, horizon, first, last)
    symbols = indicators["symbol"].unique().to_list()
    risk_inputs = RiskInputs(
        actions=warehouse.corporate_actions.versions(symbols, now),
        quarantined=warehouse.quarantine.bars(symbols, first - HISTORY, last),
    )
    return EvaluationInputs(
        indicators,
        sentiment,
        stored_grid(warehouse, indicators, horizon, now),
        rule_engine(settings),
        lambda model: model_engine(settings, model, columns),
        risk_inputs,
        Options(costs=trading.costs, decision_lag=settings.decision_lag),
        data.barriers.bars,
    )


def _register(
    data: SignalData,
    training: Training,
    evaluation: SignalEvaluation,
    verdict: GateResult,
    store: ModelStore,
) -> tuple[Version, Mapping[str, float], Mapping[str, bytes]]:
    shares = importance(training.model, matrix(data.rows, data.features))
    plots = signal_plots(evaluation, reliability(training.forecasts), shares)
    newest = data.rows.tail(1).row(0, named=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / SIGNAL_MODEL
        training.model.save(folder)
        (folder / REFERENCE).write_text(reference_json(data.rows.select(data.features), evaluation.model.ece))
        version = store.registry.register(
            SIGNAL_MODEL,
            folder,
            store.key,
            data_sha256=data.sha256,
            metrics=metrics(training, evaluation),
            parameters=_parameters(data, training),
            documents={
                "evaluation": _document(evaluation),
                "trials": {"trials": [str(each) for each in training.plan.trials], "tried": _tried(training)},
                "importance": dict(shares),
                "verdict": {"promote": verdict.promote, "reasons": list(verdict.reasons)},
            },
            plots=plots,
            interface=ModelSignature(
                inputs=dict.fromkeys(data.features, "double"),
                outputs=[f"p_{name}" for name in CLASSES],
                example={name: newest[name] for name in data.features},
                optional=frozenset(data.features),
            ),
        )
    return version, shares, plots


def metrics(training: Training, evaluation: SignalEvaluation) -> dict[str, float]:
    """The scalar metrics logged of a training; NaN are left out."""
    found = {_NAMED.get(name, name): float(value) for name, value in asdict(evaluation.model).items()}
    found |= {f"{kind}_{name}": getattr(each, name) for kind, each in evaluation.kinds.items() for name in _OF_KINDS}
    for each in evaluation.comparisons:
        name = each.rival.replace(" ", "_")
        found |= {f"sharpe_{name}": each.rival_sharpe, f"better_than_{name}": each.deflated}
    found |= {"sharpe": evaluation.comparisons[0].sharpe, "random_share": evaluation.random_share}
    found |= {"trials": float(len(training.plan.trials)), "trials_ever": float(evaluation.trials)}
    return {name: value for name, value in found.items() if value == value}


_FULL = {"ic": "rank_ic", "gain": "log_loss_gain"}
_NAMED = {f"{name}{end}": f"{full}{end}" for name, full in _FULL.items() for end in ("", "_low", "_high")}
_OF_KINDS = ("accuracy", "mcc", "log_loss", "ece", "ic", "ic_low", "ic_high")


def _parameters(data: SignalData, training: Training) -> dict[str, object]:
    plan = training.plan
    return {
        "horizon": data.rows["horizon"][0], "barriers": data.barriers, "features": len(data.features),
        "rows": data.rows.height, "folds": plan.folds, "embargo": plan.embargo, "seed": plan.seed,
        "chosen": plan.trials[training.chosen[-1]], "shrink": training.model.card.shrink,
    }  # fmt: skip


def _document(evaluation: SignalEvaluation) -> dict[str, object]:
    return {
        "model": asdict(evaluation.model),
        "kinds": {kind: asdict(each) for kind, each in evaluation.kinds.items()},
        "comparisons": [asdict(each) for each in evaluation.comparisons],
        "random_share": evaluation.random_share,
        "trials": evaluation.trials,
        "traded": evaluation.traded.summary.to_dicts(),
    }


def _tried(training: Training) -> list[dict[str, object]]:
    return [asdict(each) for each in training.tried]
