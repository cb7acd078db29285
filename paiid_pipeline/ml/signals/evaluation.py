"""Out-of-sample evaluation of a signal model: its forecasts, and a backtest of its signals.

The backtest is compared, on the same decisions and net of the same costs, with the rule engine and with uninformed
strategies. Intervals are block bootstraps over decision times, since decisions of one time are correlated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats
from paiid_pipeline.backtest.prices import PricePanel
from paiid_pipeline.backtest.return_statistics import block_bootstrap, deflated_sharpe, rank_ic, sharpe
from paiid_pipeline.backtest.simulation import Backtest, Options, backtest
from paiid_pipeline.ml.classification_metrics import expected_calibration_error
from paiid_pipeline.ml.signals.estimators import CLASSES, SignalModel, probabilities
from paiid_pipeline.ml.signals.training import Training
from paiid_pipeline.schemas import DECISION_KEY, PRIOR_POSITIONS, SIGNALS, empty
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.model_engine import DOWN, UP, Model, ModelGenerator
from paiid_pipeline.signals.risk import RiskInputs

MIN_MOMENTS = 20
"""Minimum common decision times for a comparison."""
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class ForecastQuality:
    """Metrics of forecasts of which barrier is hit first."""

    rows: int
    times: int
    accuracy: float
    mcc: float
    """Matthews correlation of three classes, in [-1, 1] (Gorodkin 2004)."""
    log_loss: float
    gain: float
    """Log-loss of the class frequencies in training less the model's; mean over decision times."""
    gain_low: float
    gain_high: float
    ece: float
    ic: float
    """Rank correlation of the logits of up against down with the forward return; mean over decision times."""
    ic_low: float
    ic_high: float


def forecast_quality(forecasts: pl.DataFrame, logits: str, bars: int, seed: int = 0) -> ForecastQuality:
    """Metrics of the column ``logits`` of `Training.forecasts`. ``bars``: the label horizon, which blocks exceed."""
    from sklearn.metrics import matthews_corrcoef

    found, base = _array(forecasts[logits]), _array(forecasts["logits_base"])
    labels = forecasts["barrier"].to_numpy() + 1
    at = np.arange(len(labels))
    shares = probabilities(found)
    losses, base_losses = (-np.log(each[at, labels]) for each in (shares, probabilities(base)))
    scored = forecasts.select(
        "as_of",
        "forward_return",
        pl.Series("score", found[:, UP] - found[:, DOWN]),
        pl.Series("gain", base_losses - losses),
    )
    within = rank_ic(scored, "score", "forward_return", "as_of")["ic"].to_numpy()
    gains = scored.group_by("as_of").agg(pl.col("gain").mean()).sort("as_of")["gain"].to_numpy()
    block = block_of(bars)
    predicted = shares.argmax(axis=1)
    return ForecastQuality(
        len(labels),
        len(gains),
        float(np.mean(predicted == labels)),
        float(matthews_corrcoef(labels, predicted)),
        float(np.mean(losses)),
        float(np.mean(gains)),
        *block_bootstrap(gains, block, seed=seed),
        expected_calibration_error(labels, shares),
        float(np.mean(within)) if len(within) else math.nan,
        *block_bootstrap(within, block, seed=seed),
    )


def block_of(bars: int) -> int:
    """The block length in decision times: labels of neighbours overlap for ``bars``."""
    return max(2 * bars, 10)


@dataclass(frozen=True)
class Comparison:
    """The model's backtest against a rival's, over their common bars."""

    rival: str
    sharpe: float
    """Annualised, net of costs at the middle commission; NaN without a position."""
    rival_sharpe: float
    difference: float
    """Difference of the mean returns a bar, each over its own standard deviation."""
    low: float
    high: float
    deflated: float
    """Deflated Sharpe: probability that the difference is above 0, given the number of trials."""
    bars: int


@dataclass(frozen=True)
class SignalEvaluation:
    """The evaluation of a training, for the gate and the registry."""

    kinds: Mapping[str, ForecastQuality]
    """By kind, its best trials."""
    model: ForecastQuality
    """The trials chosen of any kind, which the gate judges."""
    comparisons: tuple[Comparison, ...]
    random_share: float
    """The fraction of random permutations of the model's positions that do no worse."""
    traded: Backtest
    rivals: Mapping[str, Floats]
    """Equity of each rival and of the model, over the bars of ``traded``."""
    trials: int
    """The number of trials, earlier trainings included."""


EngineFactory = Callable[[Model], ModelGenerator]


