"""The backtest asset on a real warehouse: what it reports, that its check blocks, and when it refuses."""

from __future__ import annotations

from base64 import b64decode
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from paiid_pipeline.defs.backtest import assets
from paiid_pipeline.schemas import CORPORATE_ACTIONS
from paiid_pipeline_tests.defs.world import START, World, defs, metadata

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)


def run_backtest(world: World, **config: Any) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("backtest_job").execute_in_process(
        instance=world.instance,
        resources={"pipeline": world.pipeline(NOW)},
        run_config={"ops": {"backtest": {"config": config}}, "loggers": {"progress": {}}},
        raise_on_error=False,
    )


def test_a_backtest_of_stored_signals_reports_numbers_and_plots_and_is_checked(world: World, monkeypatch: Any) -> None:
    world.everything(NOW, DAY - timedelta(days=5), DAY - timedelta(days=1))
    result = run_backtest(world)
    assert result.success
    reported = metadata(result, "backtest")
    stored = world.warehouse.signals.read(["AAPL", "MSFT", "JPM", "KO"], "daily", START - timedelta(days=9), NOW)
    assert reported["decisions executed"] + reported["decisions pending"] == stored.height
    assert reported["decisions executed"] >= 12
    assert reported["symbols"] == 4
    assert [(row["strategy"], row["commission_bp"]) for row in reported["summary"]] == [
        (strategy, level) for strategy in ("signals", "buy and hold", "momentum") for level in (0.0, 5.0, 10.0)
    ]
    for plot in ("equity", "drawdown", "turnover"):
        assert b64decode(reported[plot].split("base64,")[1].rstrip(")")).startswith(b"\x89PNG"), plot
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.passed
    assert evaluation.metadata["largest gap"].value < 1e-12
    monkeypatch.setattr(assets, "ROUNDING", -1.0)
    (evaluation,) = run_backtest(world).get_asset_check_evaluations()
    assert not evaluation.passed
    assert evaluation.blocking


def test_a_symbol_that_is_no_longer_followed_counts_as_it_did_then(world: World, tmp_path: Path) -> None:
    """Dropped from the universe file, KO still stands in the backtest, and the numbers are what they were."""
    world.everything(NOW, DAY - timedelta(days=3), DAY - timedelta(days=1))
    before = metadata(run_backtest(world), "backtest")
    shorter = tmp_path / "universe.toml"
    shorter.write_text('calendar = "24/7"\n[segments]\ntechnology = ["AAPL", "MSFT"]\nfinancials = ["JPM"]\n')
    world.variables = {**world.variables, "PAIID_UNIVERSE": str(shorter)}
    after = metadata(run_backtest(world), "backtest")
    assert after["symbols no longer followed"] == ["KO"]
    assert before["symbols no longer followed"] == []
    for name in ("symbols", "summary", "decisions executed", "equity"):
        assert after[name] == before[name], name


def test_signals_on_the_company_that_had_a_ticker_before_are_left_out_and_counted(world: World) -> None:
    world.everything(NOW, DAY - timedelta(days=3), DAY - timedelta(days=1))
    at = START.replace(hour=0) - timedelta(days=2)
    change = {"action_id": "x", "symbol": "KO", "kind": "name_change", "ex_date": at.date(), "effective_at": at,
              "ratio": None, "amount": None, "source": "test"}  # fmt: skip
    world.warehouse.corporate_actions.write(pl.DataFrame([change], schema=CORPORATE_ACTIONS), NOW)
    reported = metadata(run_backtest(world), "backtest")
    stored = world.warehouse.signals.read(["KO"], "daily", START - timedelta(days=9), NOW)
    others = stored.filter(pl.col("as_of") <= at).height
    assert reported["signals on a company that had the ticker before"] == others > 0


def test_without_signals_or_without_later_bars_the_run_fails_and_says_why(world: World) -> None:
    assert "no daily signals of engine 'rules' are stored" in reason(run_backtest(world))
    world.everything(NOW, DAY - timedelta(days=1))
    assert "has a bar after it" in reason(run_backtest(world))
    assert "nothing below 0" in reason(run_backtest(world, slippage_bp=-1.0))


def reason(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    return str(result.failure_data_for_node("backtest"))
