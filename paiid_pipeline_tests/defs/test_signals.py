"""Signals through the graph: the rules that the environment names, stakes, halts, and how long a signal holds."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest

from paiid_pipeline.signals.rules import OWN_RULES, load_rules
from paiid_pipeline_tests.defs.world import START, World, metadata

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)
SYMBOLS = ["AAPL", "MSFT", "JPM", "KO"]


@pytest.fixture
def eager(tmp_path: Path) -> Path:
    """Rules that hardly ever hold, on an exchange where everything is liquid enough."""
    file = tmp_path / "rules.toml"
    text = OWN_RULES.read_text().replace('name = "paiid"', 'name = "eager"').replace("buy = 0.15", "buy = 0.001")
    file.write_text(text.replace("min_turnover = 1000.0", "min_turnover = 0"))
    return file


def test_the_users_rules_decide_and_quarantined_bars_halt(world: World, eager: Path) -> None:
    world.variables = {**world.variables, "PAIID_RULES": str(eager)}
    refused = [{"source": "test", "reason": "high_below_low", "payload": '{"symbol": "AAPL", "h": 1}'}]
    world.warehouse.quarantine.write(pl.DataFrame(refused), START - timedelta(minutes=12))
    world.everything(NOW, DAY - timedelta(days=1), DAY)
    found = world.warehouse.signals.read(SYMBOLS, "intraday", START - timedelta(hours=3), START)
    assert set(found["model_version"]) == {load_rules(eager).version}
    acting = found.filter(pl.col("signal") != "HOLD")
    assert acting.height > 20
    assert acting.select("stop_loss", "take_profit", "position_fraction").null_count().sum_horizontal().item() == 0
    assert (acting["position_fraction"] > 0).any()
    halted = acting.filter((pl.col("symbol") == "AAPL") & (pl.col("as_of") > START - timedelta(minutes=12)))
    assert halted.height
    for row in halted.iter_rows(named=True):
        assert row["position_fraction"] == 0
        texts = [reason["text"] for reason in orjson.loads(row["reasons"])]
        assert "No position: a bar was quarantined (high_below_low)" in texts
    [daily] = world.warehouse.signals.read(["KO"], "daily", START.replace(hour=0), START).to_dicts()
    assert daily["valid_until"] - daily["as_of"] == timedelta(days=1)


def test_a_wrong_rules_file_fails_the_run_by_name_and_writes_nothing(world: World, eager: Path) -> None:
    world.everything(NOW, DAY)
    before = world.rows("signals")
    eager.write_text(eager.read_text().replace("weight = 1.5", "weigth = 1.5"))
    world.variables = {**world.variables, "PAIID_RULES": str(eager)}
    result = world.run("all_decisions", NOW, DAY)
    assert not result.success
    [failed] = [event for event in result.all_events if event.is_step_failure and event.step_key == "trading_signals"]
    assert "did you mean 'weight'" in str(failed.step_failure_data.error)
    assert world.rows("signals") == before


def test_the_run_tells_its_rules_and_how_many_signals_stake_something(world: World) -> None:
    assert world.run("all_news", NOW, DAY, by_segment=False).success
    reported = metadata(world.run("all_decisions", NOW, DAY), "trading_signals")
    positions = world.rows("signals", where="position_fraction > 0")
    assert reported["rules"] == load_rules().version
    assert reported["with a position"] == len(positions)
