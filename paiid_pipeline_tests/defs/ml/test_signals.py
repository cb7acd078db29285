"""Signal models on the real path: Postgres, MLflow and Dagster, from stored bars to signals of a champion."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import numpy as np
import polars as pl
import pytest

from paiid_pipeline.backtest.triple_barrier import Barriers
from paiid_pipeline.cli.explain import explain
from paiid_pipeline.cli.query import show_signals
from paiid_pipeline.decisions import decision_grid, read_range
from paiid_pipeline.defs.sensors import signal_retraining
from paiid_pipeline.lookahead.decision_path import History, decision_path
from paiid_pipeline.ml.registry import ModelSignature
from paiid_pipeline.ml.signals.engines import rule_engine
from paiid_pipeline.ml.signals.estimators import LogitScale, load_model
from paiid_pipeline.ml.signals.feature_audit import leaking_in
from paiid_pipeline.ml.signals.installed import REFERENCE, SIGNAL_MODEL
from paiid_pipeline.ml.signals.train import TradingCosts, make_signal_data, train_signal_model
from paiid_pipeline.ml.signals.training import TrainingConfig, Trial
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.operations.lookahead_audit import audited
from paiid_pipeline.schemas import BARS, STORED_ARTICLE_SENTIMENT, empty
from paiid_pipeline.sentiment.aggregate import aggregate
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.signals.features import FEATURES
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline_tests.defs.conftest import MakeWorld
from paiid_pipeline_tests.defs.world import ENVIRONMENT, World, defs, metadata

SYMBOLS = ("AAPL", "MSFT", "NVDA", "GOOG", "JPM", "BAC", "V", "AMZN", "KO", "DIS")
TRAINED = datetime.fromisoformat("2026-03-10T00:05:00+00:00")
NEXT = TRAINED + timedelta(days=1)
DAY = timedelta(days=1)
DECIDED, HISTORY = 160, 270
ENDS = 12
"""Days of bars after the training."""


@pytest.fixture
def learnt(make_world: MakeWorld, tmp_path: Path) -> World:
    """Bars whose volume tells of the next days' moves, and the decisions on them up to the training."""
    world = make_world()
    world.variables = {**ENVIRONMENT, "PAIID_HOME": str(tmp_path / "home")}
    fill(world)
    decide(world, [TRAINED.date() - DAY * back for back in range(1, DECIDED + 1)], TRAINED)
    return world


def fill(world: World, seed: int = 0) -> None:
    """Daily bars that were known as they ended."""
    rng = np.random.default_rng(seed)
    days = HISTORY + DECIDED + ENDS
    told = np.zeros((days, len(SYMBOLS)))
    for day in range(1, days):
        told[day] = 0.6 * told[day - 1] + 0.8 * rng.normal(size=len(SYMBOLS))
    moves = rng.normal(0, 0.008, told.shape)
    moves[1:] += 0.008 * told[:-1]
    moves -= moves.mean(axis=1, keepdims=True)
    closes = 100 * np.exp(np.cumsum(moves, axis=0))
    opens = np.vstack([np.full((1, len(SYMBOLS)), 100.0), closes[:-1]])
    first = TRAINED.replace(hour=0, minute=0) - DAY * (HISTORY + DECIDED)
    rows = [
        (symbol, "1Day", first + DAY * day, first + DAY * (day + 1), opens[day, place],
         1.003 * max(opens[day, place], closes[day, place]), 0.997 * min(opens[day, place], closes[day, place]),
         closes[day, place], round(1e6 * np.exp(0.6 * told[day, place])), None, None, "synthetic")
        for day in range(days) for place, symbol in enumerate(SYMBOLS)
    ]  # fmt: skip
    world.warehouse.bars.write(pl.DataFrame(rows, schema=BARS, orient="row"), NEXT + DAY * 30)


def decide(world: World, days: list[date], now: datetime) -> None:
    """Indicators and sentiment of the daily decisions of some days, as the assets make them."""
    settings, warehouse = world.pipeline(now).settings, world.warehouse
    due = decision_grid(SYMBOLS, days, settings, now).filter(pl.col("horizon") == "daily")
    span = read_range(due)
    versions = warehouse.bars.versions(SYMBOLS, "1Day", span.anchor, span.last, now)
    actions = warehouse.corporate_actions.versions(SYMBOLS, now)
    made, withheld = decide_indicators(versions, actions, due, settings.max_bar_age)
    assert withheld.is_empty(), withheld
    warehouse.indicators.write(made)
    silent = aggregate(empty(STORED_ARTICLE_SENTIMENT), due, settings.news_lookback, settings.news_half_life)
    warehouse.symbol_sentiment.write(silent)


