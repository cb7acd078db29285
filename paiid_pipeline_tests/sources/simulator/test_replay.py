"""Replay serves what was known by its clock, under the right company, from whatever files there are."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from paiid_pipeline.clock import FixedClock
from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import DataRequest, Fetched, fetch
from paiid_pipeline.sources.simulator.backend import BarQuery
from paiid_pipeline.sources.simulator.replay import Replay
from paiid_pipeline.sources.simulator.server import application
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline_tests.sources.fake_vendor import serving

XNYS = TradingCalendar("XNYS")
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def price(at: datetime | date, close: float = 100.0, symbol: str = "AAA", key: str = "ts") -> dict[str, Any]:
    return {"symbol": symbol, key: at, "open": close, "high": close, "low": close, "close": close, "volume": 700.0}


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(path)


def bars(
    folder: Path, timeframe: str, start: datetime, end: datetime, asof: date | None = None, now: datetime = LATER,
    symbol: str = "AAA",
) -> pl.DataFrame:  # fmt: skip
    (frame,) = Replay(folder).bars(BarQuery((symbol,), timeframe, start, end, asof, now))
    return frame


def naive(*parts: int) -> datetime:
    return datetime(*parts)  # noqa: DTZ001 - the files hold naive New York times


def test_naive_new_york_starts_become_utc_on_both_sides_of_a_clock_change(tmp_path: Path) -> None:
    starts = [naive(2008, 3, 7, 9, 30), naive(2008, 3, 10, 9, 30), naive(2008, 11, 3, 9, 30)]
    write(tmp_path, "bars/us_equity_minute_raw.parquet", [price(start) for start in starts])
    got = bars(tmp_path, "1Min", datetime(2008, 3, 1, tzinfo=UTC), datetime(2008, 12, 1, tzinfo=UTC))
    assert [moment.hour for moment in got["t"]] == [14, 13, 14]


def test_a_minute_is_served_once_it_has_ended_and_a_day_once_its_session_has_closed(tmp_path: Path) -> None:
    write(
        tmp_path,
        "bars/us_equity_minute_raw.parquet",
        [price(naive(2014, 7, 3, 12, 58)), price(naive(2014, 7, 3, 12, 59))],
    )
    write(tmp_path, "bars/us_equity_daily_raw.parquet", [price(naive(2014, 7, 2)), price(naive(2014, 7, 3))])
    span = (datetime(2014, 7, 1, tzinfo=UTC), datetime(2014, 7, 5, tzinfo=UTC))
    half_day_close = datetime(2014, 7, 3, 17, tzinfo=UTC)
    for now, minutes, days in ((half_day_close - timedelta(seconds=1), 1, 1), (half_day_close, 2, 2)):
        assert bars(tmp_path, "1Min", *span, now=now).height == minutes
        assert bars(tmp_path, "1Day", *span, now=now).height == days


def test_adjusted_days_are_made_raw_again_by_the_splits_inside_the_file(tmp_path: Path) -> None:
    days = [date(2014, 6, 5), date(2014, 6, 6), date(2014, 6, 9)]
    rows = [price(day, close, key="date") for day, close in zip(days, (92.0, 93.0, 94.0), strict=True)]
    empty = {**price(date(2014, 6, 4), key="date"), **dict.fromkeys(("open", "high", "low", "close", "volume"))}
    write(tmp_path, "bars/stocknet_daily.parquet", [empty, *rows])
    factors = tmp_path / "bars" / "factor_files" / "aaa.csv"
    factors.parent.mkdir()
    factors.write_text("20100104,1,0.03571430,1\n20140606,1,0.0357143,651\n20200828,1,0.25,499\n20501231,1,1,0\n")
    got = bars(tmp_path, "1Day", datetime(2014, 6, 1, tzinfo=UTC), LATER)
    assert got["c"].to_list() == [644.0, 651.0, 94.0]
    assert got["v"].to_list() == [100.0, 100.0, 700.0]


def test_an_empty_folder_answers_with_nothing(tmp_path: Path) -> None:
    replay, span = Replay(tmp_path), (datetime(2014, 1, 1, tzinfo=UTC), LATER)
    assert bars(tmp_path, "1Min", *span).is_empty()
    assert bars(tmp_path, "1Day", *span).is_empty()
    assert replay.news(["AAA"], *span, LATER) == []
    assert replay.actions(["AAA"], span[0].date(), span[1].date(), LATER) == {}


def test_one_tweet_about_several_symbols_is_one_article_out_when_it_was_written(tmp_path: Path) -> None:
    at = datetime(2014, 6, 9, 13, 0, 7, tzinfo=UTC)
    tweets = [{"symbol": s, "tweet_id": "1", "created_at": at, "text": "$A $B up"} for s in ("B", "A", "B")]
    write(tmp_path, "news/stocknet_tweets.parquet", tweets)
    replay, start = Replay(tmp_path), datetime(2014, 6, 1, tzinfo=UTC)
    assert replay.news(["A"], start, LATER, at - timedelta(seconds=1)) == []
    (article,) = replay.news(["A"], start, LATER, at)
    assert (article["id"], article["symbols"], article["updated_at"]) == ("1", ["A", "B"], at)
    assert replay.news(["C"], start, LATER, LATER) == []


def test_a_story_of_which_only_the_day_is_known_is_out_at_the_end_of_that_day(tmp_path: Path) -> None:
    story = {"name": "N", "date": naive(2011, 7, 6), "title": "News", "body": "Text", "kind": "topStory"}
    write(tmp_path, "news/ticker_news_2011.parquet", [{"symbol": s, **story} for s in ("B", "A")])
    replay, start, out = Replay(tmp_path), datetime(2011, 7, 1, tzinfo=UTC), datetime(2011, 7, 7, 4, tzinfo=UTC)
    assert replay.news(["A"], start, LATER, out - timedelta(seconds=1)) == []
    (article,) = replay.news(["A"], start, LATER, out)
    assert (article["created_at"], article["symbols"], article["summary"]) == (out, ["A", "B"], "Text")
    assert re.fullmatch("[0-9a-f]{32}", article["id"])
    assert replay.news(["A"], out, out, LATER) == [article]
    assert replay.news(["A"], out + timedelta(seconds=1), LATER, LATER) == []


# --- the real files, over HTTP, as the pipeline reads them


def ask(data_dir: Path, now: datetime, *wanted: DataRequest) -> list[Fetched]:
    with serving(application(Replay(data_dir), FixedClock(now))) as url:
        env = {"PAIID_SOURCE": "replay", "PAIID_SOURCE_URL": url, "PAIID_DATA_DIR": str(data_dir)}
        got = fetch(load_settings(env), wanted, XNYS, now)
    assert [one.errors for one in got] == [() for _ in wanted]
    return got


def daily(data_dir: Path, symbol: str, now: datetime, days: int = 800) -> tuple[pl.DataFrame, pl.DataFrame]:
    start = now - timedelta(days=days)
    prices, actions = ask(
        data_dir, now, DataRequest("1Day", (symbol,), start, now), DataRequest("actions", (symbol,), start, now)
    )
    return prices.rows, actions.rows


def test_the_morning_of_apples_split(data_dir: Path) -> None:
    """All four kinds at 15:00 New York on 2014-06-09: what the demonstration runs on."""
    now, symbols = datetime(2014, 6, 9, 19, tzinfo=UTC), ("AAPL", "TWX")
    minutes, days, news, actions = ask(
        data_dir, now,
        DataRequest("1Min", symbols, datetime(2014, 6, 5, 13, 30, tzinfo=UTC), now),
        DataRequest("1Day", symbols, datetime(2012, 6, 1, tzinfo=UTC), now),
        DataRequest("news", symbols, now - timedelta(days=3), now),
        DataRequest("actions", symbols, datetime(2014, 6, 1, tzinfo=UTC), now),
    )  # fmt: skip
    assert minutes.rows["bar_end"].max() == now
    assert set(minutes.refusals["reason"]) == {"outside_session"}
    apple = minutes.rows.filter(pl.col("symbol") == "AAPL")
    assert apple.height == 390 * 2 + 330
    assert apple.filter(pl.col("bar_start") < datetime(2014, 6, 9, tzinfo=UTC))["close"].min() > 600
    assert apple.filter(pl.col("bar_start") > datetime(2014, 6, 9, tzinfo=UTC))["close"].max() < 100
    assert days.rows["bar_end"].max() == datetime(2014, 6, 6, 20, tzinfo=UTC)
    assert (days.symbols_without_data, news.rows.height > 50) == (("TWX",), True)
    assert news.rows["updated_at"].max() <= now
    recent = actions.rows.filter(pl.col("ex_date") >= date(2014, 6, 1))
    assert recent.select("symbol", "kind", "ex_date", "ratio").rows() == [
        ("AAPL", "split", date(2014, 6, 9), 7.0), ("TWX", "cash_dividend", date(2014, 6, 9), None)]  # fmt: skip


@pytest.mark.parametrize(
    ("symbol", "now", "first", "highest_move"),
    [
        ("WM", datetime(2009, 8, 10, 21, tzinfo=UTC), date(2007, 6, 4), 0.2),  # and not Washington Mutual
        ("FB", datetime(2012, 6, 1, 21, tzinfo=UTC), date(2012, 5, 18), 0.2),
        ("GOOG", datetime(2014, 4, 10, 21, tzinfo=UTC), date(2014, 3, 27), 0.2),
        ("GOOGL", datetime(2014, 4, 10, 21, tzinfo=UTC), date(2012, 2, 1), 0.2),
        ("FOXA", datetime(2013, 7, 2, 21, tzinfo=UTC), date(2013, 6, 27), 0.2),
        ("AAPL", datetime(2014, 6, 30, 21, tzinfo=UTC), date(2012, 4, 23), 0.2),
        ("AIG", datetime(2009, 8, 10, 21, tzinfo=UTC), date(2007, 6, 4), 0.8),  # 2008-09 was real
    ],
)
def test_adjusted_for_its_own_actions_no_company_jumps_as_another_or_a_split_would(
    data_dir: Path, symbol: str, now: datetime, first: date, highest_move: float
) -> None:
    prices, actions = daily(data_dir, symbol, now)
    assert prices["bar_start"][0].date() == first
    moves = actions.filter(pl.col("kind").is_in(["split", "stock_dividend", "cash_dividend"]))
    closes = prices.select("bar_end", "close").rows()
    worst = 0.0
    for (_, before), (end, after) in pairwise(closes):
        expected = before
        for row in moves.filter(pl.col("ex_date") == end.date()).iter_rows(named=True):
            expected = expected / row["ratio"] if row["ratio"] else expected - row["amount"]
        worst = max(worst, abs(after / expected - 1.0))
    assert worst < highest_move
    assert set(prices["symbol"]) == {symbol}


def test_a_symbol_of_the_adjusted_file_alone_has_its_days(data_dir: Path) -> None:
    prices, _ = daily(data_dir, "MSFT", datetime(2014, 6, 9, 21, tzinfo=UTC), days=30)
    assert prices["bar_end"].max() == datetime(2014, 6, 9, 20, tzinfo=UTC)
    assert prices.height == 20


def test_minutes_of_2008_cross_the_clock_change_within_their_sessions(data_dir: Path) -> None:
    now = datetime(2008, 3, 11, tzinfo=UTC)
    (got,) = ask(data_dir, now, DataRequest("1Min", ("SHY",), datetime(2008, 3, 7, tzinfo=UTC), now))
    hours = got.rows.group_by(pl.col("bar_start").dt.date().alias("day")).agg(pl.col("bar_start").min().dt.hour())
    assert dict(hours.rows()) == {date(2008, 3, 7): 14, date(2008, 3, 10): 13}
