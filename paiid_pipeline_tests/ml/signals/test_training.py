"""The controls: what is planted is found, what is shuffled is not, what looks ahead is refused, the gate can open."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.ml.signals.dataset import SignalData, load_data, save_data
from paiid_pipeline.ml.signals.evaluation import (
    SignalEvaluation,
    block_of,
    compare_returns,
    evaluate_training,
    forecast_quality,
    importance,
    reliability,
)
from paiid_pipeline.ml.signals.gate import judge_signals
from paiid_pipeline.ml.signals.training import Training, TrainingConfig, Trial, fit_logit_scale, train
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.signals.model_engine import matrix
from paiid_pipeline_tests.ml.signals.planted import BARS, LATER, Planted, planted

FEW = (
    Trial(
        "boosted", {"max_depth": 1, "rounds": 40, "learning_rate": 0.05, "subsample": 0.7, "leaf": 0.005, "lambda": 50}
    ),
    Trial("network", {"units": 8, "weight_decay": 0.3, "epochs": 4, "learning_rate": 0.003}),
)
PLAN = TrainingConfig(folds=2, trials=FEW)


def measured(world: Planted, data: SignalData, plan: TrainingConfig = PLAN) -> tuple[Training, SignalEvaluation]:
    training = train(data, plan, LATER)
    return training, evaluate_training(training, world.stage())


@pytest.fixture(scope="module")
def strong() -> tuple[Planted, Training, SignalEvaluation]:
    world = planted(0.35, 30, 300, persistence=0.9)
    return (world, *measured(world, world.data()))


def test_a_signal_that_is_really_there_opens_the_gate(strong: tuple[Planted, Training, SignalEvaluation]) -> None:
    _, training, evaluation = strong
    verdict = judge_signals(evaluation, {})
    assert verdict.promote, verdict.reasons
    assert evaluation.model.ic_low > 0.2
    assert {each.rival for each in evaluation.comparisons} == {"rules", "majority class", "buy and hold", "momentum"}
    assert all("not " not in reason for reason in verdict.reasons)
    shares = importance(training.model, matrix(training.forecasts, training.model.features))
    assert next(iter(shares)) == "volume"
    table = reliability(training.forecasts)
    assert table["observed"][-1] > table["observed"][0] + 0.15
    assert table["decisions"].sum() == training.forecasts.filter(pl.col("barrier") != 0).height


def test_a_feature_that_was_caught_looking_ahead_is_refused_by_name_however_good_the_model(
    strong: tuple[Planted, Training, SignalEvaluation],
) -> None:
    verdict = judge_signals(strong[2], {"volume": "2.0 from what was known by then, but 3.0 stored"})
    assert not verdict.promote
    assert verdict.reasons[0] == "refused: volume looks ahead: 2.0 from what was known by then, but 3.0 stored"


def test_shuffled_labels_give_an_ic_within_noise_and_no_promotion() -> None:
    world = planted(0.35, 30, 250)
    data = world.data()
    dealt = data.rows[np.random.default_rng(0).permutation(data.rows.height)]
    rows = data.rows.with_columns(dealt[name] for name in ("forward_return", "barrier", "barrier_return"))
    _, evaluation = measured(world, SignalData.of(rows, data.features, data.barriers))
    assert evaluation.model.ic_low <= 0 <= evaluation.model.ic_high
    verdict = judge_signals(evaluation, {})
    assert not verdict.promote
    assert any(reason.startswith("does not rank returns beyond noise") for reason in verdict.reasons)


@pytest.mark.slow
def test_a_planted_ic_of_003_is_recovered_within_its_interval() -> None:
    """Of a correlation r, Spearman's coefficient of normal variables is 6 / pi asin(r / 2)."""
    world = planted(0.03, 150, 450)
    training = train(world.data(), replace(PLAN, least_train=0.5), LATER)
    true = 6 / math.pi * math.asin(0.03 / 2)
    found = forecast_quality(training.forecasts, "logits", BARS)
    assert 0 < found.ic_low <= true <= found.ic_high, found
    assert found.ic_high - found.ic_low < 0.03


def test_settings_are_chosen_on_training_rows_alone_and_every_trial_is_counted() -> None:
    """Nothing of the tested span changes what is said of it: with other outcomes there, the forecasts stay."""
    world = planted(0.2, 12, 160)
    data = world.data()
    first = train(data, PLAN, LATER)
    assert len(first.tried) == len(FEW) * (PLAN.folds + 1)
    assert {each.fold for each in first.tried} == {0, 1, 2}
    start = first.forecasts.filter(pl.col("fold") == 1)["as_of"].min()
    late = pl.col("as_of") >= start
    spoilt = data.rows.with_columns(
        pl.when(late).then(-pl.col("barrier")).otherwise("barrier").alias("barrier"),
        pl.when(late).then(pl.lit(0.5)).otherwise("forward_return").alias("forward_return"),
    )
    second = train(SignalData.of(spoilt, data.features, data.barriers), PLAN, LATER)
    logits = [column for column in first.forecasts.columns if column.startswith("logits")]
    assert first.forecasts.select(logits).equals(second.forecasts.select(logits))
    assert first.chosen[:2] == second.chosen[:2]
    assert train(data, PLAN, LATER).forecasts.equals(first.forecasts), "the same seed, the same bits"


