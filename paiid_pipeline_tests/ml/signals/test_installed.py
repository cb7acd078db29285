"""Which installed signal model decides what: none before its training, and a later one changes nothing before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from paiid_pipeline.backtest.triple_barrier import Barriers
from paiid_pipeline.ml.registry import Registry
from paiid_pipeline.ml.signals.engines import MlEngine
from paiid_pipeline.ml.signals.estimators import LogitScale, MlpEstimator, ModelCard, SignalModel, load_model
from paiid_pipeline.ml.signals.installed import SIGNAL_MODEL, InstalledModels
from paiid_pipeline.ml.signing import SigningKey
from paiid_pipeline.ml.text.signature import TEXTS
from paiid_pipeline.ml.verdict import GateResult
from paiid_pipeline.schemas import SYMBOL_SENTIMENT, empty
from paiid_pipeline.settings import load_settings
from paiid_pipeline.signals.model_engine import matrix
from paiid_pipeline_tests.signals.test_generator import T, indicators

HOUR = timedelta(hours=1)
DECISION_LAG = timedelta(seconds=15)


@pytest.fixture
def shelf_home(registry: Registry, key: SigningKey, tmp_path: Path) -> Path:
    """Two champions, an hour apart."""
    home = tmp_path / "home"
    for number, moment in enumerate((T, T + HOUR), start=1):
        model(moment, 0.5 * number).save(tmp_path / str(number))
        made = registry.register(
            SIGNAL_MODEL, tmp_path / str(number), key, data_sha256="d" * 64, metrics={}, parameters={}, interface=TEXTS
        )
        registry.promote(SIGNAL_MODEL, made.version, GateResult(True, ()))
        registry.install(SIGNAL_MODEL, home, key.public)
    return home


def model(known_from: datetime, weight: float) -> SignalModel:
    """One that says more of the RSI the larger its weight."""
    one = pl.DataFrame({"x": [weight]}).to_numpy()
    hidden = pl.DataFrame({"x": [weight, 0.0]}).to_numpy()
    zero = one[0] * 0
    out = pl.DataFrame({"d": [-1.0], "n": [0.0], "u": [1.0]}).to_numpy()
    core = MlpEstimator(zero, zero + 1, zero, hidden, zero, out)
    return SignalModel(
        ModelCard("network", ("rsi",), "intraday", Barriers(), known_from, T, (-1.1, -1.1, -1.1), LogitScale(1.0, 1.0)),
        core,
    )


def test_a_decision_belongs_to_the_newest_model_that_was_trained_by_then(shelf_home: Path, key: SigningKey) -> None:
    installed = InstalledModels(shelf_home, lambda: key.public)
    assert installed.why_none is None
    assert installed.at(T - DECISION_LAG, "intraday") is None
    first, second = installed.at(T, "intraday"), installed.at(T + HOUR, "intraday")
    assert first is not None
    assert second is not None
    assert first.version.startswith(f"{SIGNAL_MODEL}-1-")
    assert second.version.startswith(f"{SIGNAL_MODEL}-2-")
    assert installed.champion("intraday") == second
    assert installed.at(T + HOUR, "daily") is None, "a model decides at its own horizon alone"
    assert installed.champion("daily") is None


def test_the_engine_says_of_an_earlier_decision_what_it_said_before_the_later_champion(
    shelf_home: Path, key: SigningKey
) -> None:
    settings = load_settings({"PAIID_MODELS": str(shelf_home)})
    frame = pl.concat(indicators(as_of=T + HOUR * step, bar_end=T + HOUR * step, rsi_14=15.0) for step in (-1, 0, 1))
    both = MlEngine(settings, InstalledModels(shelf_home, lambda: key.public))
    signals, withheld = both.decide(frame, empty(SYMBOL_SENTIMENT))
    assert withheld.is_empty()
    assert signals["as_of"].to_list() == [T, T + HOUR], "what lies before the first training is not decided"
    assert signals["model_version"].n_unique() == 2
    assert abs(signals["strength"][1]) > abs(signals["strength"][0])
    alone = MlEngine(settings, InstalledModels(shelf_home, lambda: key.public)).decide(
        frame[1:2], empty(SYMBOL_SENTIMENT)
    )[0]
    assert alone.equals(signals[:1])


def test_nothing_installed_a_foreign_key_and_changed_files_are_said_and_decide_nothing(
    shelf_home: Path, key: SigningKey, tmp_path: Path
) -> None:
    nothing = InstalledModels(tmp_path / "nowhere", lambda: pytest.fail("no key is asked for"))
    assert nothing.why_none == "no signal model is installed: none has passed the gate"
    assert nothing.at(T, "intraday") is None
    assert nothing.champion("daily") is None
    foreign = InstalledModels(shelf_home, lambda: SigningKey(bytes(32)).public)
    assert "is not signed with our key" in str(foreign.why_none)
    assert foreign.at(T, "intraday") is None
    (shelf_home / SIGNAL_MODEL / "1" / "card.json").write_text("{}")
    changed = InstalledModels(shelf_home, lambda: key.public)
    assert changed.at(T + HOUR, "intraday") is not None, "the champion is as it was"
    assert changed.at(T, "intraday") is None
    assert "card.json was changed after signing" in str(changed.why_none)


def test_a_model_of_another_day_is_what_it_was(tmp_path: Path) -> None:
    made = model(datetime(2020, 1, 1, tzinfo=UTC), 0.3)
    made.save(tmp_path)
    rows = pl.DataFrame({"rsi": [0.1, None, -0.5]})
    again = load_model(tmp_path, "x")
    assert replace(again, version=made.version).card == made.card
    assert (again.logits(matrix(rows, ("rsi",))) == made.logits(matrix(rows, ("rsi",)))).all()
