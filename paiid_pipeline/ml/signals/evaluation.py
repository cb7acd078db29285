"""How good a signal model is on decisions that it has not seen: as a forecast, and as what is traded on it.

What is traded is compared, on the same decisions and net of the same costs, with the rule engine and with what
knows nothing. Every interval is a block bootstrap over decision times, since decisions of one day are one draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

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
"""With fewer decision times in common nothing is said of which of two is better."""
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class ForecastQuality:
    """Forecasts of which barrier is met first, against what came."""

    rows: int
    times: int
    accuracy: float
    mcc: float
    """Matthews correlation of three classes, in [-1, 1] (Gorodkin 2004)."""
    log_loss: float
    gain: float
    """By how much the log-loss is below that of the classes' shares in training; mean over decision times."""
    gain_low: float
    gain_high: float
    ece: float
    ic: float
    """Rank correlation of up against down with the forward return, mean over decision times."""
    ic_low: float
    ic_high: float


def forecast_quality(forecasts: pl.DataFrame, logits: str, bars: int, seed: int = 0) -> ForecastQuality:
    """Of the column ``logits`` of `Training.forecasts`. ``bars``: how long an outcome runs; blocks are longer."""
    from sklearn.metrics import matthews_corrcoef

    said, base = _array(forecasts[logits]), _array(forecasts["odds_base"])
    labels = forecasts["barrier"].to_numpy() + 1
    at = np.arange(len(labels))
    shares = probabilities(said)
    losses, base_losses = (-np.log(each[at, labels]) for each in (shares, probabilities(base)))
    scored = forecasts.select(
        "as_of",
        "forward_return",
        pl.Series("score", said[:, UP] - said[:, DOWN]),
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
    """So many decision times are one block: outcomes of neighbours overlap for ``bars``."""
    return max(2 * bars, 10)


@dataclass(frozen=True)
class Comparison:
    """What was traded on the model's forecasts, against a rival, over the bars that both have."""

    rival: str
    sharpe: float
    """A year, net of costs at the middle commission; NaN where nothing was traded."""
    rival_sharpe: float
    difference: float
    """Of the means of both returns, each in units of its own deviation; a bar."""
    low: float
    high: float
    deflated: float
    """The probability that the difference is above 0, though this is the best of all trials."""
    bars: int


@dataclass(frozen=True)
class SignalEvaluation:
    """All that is known of a trained model before it is registered."""

    kinds: Mapping[str, ForecastQuality]
    """Of each kind's best trials."""
    model: ForecastQuality
    """Of the trials chosen whatever their kind: what is put to the gate."""
    comparisons: tuple[Comparison, ...]
    random_share: float
    """The share of strategies with the model's own positions, dealt out at random, that do no worse."""
    traded: Backtest
    rivals: Mapping[str, Floats]
    """Equity of each rival and of the model, over the bars of ``traded``."""
    trials: int
    """How many choices have been tried, earlier trainings included."""


EngineFactory = Callable[[Model], ModelGenerator]


@dataclass(frozen=True)
class EvaluationInputs:
    """What decisions are made again and traded on."""

    indicators: pl.DataFrame
    sentiment: pl.DataFrame
    grid: PricePanel
    rules: SignalGenerator
    ml: EngineFactory
    risk_inputs: RiskInputs
    options: Options
    bars: int
    """How long an outcome runs."""


def evaluate_training(
    training: Training,
    stage: EvaluationInputs,
    champion: SignalModel | None = None,
    earlier_trials: int = 0,
    log: Callable[[str], None] = lambda _: None,
) -> SignalEvaluation:
    """Measure the forecasts of a training and trade them.

    A ``champion`` is compared on the decisions after it was trained, and on no others. Raises ValueError where
    there is no bar after any decision.
    """
    forecasts, seed = training.forecasts, training.plan.seed
    trials = len(training.plan.trials) + earlier_trials
    options = replace(stage.options, trials=trials, seed=seed)
    log("trading the model's decisions")
    spoken = _out_of_fold_signals(training, stage)
    ours = backtest(spoken, stage.grid, options)
    log("trading the rivals' decisions")
    once = replace(options, draws=1)
    rules = _decided(stage.rules, stage, forecasts, stage.risk_inputs)
    rivals = {
        "rules": _traded(rules, stage, once) if rules.height else _returns(ours).with_columns(value=pl.lit(0.0)),
        "majority class": _returns(backtest(_majority(forecasts), stage.grid, once)),
        "buy and hold": _returns(ours, "buy and hold"),
        "momentum": _returns(ours, "momentum"),
    }
    mine, block, periods = _returns(ours), block_of(stage.bars), stage.grid.bars_a_year
    comparisons = [compare_returns(name, mine, each, trials, block, periods, seed) for name, each in rivals.items()]
    if champion is not None:
        later = forecasts.filter(pl.col("as_of") > champion.card.trained_to)
        theirs = _traded(
            _decided(stage.ml(_WithoutAttributions(champion)), stage, later, stage.risk_inputs), stage, once
        )
        # From cash again, as the champion starts there.
        same = _traded(spoken.join(later, on=DECISION_KEY, how="semi", maintain_order="left"), stage, once)
        comparisons.append(compare_returns(CHAMPION, same, theirs, trials, block, periods, seed))
    kinds = sorted({trial.kind for trial in training.plan.trials})
    return SignalEvaluation(
        kinds={kind: forecast_quality(forecasts, f"odds_{kind}", stage.bars, seed) for kind in kinds},
        model=forecast_quality(forecasts, "odds", stage.bars, seed),
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
    """Two series of returns (moment, value) over the moments that both have."""
    both = mine.join(theirs, on="moment", suffix="_theirs").sort("moment")
    own, other = (both[name].to_numpy() for name in ("value", "value_theirs"))
    difference = _scaled(own) - _scaled(other)
    low, high = block_bootstrap(difference, block, seed=seed)
    mean = float(np.mean(difference)) if len(difference) else math.nan
    deflated = deflated_sharpe(difference, trials)
    return Comparison(rival, sharpe(own, periods), sharpe(other, periods), mean, low, high, deflated, both.height)


def _scaled(returns: Floats) -> Floats:
    """In units of their own deviation, so that a strategy is not better for staking more; 0 where nothing moved."""
    spread = float(np.std(returns)) if len(returns) else 0.0
    return returns / spread if spread > _NEGLIGIBLE else np.zeros_like(returns)


def _out_of_fold_signals(training: Training, stage: EvaluationInputs) -> pl.DataFrame:
    """The ML engine's signals of every tested decision, each by the model of its fold."""
    said = empty(SIGNALS)
    for fold, model in enumerate(training.fold_models):
        earlier = pl.concat([stage.risk_inputs.earlier, said.select(PRIOR_POSITIONS.keys())])
        rows = training.forecasts.filter(pl.col("fold") == fold)
        generator = stage.ml(_WithoutAttributions(model))
        said = pl.concat([said, _decided(generator, stage, rows, replace(stage.risk_inputs, earlier=earlier))])
    if said.is_empty():
        raise ValueError("the engine could decide none of the tested decisions: see what the validator withholds")
    return said


def _decided(
    generator: SignalGenerator, stage: EvaluationInputs, decisions: pl.DataFrame, risk_inputs: RiskInputs
) -> pl.DataFrame:
    asked = stage.indicators.join(decisions, on=DECISION_KEY, how="semi", maintain_order="left")
    return generator.decide(asked, stage.sentiment, risk_inputs)[0]


def _traded(signals: pl.DataFrame, stage: EvaluationInputs, options: Options) -> pl.DataFrame:
    """The returns of some signals; none where none of them has a bar after it."""
    try:
        return _returns(backtest(signals, stage.grid, options))
    except ValueError:
        return _RETURNS.clear()


@dataclass(frozen=True)
class _WithoutAttributions:
    """A model whose decisions are traded and not read: what it says is the same, why takes no time."""

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
    """Every decision on the side that was met first more often in its fold's training."""
    base = _array(forecasts["odds_base"])
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
    """How often up was met before down, by how likely that was said to be: (said, came, decisions), in equal groups."""
    logits = _array(forecasts["odds"])
    said = 1.0 / (1.0 + np.exp(logits[:, DOWN] - logits[:, UP]))
    met = forecasts.select("barrier").with_columns(pl.Series("said", said)).filter(pl.col("barrier") != 0).sort("said")
    group = (pl.int_range(pl.len()) * bins // pl.len()).alias("group")
    return (
        met.with_columns(group)
        .group_by("group")
        .agg(pl.col("said").mean(), (pl.col("barrier") == 1).mean().alias("came"), pl.len().alias("decisions"))
        .sort("group")
        .drop("group")
    )


def importance(model: SignalModel, values: Floats, rows: int = 500) -> dict[str, float]:
    """The mean size of each feature's attribution over the newest rows, the largest first."""
    shares = np.abs(model.attributions(values[-rows:]))[:, :-1]
    means = dict(zip(model.features, np.mean(shares, axis=0).tolist(), strict=True))
    return dict(sorted(means.items(), key=lambda each: -each[1]))


def tested_until(forecasts: pl.DataFrame) -> tuple[datetime, datetime]:
    """The first and the last tested decision."""
    return forecasts.select(first=pl.col("as_of").min(), last=pl.col("as_of").max()).row(0)