def test_no_row_learns_from_an_outcome_that_was_not_known_before_the_test() -> None:
    data = planted(0.2, 8, 120).data()
    training = train(data, replace(PLAN, embargo=timedelta(days=3)), LATER)
    for fold, model in enumerate(training.fold_models):
        begin = training.forecasts.filter(pl.col("fold") == fold)["as_of"].min()
        assert model.card.trained_to + timedelta(days=3) <= begin
    assert training.model.card.trained_to == data.rows["label_end"].max()


def test_too_little_history_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        ValueError, match="only 14 decision times have a known outcome, at least 30 are needed: backfill"
    ):
        train(planted(0.2, 5, 20).data(), PLAN, LATER)
    with pytest.raises(ValueError, match=r"of \d+ times are too few to learn from some of them: backfill"):
        train(planted(0.2, 5, 40).data(), PLAN, LATER)
    data = planted(0.2, 5, 60).data()
    one = SignalData.of(data.rows.with_columns(barrier=pl.lit(1, pl.Int64)), data.features, data.barriers)
    with pytest.raises(ValueError, match="have 1 class: give more history, or barriers that are nearer"):
        train(one, PLAN, LATER)


def test_the_data_are_those_whose_outcome_is_known_and_their_digest_is_of_their_content(tmp_path: Path) -> None:
    world = planted(0.2, 5, 60)
    data = world.data()
    assert data.rows["label_end"].max() <= world.grid.ends[-1] * timedelta(microseconds=1) + BEGINNING
    assert sum(data.balance().values()) == pytest.approx(1)
    path = save_data(data, tmp_path)
    assert path.name == f"{data.sha256}.parquet"
    again = load_data(tmp_path)
    assert again.rows.equals(data.rows)
    assert (again.features, again.barriers) == (data.features, data.barriers)
    data.rows.with_columns(rsi=pl.col("rsi") + 1e-9).write_parquet(path)
    with pytest.raises(ValueError, match="was changed"):
        load_data(tmp_path)
    path.unlink()
    with pytest.raises(LookupError, match="materialize signal_dataset again"):
        load_data(tmp_path)


BEGINNING = pl.Series([0]).cast(pl.Datetime("us", "UTC"))[0]


def test_the_best_factors_are_1_for_logits_that_are_right_and_nothing_for_noise() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(20_000, 3))
    shares = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    labels = (rng.random(len(shares))[:, None] > np.cumsum(shares, axis=1)).sum(axis=1)
    right, loss = fit_logit_scale(np.zeros(3), margins, labels)
    assert (right.level, right.side) == (pytest.approx(1, abs=0.05), pytest.approx(1, abs=0.05))
    half, same = fit_logit_scale(np.zeros(3), 2 * margins, labels)
    assert (half.level, half.side) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.5, abs=0.03))
    assert same == pytest.approx(loss, abs=1e-6)
    opposite, worst = fit_logit_scale(np.zeros(3), -margins, labels)
    assert max(opposite.level, opposite.side) < 0.01
    assert worst == pytest.approx(math.log(3), abs=0.01)


def test_who_knows_how_far_and_not_where_to_is_not_sure_of_the_side() -> None:
    """Margins whose level is right and whose side is noise."""
    rng = np.random.default_rng(0)
    level, noise = rng.normal(size=20_000), rng.normal(size=20_000)
    met = rng.random(20_000) < 2 / (2 + np.exp(-level))
    labels = np.where(met, 2 * rng.integers(0, 2, 20_000), 1)
    margins = np.stack([level - noise, 0 * level, level + noise], axis=1)
    found, _ = fit_logit_scale(np.zeros(3), margins, labels)
    assert found.level == pytest.approx(1, abs=0.07)
    assert found.side < 0.03


def test_staking_more_is_no_better_and_more_trials_ask_for_more() -> None:
    rng = np.random.default_rng(0)
    moments = pl.Series("moment", range(500)).cast(pl.Datetime("us", "UTC"))
    base = rng.normal(0.0005, 0.01, 500)
    frame = pl.DataFrame({"moment": moments, "value": base})
    double = frame.with_columns(value=pl.col("value") * 2)
    same = compare_returns("x", double, frame, 1, block_of(5), 252)
    assert same.difference == pytest.approx(0, abs=1e-12)
    better = frame.with_columns(value=pl.Series(rng.normal(0.0022, 0.01, 500)))
    one, many = (compare_returns("x", better, frame, trials, block_of(5), 252) for trials in (1, 1000))
    assert one.deflated > 0.95 > many.deflated


def test_without_a_position_or_newer_decisions_the_reasons_say_so(
    strong: tuple[Planted, Training, SignalEvaluation],
) -> None:
    world, training, evaluation = strong
    idle = [replace(each, sharpe=math.nan) for each in evaluation.comparisons]
    verdict = judge_signals(replace(evaluation, comparisons=tuple(idle), random_share=math.nan), {})
    assert "not better than rules: it took no position" in verdict.reasons
    assert "not better than random: it took no position" in verdict.reasons
    again = evaluate_training(training, world.stage(), champion=training.model)
    refused = judge_signals(again, {})
    assert isinstance(refused, GateResult)
    assert refused.reasons[0] == "not compared with the champion: 0 bars since its training, 20 are asked for"
    half = evaluate_training(training, world.stage(), champion=training.fold_models[1])
    (champion,) = (each for each in half.comparisons if each.rival == "champion")
    assert champion.bars > 20
    assert abs(champion.difference) < 0.02, "the champion is itself what spoke in the second fold"
