"""Nothing is decided on news that were never asked for: it is withheld with the reason, and made once they are."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from paiid_pipeline_tests.defs.conftest import MakeWorld
from paiid_pipeline_tests.defs.world import DERIVED, START, World, metadata

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)


def heard(world: World, where: str = "true") -> int:
    """How many stored aggregates rest on articles."""
    return len(world.rows("symbol_sentiment", where=f"article_count > 0 and {where}"))


@pytest.mark.parametrize(
    ("day", "real_time"),
    [
        pytest.param(DAY, False, marks=pytest.mark.slow),
        (DAY - timedelta(days=2), True),
        pytest.param(DAY - timedelta(days=20), False, marks=pytest.mark.slow),
    ],
)
def test_history_made_before_its_news_is_withheld_and_afterwards_made_as_in_the_right_order(
    make_world: MakeWorld, day: date, real_time: bool
) -> None:
    """Whether the present has been decided already or not."""
    wrong, right = make_world(real_time), make_world(real_time)
    wrong.everything(NOW, DAY)
    if day == DAY:
        for table in (*DERIVED, "article_sentiment", "news_articles", "coverage"):
            wrong.execute(f"delete from {table}")
    before = wrong.snapshot(*DERIVED)
    result = wrong.run("all_decisions", NOW, day)
    reported = metadata(result, "trading_signals")
    assert metadata(result, "symbol_sentiment")["withheld"] == metadata(result, "symbol_sentiment")["due"] > 0
    assert reported["withheld"] == reported["due"] > 0
    assert "news not asked for since" in str(reported["withheld because"])
    assert {table: wrong.rows(table) for table in ("symbol_sentiment", "signals")} == {
        table: before[table] for table in ("symbol_sentiment", "signals")
    }
    for world in (wrong, right):
        world.everything(NOW, day)
    within = f"as_of > '{day}' and as_of <= '{day + timedelta(days=1)}'"
    assert heard(wrong, within) > 0
    for table in DERIVED:
        assert wrong.rows(table, where=within) == right.rows(table, where=within), table


def test_a_symbol_added_at_noon_is_decided_with_its_news_or_not_at_all(world: World, universe: Path) -> None:
    added = universe.read_text().replace('"JPM"', '"JPM", "NVDA"')
    world.everything(NOW, DAY)
    universe.write_text(added)
    at = NOW + timedelta(minutes=5)
    world.execute("delete from coverage where symbol = 'NVDA' and kind = 'news'")
    world.execute("delete from symbol_sentiment where symbol = 'NVDA'")
    world.execute("delete from signals where symbol = 'NVDA'")
    world.execute("delete from article_sentiment where symbol = 'NVDA'")
    world.refresh(at.replace(second=4), DAY)
    assert world.rows("signals", where="symbol = 'NVDA'") == []
    assert world.rows("signals", where="symbol = 'JPM' and as_of = '2026-03-10 12:05Z'")
    assert world.run("all_news", at, DAY, by_segment=False).success
    world.refresh(at.replace(second=4) + timedelta(minutes=5), DAY)
    made = world.rows("signals", where="symbol = 'NVDA' and horizon = 'intraday'")
    assert len(made) == 12 * 12 + 2
    assert heard(world, "symbol = 'NVDA' and as_of < '2026-03-10 12:00Z'") > 0


def test_news_that_stop_end_the_decisions_after_a_refresh_and_a_step(world: World) -> None:
    world.everything(NOW, DAY)
    at = START + timedelta(minutes=40, seconds=4)
    world.refresh(at, DAY)
    newest = world.warehouse.signals.latest(["AAPL"], at).filter(pl.col("horizon") == "intraday")["as_of"].item()
    assert newest == START + timedelta(minutes=35)


def test_due_is_made_and_withheld_in_every_stage_when_bars_are_missing_for_some(world: World) -> None:
    world.everything(NOW, DAY)
    world.execute("delete from technical_indicators where symbol = 'KO'")
    world.execute("delete from market_bars where symbol = 'KO' and timeframe = '1Min'")
    world.execute("delete from signals")
    refused = {"source": ["x"], "reason": ["close_outside_range"], "payload": ['{"symbol": "KO", "c": 1}']}
    world.warehouse.quarantine.write(pl.DataFrame(refused), START)
    at = NOW + timedelta(minutes=5)
    result = world.run("sentiment_refresh", at, DAY, symbol_sentiment={}, hot_results={"kinds": ["news"]})
    assert result.success
    result = world.run("all_decisions", at, DAY)
    for asset in ("symbol_sentiment", "technical_indicators", "trading_signals"):
        reported: Any = metadata(result, asset)
        made = reported["inserted"] + reported["changed"] + reported["unchanged"]
        assert reported["due"] == made + reported["withheld"], asset
    for reason in ("no bars since 2026-03-07 00:00:00 UTC", "only 5 of 250 bars since 2026-03-07 00:00:00 UTC"):
        assert f"{reason} (bars of it were quarantined: close_outside_range)" in str(reported["withheld because"])


def test_a_source_without_news_decides_without_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from paiid_pipeline.defs import decision_assets

    world.everything(NOW, DAY)
    world.execute("delete from coverage where kind = 'news'")
    world.execute("delete from symbol_sentiment")
    monkeypatch.setattr(decision_assets, "provided", lambda _settings: frozenset({"1Min", "1Day"}))
    result = world.run("all_decisions", NOW, DAY)
    for asset in ("symbol_sentiment", "trading_signals"):
        assert "news" not in str(metadata(result, asset)["withheld because"])
        assert "sentiment" not in str(metadata(result, asset)["withheld because"])
        assert metadata(result, asset)["news"] == "synthetic has none: decided without"