@dataclass(frozen=True)
class EvaluationInputs:
    """The data and engines that out-of-fold decisions are made and traded with."""

    indicators: pl.DataFrame
    sentiment: pl.DataFrame
    grid: PricePanel
    rules: SignalGenerator
    ml: EngineFactory
    risk_inputs: RiskInputs
    options: Options
    bars: int
    """The label horizon."""


def evaluate_training(
    training: Training,
    inputs: EvaluationInputs,
    champion: SignalModel | None = None,
    earlier_trials: int = 0,
    log: Callable[[str], None] = lambda _: None,
) -> SignalEvaluation:
    """Evaluate the out-of-fold forecasts of a training and backtest them.

    A ``champion`` is compared only on decisions after its training. Raises ValueError where there is no bar after any
    decision.
    """
    forecasts, seed = training.forecasts, training.plan.seed
    trials = len(training.plan.trials) + earlier_trials
    options = replace(inputs.options, trials=trials, seed=seed)
    log("backtesting the model's decisions")
    signals = _out_of_fold_signals(training, inputs)
    ours = backtest(signals, inputs.grid, options)
    log("backtesting the rivals' decisions")
    once = replace(options, draws=1)
    rules = _decided(inputs.rules, inputs, forecasts, inputs.risk_inputs)
    rivals = {
        "rules": _traded(rules, inputs, once) if rules.height else _returns(ours).with_columns(value=pl.lit(0.0)),
        "majority class": _returns(backtest(_majority(forecasts), inputs.grid, once)),
        "buy and hold": _returns(ours, "buy and hold"),
        "momentum": _returns(ours, "momentum"),
    }
    mine, block, periods = _returns(ours), block_of(inputs.bars), inputs.grid.bars_a_year
    comparisons = [compare_returns(name, mine, each, trials, block, periods, seed) for name, each in rivals.items()]
    if champion is not None:
        later = forecasts.filter(pl.col("as_of") > champion.card.trained_to)
        theirs = _traded(
            _decided(inputs.ml(_WithoutAttributions(champion)), inputs, later, inputs.risk_inputs), inputs, once
        )
        # From cash, as the champion's backtest starts.
        same = _traded(signals.join(later, on=DECISION_KEY, how="semi", maintain_order="left"), inputs, once)
        comparisons.append(compare_returns(CHAMPION, same, theirs, trials, block, periods, seed))
    kinds = sorted({trial.kind for trial in training.plan.trials})
    return SignalEvaluation(
        kinds={kind: forecast_quality(forecasts, f"logits_{kind}", inputs.bars, seed) for kind in kinds},
        model=forecast_quality(forecasts, "logits", inputs.bars, seed),
        comparisons=tuple(comparisons),
        random_share=ours.random_share,
        traded=ours,
        rivals={name: _equity(mine, each) for name, each in {"model": mine, **rivals}.items()},
        trials=trials,
    )


CHAMPION = "champion"


def compare_returns(
    rival: str, mine: pl.DataFrame, theirs: pl.DataFrame, trials: int, block: int, periods: float, seed: int = 0
) -> Comparison:
    """Compare two series of returns (moment, value) over their common times."""
    both = mine.join(theirs, on="moment", suffix="_theirs").sort("moment")
    own, other = (both[name].to_numpy() for name in ("value", "value_theirs"))
    difference = _scaled(own) - _scaled(other)
    low, high = block_bootstrap(difference, block, seed=seed)
    mean = float(np.mean(difference)) if len(difference) else math.nan
    deflated = deflated_sharpe(difference, trials)
    return Comparison(rival, sharpe(own, periods), sharpe(other, periods), mean, low, high, deflated, both.height)


def _scaled(returns: Floats) -> Floats:
    """Returns over their standard deviation, so that leverage does not matter; 0 where they are constant."""
    spread = float(np.std(returns)) if len(returns) else 0.0
    return returns / spread if spread > _NEGLIGIBLE else np.zeros_like(returns)


def _out_of_fold_signals(training: Training, inputs: EvaluationInputs) -> pl.DataFrame:
    """`schemas.SIGNALS` of the ML engine for every tested decision, each by the model of its fold."""
    made = empty(SIGNALS)
    for fold, model in enumerate(training.fold_models):
        earlier = pl.concat([inputs.risk_inputs.earlier, made.select(PRIOR_POSITIONS.keys())])
        rows = training.forecasts.filter(pl.col("fold") == fold)
        generator = inputs.ml(_WithoutAttributions(model))
        made = pl.concat([made, _decided(generator, inputs, rows, replace(inputs.risk_inputs, earlier=earlier))])
    if made.is_empty():
        raise ValueError("the engine could decide none of the tested decisions: see what the validator withholds")
    return made


