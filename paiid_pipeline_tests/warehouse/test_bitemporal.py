"""When a raw row becomes known: every rule of ``warehouse.bitemporal``, on a real PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from paiid_pipeline.warehouse import CoveredRange, Warehouse, WriteResult
from paiid_pipeline_tests.warehouse.rows import (
    LATER,
    MINUTE,
    T0,
    action,
    actions,
    article,
    bar,
    bars,
    indicator,
    indicators,
    news,
    sentiment,
    sentiments,
)

SECOND = timedelta(seconds=1)
END = T0 + MINUTE


def known(warehouse: Warehouse, symbol: str = "AAPL") -> list[tuple[float, datetime, bool]]:
    """Close, known_at and nominal of all versions of all minute bars, by bar and known_at."""
    found = warehouse.bars.versions(
        [symbol], "1Min", T0 - timedelta(days=9), T0 + timedelta(days=9), LATER + 9 * MINUTE
    )
    return found.select("close", "known_at", "nominal").rows()


def covered(start: datetime, end: datetime, symbol: str = "AAPL", kind: str = "1Min") -> CoveredRange:
    return CoveredRange("test", kind, (symbol,), start, end)  # type: ignore[arg-type]


def test_history_is_known_when_it_would_have_been_available(warehouse: Warehouse) -> None:
    assert warehouse.bars.write(bars(bar()), LATER, feed_delay=2 * SECOND) == WriteResult(1, 0, 0)
    assert known(warehouse) == [(100.0, END + 2 * SECOND, True)]


def test_history_loaded_by_a_live_system_that_was_not_watching_is_nominal(warehouse: Warehouse) -> None:
    warehouse.bars.write(bars(bar()), LATER, live=True)
    warehouse.coverage.add([covered(T0 - 30 * MINUTE, T0 + MINUTE)])
    warehouse.bars.write(bars(bar(T0 + MINUTE)), T0 + 20 * MINUTE, live=True)
    assert known(warehouse) == [(100.0, END, True), (100.0, T0 + 2 * MINUTE, True)]


def test_a_live_bar_right_after_what_was_covered_is_known_from_its_receipt(warehouse: Warehouse) -> None:
    warehouse.coverage.add([covered(T0 - 30 * MINUTE, T0)])
    warehouse.bars.write(bars(bar()), END + 3 * SECOND, live=True, covers=[covered(T0, END)])
    warehouse.bars.write(bars(bar(END)), END + MINUTE + 4 * SECOND, live=True)
    assert known(warehouse) == [(100.0, END + 3 * SECOND, False), (100.0, END + MINUTE + 4 * SECOND, False)]


@pytest.mark.parametrize("delay", [-1e-6, -1.0, -60.0])
def test_no_row_can_be_known_before_it_is(warehouse: Warehouse, warehouse_url: str, delay: float) -> None:
    """Neither through the writer nor past it."""
    with pytest.raises(ValueError, match=r"feed delay of -1 day"):
        warehouse.bars.write(bars(bar()), LATER, feed_delay=timedelta(seconds=delay))
    warehouse.bars.write(bars(bar()), LATER)
    warehouse.news.write(news(article()), LATER)
    connection = psycopg2.connect(warehouse_url)
    for table, moment in (("market_bars", "bar_end"), ("news_articles", "updated_at")):
        with pytest.raises(psycopg2.errors.CheckViolation), connection, connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET known_at = {moment} + %s", (timedelta(seconds=delay),))
    connection.close()
    assert known(warehouse) == [(100.0, END, True)]


def test_an_open_may_be_unknown(warehouse: Warehouse) -> None:
    warehouse.bars.write(bars(bar(open=None)), LATER)
    assert warehouse.bars.read(["AAPL"], "1Min", T0, END, LATER)["open"].to_list() == [None]


def test_a_replayed_clock_leaves_such_a_bar_nominal(warehouse: Warehouse) -> None:
    warehouse.coverage.add([covered(T0 - 30 * MINUTE, T0)])
    warehouse.bars.write(bars(bar()), END + 3 * SECOND)
    assert known(warehouse) == [(100.0, END, True)]


@pytest.mark.parametrize("live", [True, False])
def test_a_bar_that_a_covered_span_lacked_came_late(warehouse: Warehouse, live: bool) -> None:
    warehouse.coverage.add([covered(T0, END)])
    warehouse.bars.write(bars(bar()), LATER, live=live)
    assert known(warehouse) == [(100.0, LATER, False)]


def test_coverage_holds_a_bar_by_its_end(warehouse: Warehouse) -> None:
    warehouse.coverage.add([covered(T0, END)])
    warehouse.bars.write(bars(bar(T0 - MINUTE, 1.0), bar(T0, 2.0), bar(END, 3.0)), LATER)
    assert known(warehouse) == [(1.0, T0, True), (2.0, LATER, False), (3.0, END + MINUTE, True)]


def test_coverage_of_another_symbol_or_kind_says_nothing(warehouse: Warehouse) -> None:
    warehouse.coverage.add([covered(T0, END, "MSFT"), covered(T0, END, kind="1Day"), covered(T0, END, kind="news")])
    warehouse.bars.write(bars(bar()), LATER)
    assert known(warehouse) == [(100.0, END, True)]


def renamed(at: datetime = T0 + 5 * MINUTE) -> dict[str, object]:
    return action(7, at, ratio=None, kind="name_change", ex_date=at.date())


def test_a_bar_from_before_its_company_took_the_ticker_is_known_from_then(warehouse: Warehouse) -> None:
    """As of the day of the change or later; as of an earlier day the ticker means another company still."""
    change = T0 + 5 * MINUTE
    warehouse.corporate_actions.write(actions(renamed(change)), LATER)
    asof = {"asof": change.date()}
    warehouse.bars.write(bars(bar(T0, 1.0), bar(change, 3.0), bar(T0, 9.0, "MSFT")), LATER, **asof)
    warehouse.bars.write(bars(bar(T0 + MINUTE, 2.0)), LATER, asof=change.date() - timedelta(days=1))
    warehouse.bars.write(bars(bar(T0 + 2 * MINUTE, 2.5)), LATER)
    assert known(warehouse) == [
        (1.0, change, True),
        (2.0, T0 + 2 * MINUTE, True),
        (2.5, T0 + 3 * MINUTE, True),
        (3.0, change + MINUTE, True),
    ]
    assert known(warehouse, "MSFT") == [(9.0, END, True)]


def test_a_bar_stored_before_its_change_of_name_was_announced_is_confirmed_once(warehouse: Warehouse) -> None:
    """Else an announcement that came late would cut a company off from its own history for ever."""
    change = T0 + 5 * MINUTE
    warehouse.bars.write(bars(bar(T0, 1.0), bar(change, 3.0)), LATER)
    warehouse.corporate_actions.write(actions(renamed(change)), LATER)
    again = LATER + MINUTE
    for _ in range(2):
        warehouse.bars.write(bars(bar(T0, 1.0), bar(change, 3.0)), again, asof=change.date())
        assert known(warehouse) == [(1.0, END, True), (1.0, again, False), (3.0, change + MINUTE, True)]


def test_a_large_batch_knows_of_the_change_as_a_small_one_does(warehouse: Warehouse) -> None:
    change = T0 + 5 * MINUTE
    warehouse.corporate_actions.write(actions(renamed(change)), LATER)
    many = [bar(T0 + MINUTE * i, float(i + 1)) for i in range(20_000)]
    warehouse.bars.write(bars(*many), LATER, asof=change.date() + timedelta(days=30))
    found = known(warehouse)
    assert [moment for _, moment, _ in found[:7]] == [change] * 5 + [T0 + 6 * MINUTE, T0 + 7 * MINUTE]


def test_a_new_change_of_name_makes_the_coverage_of_the_tickers_bars_void_and_no_other(warehouse: Warehouse) -> None:
    def missing(kind: str, symbol: str = "AAPL") -> int:
        return len(warehouse.coverage.missing("test", kind, [symbol], T0, END))  # type: ignore[arg-type]

    def cover() -> None:
        warehouse.coverage.add([covered(T0, END, kind=kind) for kind in ("1Min", "1Day", "news", "actions")])
        warehouse.coverage.add([covered(T0, END, "MSFT")])

    cover()
    warehouse.corporate_actions.write(actions(action(1)), LATER)
    assert [missing(kind) for kind in ("1Min", "1Day", "news", "actions")] == [0, 0, 0, 0]
    warehouse.corporate_actions.write(actions(renamed()), LATER)
    assert [missing(kind) for kind in ("1Min", "1Day", "news", "actions")] == [1, 1, 0, 0]
    assert missing("1Min", "MSFT") == 0
    cover()
    warehouse.corporate_actions.write(actions(renamed()), LATER)
    assert [missing(kind) for kind in ("1Min", "1Day")] == [0, 0]


def test_a_decision_that_should_have_seen_the_bar_makes_its_receipt_count(warehouse: Warehouse) -> None:
    warehouse.indicators.write(indicators(indicator(END)))
    warehouse.bars.write(bars(bar(T0, 1.0), bar(END, 2.0)), LATER)
    assert known(warehouse) == [(1.0, LATER, False), (2.0, END + MINUTE, True)]


def test_the_settle_time_belongs_to_the_decision(warehouse: Warehouse) -> None:
    warehouse.indicators.write(indicators(indicator(END)))
    warehouse.bars.write(bars(bar(T0, 1.0)), LATER, feed_delay=15 * SECOND)
    warehouse.bars.write(bars(bar(T0 - MINUTE, 2.0)), LATER, feed_delay=76 * SECOND)
    assert known(warehouse) == [(2.0, T0 + 76 * SECOND, True), (1.0, LATER, False)]


def test_a_decision_of_the_other_horizon_or_another_symbol_does_not(warehouse: Warehouse) -> None:
    warehouse.indicators.write(indicators(indicator(END, horizon="daily"), indicator(END, symbol="MSFT")))
    warehouse.bars.write(bars(bar()), LATER)
    assert known(warehouse) == [(100.0, END, True)]


def test_a_decision_does_not_redate_history_before_what_is_covered(warehouse: Warehouse) -> None:
    warehouse.indicators.write(indicators(indicator(T0 + 5 * MINUTE)))
    warehouse.coverage.add([covered(T0 + MINUTE, T0 + 5 * MINUTE)])
    warehouse.bars.write(bars(bar(T0)), LATER)
    assert known(warehouse) == [(100.0, END, True)]


def test_a_decision_after_the_receipt_could_have_seen_the_row(warehouse: Warehouse) -> None:
    warehouse.indicators.write(indicators(indicator(LATER + MINUTE)))
    warehouse.bars.write(bars(bar()), LATER)
    assert known(warehouse) == [(100.0, END, True)]


def test_the_same_again_is_no_row_and_a_difference_is_a_restatement(warehouse: Warehouse) -> None:
    warehouse.bars.write(bars(bar(close=1.0)), LATER)
    assert warehouse.bars.write(bars(bar(close=1.0)), LATER + MINUTE) == WriteResult(0, 0, 1)
    assert warehouse.bars.write(bars(bar(close=2.0)), LATER + 2 * MINUTE) == WriteResult(0, 1, 0)
    assert warehouse.bars.write(bars(bar(close=1.0)), LATER + 3 * MINUTE) == WriteResult(0, 1, 0)
    assert known(warehouse) == [
        (1.0, END, True), (2.0, LATER + 2 * MINUTE, False), (1.0, LATER + 3 * MINUTE, False),
    ]  # fmt: skip


def test_a_null_that_becomes_a_number_is_a_restatement_and_another_source_is_not(warehouse: Warehouse) -> None:
    warehouse.bars.write(bars(bar()), LATER)
    assert warehouse.bars.write(bars(bar(source="other")), LATER) == WriteResult(0, 0, 1)
    assert warehouse.bars.write(bars(bar(vwap=5.0)), LATER) == WriteResult(0, 1, 0)
    assert warehouse.bars.write(bars(bar(vwap=5.0)), LATER) == WriteResult(0, 0, 1)


def test_a_restatement_never_rewrites_the_past(warehouse: Warehouse) -> None:
    warehouse.bars.write(bars(bar(close=100.0)), LATER)
    before = warehouse.bars.read(["AAPL"], "1Min", T0, END, LATER)
    warehouse.bars.write(bars(bar(close=50.0)), LATER + MINUTE)
    assert warehouse.bars.read(["AAPL"], "1Min", T0, END, LATER).equals(before)
    assert warehouse.bars.read(["AAPL"], "1Min", T0, END, LATER + MINUTE)["close"].to_list() == [50.0]


def test_what_was_received_before_the_stored_version_is_stale(warehouse: Warehouse) -> None:
    warehouse.bars.write(bars(bar(close=1.0)), LATER)
    warehouse.bars.write(bars(bar(close=2.0)), LATER + 2 * MINUTE)
    assert warehouse.bars.write(bars(bar(close=1.0)), LATER + MINUTE) == WriteResult(0, 0, 1)


def test_two_restatements_of_one_moment_keep_their_order(warehouse: Warehouse) -> None:
    for close in (1.0, 2.0, 3.0):
        warehouse.bars.write(bars(bar(close=close)), LATER)
    assert [close for close, _, _ in known(warehouse)] == [1.0, 2.0, 3.0]


def test_a_receipt_before_the_end_of_the_bar_is_a_wrong_clock(warehouse: Warehouse) -> None:
    warehouse.coverage.add([covered(T0 - 30 * MINUTE, T0)])
    warehouse.bars.write(bars(bar()), END - 5 * SECOND, live=True)
    assert known(warehouse) == [(100.0, END, True)]


def test_identical_rows_in_one_batch_are_one_and_different_ones_are_refused(warehouse: Warehouse) -> None:
    assert warehouse.bars.write(bars(bar(), bar()), LATER) == WriteResult(1, 0, 0)
    with pytest.raises(RuntimeError, match=r"(?s)market_bars.*same key and differ"):
        warehouse.bars.write(bars(bar(END, 1.0), bar(END, 2.0)), LATER)
    assert len(known(warehouse)) == 1


def test_news_about_several_symbols_is_dated_by_any_of_them(warehouse: Warehouse) -> None:
    warehouse.coverage.add([covered(T0, T0 + MINUTE, "MSFT", "news")])
    warehouse.news.write(
        news(article(1, symbols=["AAPL", "MSFT"]), article(2, symbols=["AAPL"]), article(3, symbols=[])), LATER
    )
    found = warehouse.news.read(None, T0, T0 + MINUTE, LATER)
    assert found["known_at"].to_list() == [LATER, T0, T0]


def test_news_that_a_stored_decision_should_have_seen_is_known_from_its_receipt(warehouse: Warehouse) -> None:
    warehouse.symbol_sentiment.write(sentiments(sentiment(T0 + MINUTE, horizon="daily")))
    warehouse.news.write(news(article(1), article(2, T0 + 2 * MINUTE)), LATER)
    assert warehouse.news.read(None, T0, T0 + MINUTE, LATER)["known_at"].to_list() == [LATER, T0 + 2 * MINUTE]


def test_live_news_is_known_from_its_receipt(warehouse: Warehouse) -> None:
    warehouse.coverage.add([covered(T0 - 30 * MINUTE, T0, kind="news")])
    warehouse.news.write(news(article()), T0 + 7 * SECOND, live=True)
    assert warehouse.news.read(None, T0, LATER, LATER).select("known_at", "nominal").rows() == [
        (T0 + 7 * SECOND, False)
    ]


def test_an_edit_in_loaded_history_is_known_when_it_was_made(warehouse: Warehouse) -> None:
    warehouse.news.write(news(article(headline="Up")), LATER)
    edit = news(article(updated=T0 + MINUTE, headline="Down"))
    assert warehouse.news.write(edit, LATER + MINUTE) == WriteResult(1, 0, 0)
    assert warehouse.news.write(edit, LATER + MINUTE) == WriteResult(0, 0, 1)
    for known_by, headline in ((T0, "Up"), (T0 + MINUTE - SECOND, "Up"), (T0 + MINUTE, "Down")):
        assert warehouse.news.read(["AAPL"], T0, LATER, known_by)["headline"].to_list() == [headline]


def test_a_live_edit_is_known_from_its_receipt(warehouse: Warehouse) -> None:
    warehouse.news.write(news(article(headline="Up")), T0, live=True)
    warehouse.news.write(news(article(updated=T0 + MINUTE, headline="Down")), T0 + 3 * MINUTE, live=True)
    assert warehouse.news.read(None, T0, LATER, T0 + 2 * MINUTE)["headline"].to_list() == ["Up"]
    assert warehouse.news.read(None, T0, LATER, T0 + 3 * MINUTE)["headline"].to_list() == ["Down"]


def test_an_edit_without_a_new_updated_at_is_a_restatement(warehouse: Warehouse) -> None:
    warehouse.news.write(news(article(headline="Up")), LATER)
    assert warehouse.news.write(news(article(headline="Down")), LATER + MINUTE) == WriteResult(0, 1, 0)
    assert warehouse.news.read(None, T0, LATER, LATER)["headline"].to_list() == ["Up"]
    assert warehouse.news.read(None, T0, LATER, LATER + MINUTE)["headline"].to_list() == ["Down"]


def test_an_older_version_that_comes_last_neither_wins_nor_enters_the_past(warehouse: Warehouse) -> None:
    warehouse.news.write(news(article(updated=T0 + MINUTE, headline="Down")), LATER)
    warehouse.news.write(news(article(headline="Up")), LATER + MINUTE)
    assert warehouse.news.read(None, T0, LATER, T0).is_empty()
    assert warehouse.news.read(None, T0, LATER, LATER + MINUTE)["headline"].to_list() == ["Down"]


def test_an_edit_that_drops_a_symbol_takes_the_article_from_it(warehouse: Warehouse) -> None:
    warehouse.news.write(news(article(symbols=["AAPL", "MSFT"])), LATER)
    warehouse.news.write(news(article(updated=T0 + MINUTE, headline="Down", symbols=["MSFT"])), LATER)
    assert warehouse.news.read(["AAPL"], T0, LATER, T0)["headline"].to_list() == ["Up"]
    assert warehouse.news.read(["AAPL"], T0, LATER, LATER).is_empty()


def test_an_action_is_not_known_before_its_day(warehouse: Warehouse) -> None:
    announced = T0 - timedelta(days=30)
    warehouse.corporate_actions.write(actions(action()), announced, live=True)
    warehouse.corporate_actions.write(actions(action(ratio=5.0)), announced + MINUTE, live=True)
    warehouse.corporate_actions.write(actions(action(ratio=4.0)), announced + 2 * MINUTE, live=True)
    assert warehouse.corporate_actions.read(["AAPL"], T0 - SECOND).is_empty()
    assert warehouse.corporate_actions.read(["AAPL"], T0 + SECOND)["ratio"].to_list() == [4.0]
    assert warehouse.corporate_actions.versions(["AAPL"], LATER)["ratio"].to_list() == [7.0, 5.0, 4.0]


def test_an_action_found_late_is_known_from_its_receipt(warehouse: Warehouse) -> None:
    warehouse.coverage.add([covered(T0 - timedelta(days=9), T0 + MINUTE, kind="actions")])
    warehouse.corporate_actions.write(actions(action(1), action(2, T0 + MINUTE)), LATER)
    found = warehouse.corporate_actions.versions(["AAPL"], LATER)
    assert found.select("known_at", "nominal").rows() == [(LATER, False), (T0 + MINUTE, True)]


def test_moments_of_other_zones_are_the_same_moments(warehouse: Warehouse) -> None:
    new_york = ZoneInfo("America/New_York")
    received = (LATER + MINUTE).astimezone(new_york)
    warehouse.coverage.add([covered(T0.astimezone(new_york), END)])
    warehouse.bars.write(bars(bar()), received)
    assert known(warehouse)[0][1] == received