def train(world: World, at: datetime = TRAINED, **config: Any) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("signal_training_job").execute_in_process(
        instance=world.instance,
        resources={"pipeline": world.pipeline(at)},
        run_config={
            "ops": {"signal_dataset": {"config": {}}, "signal_model": {"config": {"folds": 2, **config}}},
            "loggers": {"progress": {}},
        },
        raise_on_error=False,
    )


def sign(world: World, at: datetime, day: date) -> None:
    """The signals of a day from what is stored."""
    assert world.run("signals_refresh", at, day).success


def ml_rows(world: World) -> list[tuple[Any, ...]]:
    return world.rows("signals", where="engine = 'ml'")


@pytest.mark.slow
def test_from_stored_bars_to_the_signals_of_a_champion(learnt: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Dataset, training, gate, register, installation; then its signals, their audit, and a later champion."""
    result = train(learnt)
    assert result.success
    data, model = metadata(result, "signal_dataset"), metadata(result, "signal_model")
    assert data["dagster/row_count"] == (DECIDED - 7) * len(SYMBOLS), (
        "entered a bar later, since this exchange never closes"
    )
    assert data["symbols"] == len(SYMBOLS)
    assert len(data["sha256"]) == 64
    checks = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert checks["point_in_time"].passed
    assert checks["promotion"].passed, model["why"]
    assert model["verdict"] == "promoted: version 1 is the champion and decides from now on"
    assert model["data sha256"] == data["sha256"]
    for plot in ("equity", "reliability", "importance"):
        assert "data:image/png;base64," in model[plot]
    settings = learnt.pipeline(TRAINED).settings
    assert (settings.models_dir / SIGNAL_MODEL / "1" / REFERENCE).is_file()
    registered(learnt, data["sha256"])
    performance = learnt.warehouse.model_metrics.newest().filter(pl.col("model") == SIGNAL_MODEL)
    assert performance.filter(pl.col("metric") == "rank_ic")["low"][0] > 0
    assert performance["promoted"].all()

    # What lies before its training it does not decide; what comes after, beside the rules.
    sign(learnt, TRAINED, TRAINED.date() - DAY)
    assert ml_rows(learnt) == []
    decide(learnt, [TRAINED.date()], NEXT)
    sign(learnt, NEXT, TRAINED.date())
    first = ml_rows(learnt)
    assert len(first) == len(SYMBOLS)
    signal = learnt.warehouse.signals.latest(["AAPL"], NEXT, "ml").row(0, named=True)
    assert signal["model_version"].startswith(f"{SIGNAL_MODEL}-1-{model['digest'][:12]}+paiid-")
    reasons = json.loads(signal["reasons"])
    assert sum(each["contribution"] for each in reasons) == pytest.approx(signal["strength"], abs=2e-3)
    assert "volume" in {each["rule"] for each in reasons[:4]}
    assert learnt.warehouse.signals.latest(["AAPL"], NEXT).row(0, named=True)["engine"] == "rules"
    assert explain(learnt.pipeline(NEXT).settings, "AAPL", "daily", None, engine="ml", as_json=False) == 0
    assert f"engine ml, version {signal['model_version']}" in capsys.readouterr().out

    assert show_signals(learnt.postgres_url, ZoneInfo("UTC")) == 2 * len(SYMBOLS)
    assert capsys.readouterr().out.splitlines()[0].split("|")[2].strip() == "engine"

    # A later champion decides what comes after it, and changes nothing before.
    install_another(learnt, NEXT + timedelta(hours=1))
    sign(learnt, NEXT + timedelta(hours=2), TRAINED.date())
    assert ml_rows(learnt) == first
    third = NEXT + DAY
    decide(learnt, [NEXT.date()], third)
    sign(learnt, third, NEXT.date())
    said = learnt.warehouse.signals.read(None, "daily", TRAINED, third).filter(pl.col("engine") == "ml")
    assert {version[:14] for version in said["model_version"]} == {"signal_model-1", "signal_model-2"}
    # The audit draws among the sessions that have sentiment: leave it those that a model has decided.
    learnt.execute(f"delete from symbol_sentiment where as_of < '{TRAINED.isoformat()}'")
    report = audited(learnt.warehouse, learnt.pipeline(third).settings, third, SYMBOLS, 400, 0, SentimentAnalyzer())
    assert report.differences == []
    assert report.rows["ml signals, stored"] == 2 * len(SYMBOLS)

    # A restatement of a bar that both have used is a new row: what was decided before it stays as it was.
    later = f"timestamptz '{third.isoformat()}' + interval '1 hour'"
    learnt.execute(
        "insert into market_bars select symbol, timeframe, bar_start, bar_end, open, high * 2, low, close * 1.5,"
        f" volume, vwap, trade_count, source, {later}, nominal from market_bars"
        " where symbol = 'AAPL' and bar_start = '2026-03-05'"
    )
    kept = ml_rows(learnt)
    decide(learnt, [TRAINED.date()], third + timedelta(hours=2))
    sign(learnt, third + timedelta(hours=2), TRAINED.date())
    assert ml_rows(learnt) == kept


def registered(world: World, sha256: str) -> None:
    """What the register holds of the first version."""
    import mlflow

    registry = world.pipeline(TRAINED).registry
    champion = registry.champion(SIGNAL_MODEL)
    assert champion is not None
    assert (champion.version, champion.data_sha256) == (1, sha256)
    assert champion.metrics["trials"] == 9
    loaded = mlflow.models.Model.load(f"models:/{SIGNAL_MODEL}/1")
    assert [column.name for column in loaded.signature.inputs.inputs] == list(FEATURES)
    assert [column.name for column in loaded.signature.outputs.inputs] == ["p_down", "p_neither", "p_up"]
    assert list(loaded.load_input_example().columns) == list(FEATURES)
    stored = {file.path for file in mlflow.MlflowClient().list_artifacts(champion.run_id)}
    assert {"evaluation.json", "trials.json", "importance.json", "verdict.json", "plots"} <= stored


def install_another(world: World, at: datetime) -> None:
    """A second champion, which says the opposite."""
    pipeline = world.pipeline(at)
    store, folder = pipeline.store, pipeline.settings.models_dir / SIGNAL_MODEL / "1"
    model = load_model(folder, "1")
    made = pipeline.settings.home / "another"
    replace(model, card=replace(model.card, known_from=at, shrink=LogitScale(1.0, -model.card.shrink.side))).save(made)
    (made / REFERENCE).write_bytes((folder / REFERENCE).read_bytes())
    interface = ModelSignature(dict.fromkeys(FEATURES, "double"), ["p_up"], dict.fromkeys(FEATURES, 0.0))
    version = store.registry.register(
        SIGNAL_MODEL, made, store.key, data_sha256="x", metrics={}, parameters={}, interface=interface
    )
    assert store.registry.promote(SIGNAL_MODEL, version.version, GateResult(True, ("by hand",)))
    store.registry.install(SIGNAL_MODEL, store.models, store.key.public)


@pytest.mark.slow
def test_noise_is_not_promoted_and_the_run_has_done_what_it_should(learnt: World) -> None:
    """The volumes dealt out anew: nothing tells of what comes."""
    rng = np.random.default_rng(1)
    stored = learnt.warehouse.indicators.read(SYMBOLS, "daily", TRAINED - DAY * 400, TRAINED)
    dealt = stored[rng.permutation(stored.height)]
    told = [name for name in stored.columns if stored[name].dtype == pl.Float64 and name not in ("close", "price")]
    learnt.warehouse.indicators.write(stored.with_columns(dealt[name] for name in told))
    result = train(learnt)
    assert result.success
    model = metadata(result, "signal_model")
    assert model["verdict"].startswith("no promotion: version 1 is kept and decides nothing")
    (check,) = (each for each in result.get_asset_check_evaluations() if each.check_name == "promotion")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    pipeline = learnt.pipeline(TRAINED)
    assert pipeline.registry.champion(SIGNAL_MODEL) is None
    decide(learnt, [TRAINED.date()], NEXT)
    ran = learnt.run("signals_refresh", NEXT, TRAINED.date())
    assert ran.success
    assert metadata(ran, "trading_signals")["signal models"] == "no signal model is installed: none has passed the gate"
    assert ml_rows(learnt) == []


def test_each_planted_look_ahead_is_named_and_no_honest_feature_is(learnt: World) -> None:
    """Tomorrow's price, a scaler over all time, and a column that no code makes: the gate hears of each."""
    settings, warehouse = learnt.pipeline(TRAINED).settings, learnt.warehouse
    planted = {
        **FEATURES,
        "tomorrow": (pl.col("price").shift(-1) / pl.col("price") - 1).over("symbol", order_by="as_of"),
        "scaled": pl.col("rsi_14") / pl.col("rsi_14").mean(),
    }
    data = make_signal_data(warehouse, settings, TRAINED, "daily", Barriers(), planted)
    moment = data.rows["as_of"].unique().sort()[-20]
    days = [settings.universe.calendar.session_of(moment).day]  # type: ignore[union-attr]
    due = decision_grid(SYMBOLS, days, settings, TRAINED)
    history = History(
        warehouse.bars.versions(SYMBOLS, "1Day", moment - DAY * 600, TRAINED, TRAINED),
        warehouse.corporate_actions.versions(SYMBOLS, TRAINED),
        empty(STORED_ARTICLE_SENTIMENT),
        due.filter((pl.col("horizon") == "daily") & (pl.col("as_of") == moment)),
    )
    rows = data.rows.filter(pl.col("as_of") == moment).with_columns(moon=pl.col("forward_return"))
    caught = leaking_in(
        decision_path(settings, rule_engine(settings)), history, rows, (*data.features, "moon"), planted
    )
    assert caught.keys() == {"tomorrow", "scaled", "moon"}
    assert "features.tomorrow of" in caught["tomorrow"]
    assert caught["moon"] == "it cannot be made from what was known then"


@pytest.mark.slow
def test_a_model_on_tomorrows_price_is_refused_by_name_though_it_beats_everything(learnt: World) -> None:
    pipeline = learnt.pipeline(TRAINED)
    tomorrow = (pl.col("price").shift(-2) / pl.col("price") - 1).over("symbol", order_by="as_of")
    planted = {"rsi": FEATURES["rsi"], "volume": FEATURES["volume"], "tomorrow": tomorrow}
    data = make_signal_data(learnt.warehouse, pipeline.settings, TRAINED, "daily", Barriers(bars=2), planted)
    boosted = Trial("boosted", {"max_depth": 2, "rounds": 40, "learning_rate": 0.1, "leaf": 0.01})
    plan, store = TrainingConfig(folds=2, trials=(boosted,)), pipeline.store
    trained = train_signal_model(
        data, plan, TradingCosts(), learnt.warehouse, pipeline.settings, store, TRAINED, lambda _: None, planted
    )
    assert trained.evaluation.model.ic_low > 0.3
    assert next(iter(trained.importance)) == "tomorrow"
    assert not trained.verdict.promote
    assert trained.verdict.reasons[0].startswith("refused: tomorrow looks ahead: features.tomorrow of ")
    assert not any("rsi" in reason or "volume" in reason for reason in trained.verdict.reasons)
    assert store.registry.champion(SIGNAL_MODEL) is None
    assert "refused: tomorrow looks ahead" in store.registry.versions(SIGNAL_MODEL)[0].gate[0]


def test_without_decisions_or_known_outcomes_the_run_fails_and_says_what_to_do(world: World, tmp_path: Path) -> None:
    world.variables = {**ENVIRONMENT, "PAIID_HOME": str(tmp_path / "home")}
    result = train(world)
    assert not result.success
    assert "backfill technical_indicators and symbol_sentiment first" in str(
        result.failure_data_for_node("signal_dataset")
    )


@pytest.mark.slow
def test_drift_is_measured_and_asks_for_a_training_at_most_once_a_week(learnt: World) -> None:
    def measure(at: datetime, **config: Any) -> dg.ExecuteInProcessResult:
        return defs.resolve_job_def("signal_drift_job").execute_in_process(
            instance=learnt.instance,
            resources={"pipeline": learnt.pipeline(at)},
            run_config={"ops": {"signal_drift": {"config": config}}, "loggers": {"progress": {}}},
        )

    def tick(at: datetime, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
        resources = {"pipeline": learnt.pipeline(at)}
        with dg.build_sensor_context(learnt.instance, cursor, resources=resources) as context:
            found = signal_retraining(context)
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        return found

    assert "has not been measured yet" in str(tick(TRAINED))
    nothing = metadata(measure(TRAINED), "signal_drift")
    assert (nothing["retrain"], nothing["model"]) == (False, "no signal model is installed: none has passed the gate")
    assert "nothing beyond the limits" in str(tick(TRAINED))
    assert train(learnt).success
    calm = metadata(measure(TRAINED, days=100.0), "signal_drift")
    assert not calm["retrain"], calm["why"]
    assert calm["recent decisions"] == 100 * len(SYMBOLS)

    learnt.execute(
        "update technical_indicators set rsi_14 = 99, adx_14 = 90, volume_ratio = 9, atr_percent = 0.2,"
        f" volatility_20 = 0.3, bb_bandwidth = 2 where as_of > '{(TRAINED - DAY * 30).isoformat()}'"
    )
    result = measure(TRAINED, decisions=50)
    found = metadata(result, "signal_drift")
    assert found["retrain"]
    assert "features have drifted" in found["why"]
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    asked = tick(TRAINED + timedelta(hours=1))
    assert isinstance(asked, dg.SensorResult)
    assert [request.run_key for request in asked.run_requests or ()] == [f"drift-{result.run_id}"]
    assert "the next at 2026-03-17T01:05:00" in str(tick(TRAINED + DAY * 6, asked.cursor))
    assert isinstance(tick(TRAINED + DAY * 8, asked.cursor), dg.SensorResult)