def _decided(
    generator: SignalGenerator, inputs: EvaluationInputs, decisions: pl.DataFrame, risk_inputs: RiskInputs
) -> pl.DataFrame:
    tested = inputs.indicators.join(decisions, on=DECISION_KEY, how="semi", maintain_order="left")
    return generator.decide(tested, inputs.sentiment, risk_inputs)[0]


def _traded(signals: pl.DataFrame, inputs: EvaluationInputs, options: Options) -> pl.DataFrame:
    """The returns of signals; empty where none has a bar after it."""
    try:
        return _returns(backtest(signals, inputs.grid, options))
    except ValueError:
        return _RETURNS.clear()


@dataclass(frozen=True)
class _WithoutAttributions:
    """A model without attributions: a backtest needs none, and they dominate the cost."""

    model: Model

    @property
    def version(self) -> str:
        return self.model.version

    @property
    def features(self) -> tuple[str, ...]:
        return self.model.features

    def logits(self, values: Floats) -> Floats:
        return self.model.logits(values)

    def attributions(self, values: Floats) -> Floats:
        return np.zeros((len(values), len(self.features) + 1))


def _majority(forecasts: pl.DataFrame) -> pl.DataFrame:
    """Every decision on the side that was hit more often in its fold's training rows."""
    base = _array(forecasts["logits_base"])
    side = pl.Series("strength", np.sign(base[:, UP] - base[:, DOWN]), dtype=pl.Float64)
    words = pl.when(side > 0).then(pl.lit("BUY")).when(side < 0).then(pl.lit("SELL")).otherwise(pl.lit("HOLD"))
    given = forecasts.select(*DECISION_KEY, side, signal=words, confidence=pl.lit(0.5))
    rest = {name: pl.lit(None, dtype=kind) for name, kind in SIGNALS.items() if name not in given.columns}
    return given.with_columns(**rest).select(SIGNALS.keys())


_RETURNS = pl.DataFrame(schema={"moment": pl.Datetime("us", "UTC"), "value": pl.Float64})


def _returns(result: Backtest, strategy: str = "signals") -> pl.DataFrame:
    """The return of each bar at the middle commission: moment, value."""
    levels = result.curves["commission_bp"].unique().sort()
    curve = result.curves.filter(
        (pl.col("strategy") == strategy) & (pl.col("commission_bp") == levels[len(levels) // 2])
    )
    equity = curve["equity"].to_numpy()
    before = np.concatenate([[1.0], equity[:-1]])
    value = np.divide(equity, before, out=np.ones_like(equity), where=before > 0) - 1.0
    return curve.select("moment", pl.Series("value", value))


def _equity(over: pl.DataFrame, returns: pl.DataFrame) -> Floats:
    values = over.select("moment").join(returns, on="moment", how="left", maintain_order="left")["value"].fill_null(0.0)
    return np.asarray(np.cumprod(1.0 + values.to_numpy()), dtype=np.float64)


def _array(logits: pl.Series) -> Floats:
    return np.asarray(logits.to_list(), dtype=np.float64).reshape(-1, len(CLASSES))


def reliability(forecasts: pl.DataFrame, bins: int = 10) -> pl.DataFrame:
    """Reliability of P(up before down) in equal-count bins: mean forecast, observed frequency, decisions."""
    logits = _array(forecasts["logits"])
    forecast = 1.0 / (1.0 + np.exp(logits[:, DOWN] - logits[:, UP]))
    scored = forecasts.select("barrier", pl.Series("forecast", forecast))
    met = scored.filter(pl.col("barrier") != 0).sort("forecast")
    group = (pl.int_range(pl.len()) * bins // pl.len()).alias("group")
    return (
        met.with_columns(group)
        .group_by("group")
        .agg(pl.col("forecast").mean(), (pl.col("barrier") == 1).mean().alias("observed"), pl.len().alias("decisions"))
        .sort("group")
        .drop("group")
    )


def importance(model: SignalModel, values: Floats, rows: int = 500) -> dict[str, float]:
    """Mean absolute attribution of each feature over the latest ``rows``, largest first."""
    shares = np.abs(model.attributions(values[-rows:]))[:, :-1]
    means = dict(zip(model.features, np.mean(shares, axis=0).tolist(), strict=True))
    return dict(sorted(means.items(), key=lambda each: -each[1]))
