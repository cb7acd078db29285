"""Signal models: the same bits in any company, exact attributions, holes, deterministic fits, files without code."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from paiid_pipeline.arrays import Floats
from paiid_pipeline.backtest.triple_barrier import Barriers
from paiid_pipeline.lookahead.audit import audit
from paiid_pipeline.lookahead.decision_path import decision_path
from paiid_pipeline.ml.signals.engines import model_engine, rule_engine
from paiid_pipeline.ml.signals.estimators import (
    CARD,
    EstimatorKind,
    LogitScale,
    MlpEstimator,
    ModelCard,
    SignalModel,
    TreeEstimator,
    load_card,
    load_model,
    probabilities,
)
from paiid_pipeline.ml.signals.training import TRIALS
from paiid_pipeline.ml.signing import SigningKey, UntrustedModelError, sign_folder, verify_folder
from paiid_pipeline.settings import load_settings
from paiid_pipeline.signals.features import FEATURES, features
from paiid_pipeline.signals.model_engine import matrix
from paiid_pipeline_tests.lookahead.test_audit import history

NOW = datetime(2020, 1, 2, tzinfo=UTC)
PRIOR = np.log(np.array([0.3, 0.4, 0.3]))


def rows(count: int, seed: int = 0) -> tuple[Floats, np.ndarray]:
    """Values with holes, the first of which tells the class."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 5)) * np.array([1, 10, 0.1, 1, 1])
    told = 0.6 * values[:, 0] + rng.logistic(size=count)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 4] = np.nan
    return values, np.where(told > 0.6, 2, np.where(told < -0.6, 0, 1)).astype(np.int64)


def fitted(kind: EstimatorKind, seed: int = 1) -> SignalModel:
    trial = next(trial for trial in TRIALS if trial.kind == kind)
    learner = MlpEstimator if kind == "network" else TreeEstimator
    core = learner.fit(*rows(1500), PRIOR, trial.settings, seed, 1)
    names = tuple(f"f{place}" for place in range(5))
    return SignalModel(
        ModelCard(kind, names, "daily", Barriers(), NOW, NOW, tuple(PRIOR.tolist()), LogitScale(0.7, 0.8)), core
    )


@pytest.fixture(params=["forest", "boosted", "network"])
def model(request: pytest.FixtureRequest) -> SignalModel:
    return fitted(request.param)


def test_a_row_has_the_same_bits_alone_and_in_any_company(model: SignalModel) -> None:
    values, _ = rows(700, seed=2)
    logits, shares = model.logits(values), model.attributions(values)
    order = np.random.default_rng(0).permutation(len(values))
    assert np.array_equal(model.logits(values[order]), logits[order])
    assert np.array_equal(model.attributions(values[order]), shares[order])
    for place in range(0, 700, 7):
        assert np.array_equal(model.logits(values[place : place + 1])[0], logits[place])
        assert np.array_equal(model.attributions(values[place : place + 1])[0], shares[place])
    assert model.logits(values[:0]).shape == (0, 3)
    assert model.attributions(values[:0]).shape == (0, 6)


def test_attributions_add_up_to_the_odds_and_a_feature_that_tells_nothing_gets_nothing(model: SignalModel) -> None:
    values, _ = rows(300, seed=3)
    shares, logits = model.attributions(values), model.logits(values)
    np.testing.assert_allclose(shares.sum(axis=1), logits[:, 2] - logits[:, 0], atol=2e-6)
    sizes = np.abs(shares[:, :-1]).mean(axis=0)
    assert sizes.argmax() == 0
    assert np.ptp(shares[:, 4]) < 1e-9, "a feature that is never known"


def test_it_has_learnt_what_there_was_to_learn_and_says_it_with_probabilities(model: SignalModel) -> None:
    values, labels = rows(2000, seed=4)
    shares = probabilities(model.logits(values))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    loss = -np.log(shares[np.arange(len(labels)), labels]).mean()
    assert loss < -PRIOR[labels].mean() - 0.005


def test_the_same_seed_gives_the_same_bits_and_files_hold_all_of_them(model: SignalModel, tmp_path: Path) -> None:
    values, _ = rows(200, seed=5)
    assert np.array_equal(fitted(model.card.kind).logits(values), model.logits(values))
    assert not np.array_equal(fitted(model.card.kind, seed=2).logits(values), model.logits(values))
    model.save(tmp_path)
    key = SigningKey(bytes(range(32)))
    digest = sign_folder(tmp_path, key)
    assert verify_folder(tmp_path, key.public) == digest
    again = load_model(tmp_path, "signal_model-1-abc")
    assert (again.card, again.version) == (model.card, "signal_model-1-abc")
    assert np.array_equal(again.logits(values), model.logits(values))
    assert np.array_equal(again.attributions(values), model.attributions(values))


def test_a_card_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text('{"kind": "forest"}')
    with pytest.raises(UntrustedModelError, match=r"card\.json describes no signal model .*: train it again"):
        load_card(tmp_path)


def test_the_network_learns_its_scale_from_the_rows_that_it_is_given_alone() -> None:
    """Statistics are those of the training rows, and a value far outside them is still a finite one."""
    values, labels = rows(500)
    network = MlpEstimator.fit(
        values, labels, PRIOR, {"units": 4, "epochs": 2, "learning_rate": 0.01, "weight_decay": 0}, 0, 1
    )
    known = values[:, 1][np.isfinite(values[:, 1])]
    assert network.mean[1] == pytest.approx(known.mean())
    assert network.deviation[1] == pytest.approx(known.std())
    wild = values[:2].copy()
    wild[:, 0] = 1e9
    assert np.isfinite(network.margins(wild)).all()


@pytest.mark.parametrize("kind", ["forest", "network"])
def test_no_signal_of_the_ml_engine_looks_ahead(kind: EstimatorKind) -> None:
    """Random histories with late and restated rows: made again from what was known then, each has the same bits."""
    settings, compared = load_settings({}), 0
    for seed in range(2):
        whole = history(seed)
        made = decision_path(settings, rule_engine(settings))(whole)
        values = matrix(features(made["technical_indicators"], made["symbol_sentiment"]), tuple(FEATURES))
        labels = np.random.default_rng(seed).integers(0, 3, len(values))
        trial = next(trial for trial in TRIALS if trial.kind == kind)
        core = (MlpEstimator if kind == "network" else TreeEstimator).fit(
            values, labels, PRIOR, trial.settings, seed, 1
        )
        card = ModelCard(
            kind, tuple(FEATURES), "daily", Barriers(), NOW, NOW, tuple(PRIOR.tolist()), LogitScale(1.0, 1.0)
        )
        report = audit(decision_path(settings, model_engine(settings, SignalModel(card, core))), whole, whole.decisions)
        assert report.differences == []
        compared += report.rows["signals, recomputed from all that is known now"]
    assert compared > 10
