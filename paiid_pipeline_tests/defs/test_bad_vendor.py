"""A vendor that lies, through the whole ingestion: the good rows are stored, the bad ones are in quarantine."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import dagster as dg
import psycopg2

from paiid_pipeline_tests.defs.world import START, World, metadata
from paiid_pipeline_tests.sources.fake_vendor import Asking, Reply, Vendor, serving

DAY = date(2026, 3, 10)
NOW = START + timedelta(seconds=20)
GOOD = {"t": "2026-03-10T11:00:00Z", "o": 10, "h": 11, "l": 9, "c": 10.5, "v": 100}
BAD_BARS: dict[str, dict[str, Any]] = {
    "missing_field": {"t": "2026-03-10T11:01:00Z", "o": 10, "h": 11, "l": 9, "v": 100},
    "non_positive_price": {**GOOD, "t": "2026-03-10T11:02:00Z", "l": -9},
    "high_below_low": {**GOOD, "t": "2026-03-10T11:03:00Z", "h": 9.5, "l": 10.6},
    "not_finite": {**GOOD, "t": "2026-03-10T11:04:00Z", "c": float("nan")},
    "future_timestamp": {**GOOD, "t": "2026-03-10T13:00:00Z"},
    "bad_type": {**GOOD, "t": "2026-03-10T11:05:00Z", "o": "ten"},
    "duplicate_bar": GOOD,
}
BAD_NEWS: dict[str, dict[str, Any]] = {
    "headline_too_long": {"headline": "A" * 10_000_000},
    "empty_headline": {"headline": "   "},
    "future_timestamp": {"updated_at": "2026-03-11T00:00:00Z"},
}


def answer(asking: Asking) -> Reply:
    """Bars good and bad for AAPL, an unknown MSFT, news good and bad, and actions that are no JSON."""
    if asking.path.endswith("/news"):
        articles = [_article(1), *(_article(2 + i, **change) for i, change in enumerate(BAD_NEWS.values()))]
        return Reply({"news": articles, "next_page_token": None})
    if "corporate" in asking.path:
        return Reply(raw=b"<html>maintenance</html>")
    if asking.params["timeframe"] == "1Day":
        return Reply({"bars": {}, "next_page_token": None})
    return Reply({"bars": {"AAPL": [GOOD, *BAD_BARS.values()]}, "next_page_token": "again"})


def _article(number: int, **change: Any) -> dict[str, Any]:
    moment = "2026-03-10T11:00:00Z"
    return {
        "id": number, "headline": "Apple beats", "summary": "", "author": "", "content": "", "images": [],
        "created_at": moment, "updated_at": moment, "source": "wire", "symbols": ["AAPL"], "url": "https://x.test",
        **change,
    }  # fmt: skip


def test_nothing_bad_is_stored_nothing_good_is_lost_and_all_of_it_is_counted(world: World) -> None:
    with serving(Vendor(answer)) as url:
        world.source_url = url
        news = world.run("news_refresh", NOW, DAY, by_segment=False)
        market = world.run("market_refresh", NOW, DAY, hot_results={"kinds": ["market"]})
    assert news.success
    assert market.success
    bars = world.rows("market_bars")
    assert [(row[0], row[2][:16]) for row in bars] == [("AAPL", "2026-03-10 11:00")]
    assert len(world.rows("news_articles")) == 1
    reasons = {row[0] for row in _ask(world, "select distinct reason from quarantine")}
    assert reasons >= {*BAD_BARS, *BAD_NEWS, "malformed_json", "repeated_page_token"}
    ((longest,),) = _ask(world, "select max(length(payload)) from quarantine")
    assert longest > 10_000_000
    reported = metadata(market, "market_bars")
    assert reported["quarantined"] >= len(BAD_BARS)
    assert "non_positive_price" in {row["reason"] for row in reported["refused"]}
    assert "MSFT" in reported["symbols without data"]
    assert reported["errors"] != "none"


def test_the_same_lies_twice_are_quarantined_once(world: World) -> None:
    with serving(Vendor(answer)) as url:
        world.source_url = url
        assert world.run("market_refresh", NOW, DAY, hot_results={"kinds": ["market"]}).success
        before = world.snapshot("market_bars", "quarantine")
        assert world.run("market_refresh", NOW, DAY, hot_results={"kinds": ["market"]}).success
    assert world.snapshot("market_bars", "quarantine") == before


def test_a_stored_row_that_breaks_a_rule_is_a_warning_and_stops_nobody(world: World) -> None:
    """However it came there: the check names its symbol, and what depends on the bars goes on."""
    with serving(Vendor(answer)) as url:
        world.source_url = url
        assert world.run("market_refresh", NOW, DAY, hot_results={"kinds": ["market"]}).success
        world.execute("update market_bars set high = close - 1, bar_start = bar_start + interval '30 seconds'")
        result = world.run("market_refresh", NOW, DAY, hot_results={"kinds": ["market"]})
    assert result.success
    (found,) = [each for each in result.get_asset_check_evaluations() if not each.passed]
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "1 rows break 'high and low contain open and close' (AAPL)" in str(found.description)


def test_a_session_without_any_bar_blocks_what_rests_on_bars(world: World) -> None:
    with serving(Vendor(lambda _asking: Reply({"bars": {}, "next_page_token": None}))) as url:
        world.source_url = url
        result = world.run("market_refresh", NOW, DAY, hot_results={"kinds": ["market"]})
    assert not result.success
    assert {(each.passed, each.description) for each in result.get_asset_check_evaluations()} == {
        (False, "nothing has arrived")
    }


def test_a_source_that_answers_nothing_fails_the_run_and_says_why(world: World) -> None:
    with serving(Vendor(lambda _asking: Reply({"message": "forbidden"}, status=403))) as url:
        world.source_url = url
        result = world.run("market_refresh", NOW, DAY, hot_results={"kinds": ["market"]})
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "the source answered nothing" in str(failure.step_failure_data.error)
    assert world.rows("coverage") == []


def _ask(world: World, query: str) -> list[tuple[Any, ...]]:
    with psycopg2.connect(world.postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    connection.close()
    return found
