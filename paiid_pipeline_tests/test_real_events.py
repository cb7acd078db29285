"""Splits, renames, reused tickers and crashes that really happened: what the pipeline makes of each.

The real files are served over HTTP by the replay, ingested into a real warehouse, read back as of each decision, and
decided by the code of the assets. `pytest paiid_pipeline_tests/test_real_events.py -rP` shows what came of each event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from paiid_pipeline.clock import FixedClock
from paiid_pipeline.decisions import decision_grid, read_range
from paiid_pipeline.ingestion import Ingestion
from paiid_pipeline.ml.signals.engines import rule_engine
from paiid_pipeline.schemas import SYMBOL_SENTIMENT, empty
from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import open_source
from paiid_pipeline.sources.simulator.replay import Replay
from paiid_pipeline.sources.simulator.server import application
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline.trading_calendar import TIMEFRAME, Horizon, TradingCalendar
from paiid_pipeline.warehouse import Warehouse, migrate
from paiid_pipeline_tests.sources.fake_vendor import serving
from paiid_pipeline_tests.technicals.factor_files import actions_of

XNYS = TradingCalendar("XNYS")
LATER = datetime(2030, 1, 1, tzinfo=UTC)

SPLITS = [
    ("AAPL", date(2000, 6, 21), 2.0),
    ("AAPL", date(2005, 2, 28), 2.0),
    ("AAPL", date(2014, 6, 9), 7.0),
    ("AAPL", date(2020, 8, 31), 4.0),
    ("AIG", date(2009, 7, 1), 0.05),
    ("IBM", date(1999, 5, 27), 2.0),
    ("BAC", date(2004, 8, 30), 2.0),
    ("QQQ", date(2000, 3, 20), 2.0),
]
CRASHES = [
    ("AAPL", date(2000, 9, 29), 0.48),
    ("AIG", date(2008, 9, 15), 0.42),
    ("AIG", date(2008, 9, 17), 0.52),
    ("AIG", date(2008, 9, 19), 1.77),
]


@dataclass(frozen=True)
class Desk:
    """One warehouse that is fed from the real files, day by day."""

    folder: Path
    postgres_url: str
    source_url: str
    clock: FixedClock

    @cached_property
    def settings(self) -> Any:
        return load_settings(
            {
                "PAIID_SOURCE": "replay",
                "PAIID_SOURCE_URL": self.source_url,
                "PAIID_DATA_DIR": str(self.folder),
                "PAIID_POSTGRES_URL": self.postgres_url,
            }
        )

    def ingest(self, symbol: str, *days: date) -> None:
        """What the partitions of some sessions ask for, each when its session has closed."""
        for day in days:
            session = XNYS.session(day)
            assert session is not None
            self.clock.moment = session.close + timedelta(seconds=5)
            with Warehouse(self.postgres_url) as warehouse:
                ingestion = Ingestion(open_source(self.settings), warehouse, XNYS, self.settings, self.clock)
                gathered = ingestion.gather(ingestion.needed_market([day]), [symbol], lambda _: None)
            assert gathered.errors == []
            # A note of what is out of line is no refusal: the bar is stored, and each decision judges it.
            noted = pl.col("reason").str.ends_with("_out_of_line")
            assert gathered.refusals.filter((pl.col("reason") != "outside_session") & ~noted).height == 0

    def read(
        self, symbol: str, day: date, horizon: Horizon = "daily", number: int = -1
    ) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Bars, actions and one decision of a session, by default the last, as the assets read them."""
        decisions = decision_grid([symbol], [day], self.settings, LATER)
        decision = decisions.filter(pl.col("horizon") == horizon).sort("as_of")[[number]]
        span = read_range(decision)
        with Warehouse(self.postgres_url) as warehouse:
            bars = warehouse.bars.versions(span.symbols, TIMEFRAME[horizon], span.anchor, span.last, span.known_by)
            return bars, warehouse.corporate_actions.versions(span.symbols, span.known_by), decision

    def decide(self, symbol: str, day: date, horizon: Horizon = "daily", number: int = -1) -> dict[str, Any]:
        """The indicators and the signal of a decision, or why there are none."""
        return self.decided(*self.read(symbol, day, horizon, number))

    def decided(self, bars: pl.DataFrame, actions: pl.DataFrame, decisions: pl.DataFrame) -> dict[str, Any]:
        indicators, withheld = decide_indicators(bars, actions, decisions, self.settings.max_bar_age)
        signals, refused = rule_engine(self.settings).decide(indicators, empty(SYMBOL_SENTIMENT))
        reasons = pl.concat([withheld, refused])["reason"].to_list()
        if reasons or signals.is_empty():
            return {"withheld": "; ".join(reasons)}
        return {**indicators.row(0, named=True), **signals.row(0, named=True), "withheld": None}


@pytest.fixture
def desk(data_dir: Path, postgres_url: str) -> Iterator[Desk]:
    migrate(postgres_url)
    clock = FixedClock(LATER)
    with serving(application(Replay(data_dir), clock)) as url:
        yield Desk(data_dir, postgres_url, url, clock)


def sessions(day: date, before: int, after: int) -> list[date]:
    """So many sessions before a day, itself, and so many after."""
    later = XNYS.sessions(day, day + timedelta(days=3 * after + 10))[: after + 1]
    return [XNYS.session_back(day, back).day for back in range(before, 0, -1)] + [session.day for session in later]


def tell(event: str, day: date, seen: dict[str, Any]) -> None:
    """One line of the table."""
    words = seen["withheld"] or (
        f"close {seen['close']:8.2f}  RSI {seen['rsi_14']:5.1f}  ATR {seen['atr_percent']:6.2%}  "
        f"{seen['signal']:11} {seen['strength']:+.2f}"
    )
    print(f"{event:32} {day}  {words}")


def by_hand(bars: pl.DataFrame, folder: Path, symbol: str) -> pl.DataFrame:
    """Bars adjusted by the factor file's own words, by a plain loop, and nothing of the pipeline's."""
    ordered = bars.sort("bar_start")
    rows = ordered.to_dicts()
    end = rows[-1]["bar_end"]
    actions = [a for a in actions_of(folder, symbol).to_dicts() if a["effective_at"] <= end]
    for action in actions:
        before = [row for row in rows if row["bar_end"] <= action["effective_at"]]
        if not before:
            continue
        last = next(raw for raw in reversed(ordered.to_dicts()) if raw["bar_end"] <= action["effective_at"])["close"]
        factor = 1 / action["ratio"] if action["ratio"] else 1 - action["amount"] / last
        for row in before:
            for name in ("open", "high", "low", "close"):
                row[name] *= factor
            row["volume"] /= factor if action["ratio"] else 1
    return pl.DataFrame(rows, schema=bars.schema)


NUMBERS = ("rsi_14", "macd", "macd_histogram", "bb_percent_b", "bb_bandwidth", "atr_percent", "adx_14",
           "volume_ratio", "volatility_20", "vwap_distance", "strength", "confidence")  # fmt: skip


@pytest.mark.parametrize(("symbol", "ex_date", "ratio"), SPLITS)
def test_a_split_moves_no_signal(desk: Desk, symbol: str, ex_date: date, ratio: float) -> None:
    """On the day and after it every number equals that on prices adjusted by hand, and none is a jump's."""
    days = sessions(ex_date, 2, 2)
    desk.ingest(symbol, *days)
    for before, day in pairwise(days):
        bars, actions, decisions = desk.read(symbol, day)
        seen = desk.decided(bars, actions, decisions)
        tell(f"{symbol} split {ratio:g}:1", day, seen)
        plain = desk.decided(by_hand(bars, desk.folder / "bars/factor_files", symbol), actions.clear(), decisions)
        assert {name: seen[name] for name in NUMBERS} == pytest.approx(
            {name: plain[name] for name in NUMBERS}, rel=1e-6
        )
        assert seen["signal"] == plain["signal"]
        assert 15 < seen["rsi_14"] < 90
        closes = dict(bars.select(pl.col("bar_end").dt.date(), "close").rows())
        move = closes[day] * (ratio if day == ex_date else 1.0) / closes[before]
        assert abs(move - 1) < 0.25
        assert seen["volatility_20"] < 0.12
    unadjusted = desk.decided(bars, actions.clear(), decisions)
    assert unadjusted["withheld"] or unadjusted["volatility_20"] > 1.3 * seen["volatility_20"]


@pytest.mark.parametrize(("symbol", "day", "factor"), CRASHES)
def test_a_real_move_that_looks_like_a_split_is_kept_and_moves_the_readings(
    desk: Desk, symbol: str, day: date, factor: float
) -> None:
    before = XNYS.session_back(day, 1).day
    desk.ingest(symbol, before, day)
    earlier, seen = desk.decide(symbol, before), desk.decide(symbol, day)
    for at, row in ((before, earlier), (day, seen)):
        tell(f"{symbol} really x{factor}", at, row)
    assert seen["close"] / earlier["close"] == pytest.approx(factor, abs=0.03)
    assert seen["price"] / seen["close"] == 1.0
    down = factor < 1
    assert (seen["rsi_14"] < earlier["rsi_14"]) == down
    assert (seen["macd_histogram"] < earlier["macd_histogram"]) == down
    assert seen["volatility_20"] > 1.05 * earlier["volatility_20"]
    assert seen["regime"] == "high_volatility"
    if down:
        assert seen["rsi_14"] < 30
        assert "crossed_below_lower" in seen["bb_cross"] or earlier["bb_position"] == "below"
    assert seen["signal"] != earlier["signal"] or seen["strength"] != earlier["strength"]


def over_the_change(desk: Desk, symbol: str, day: date) -> list[dict[str, Any]]:
    """Three decisions before a ticker changes hands and three after, stored day by day.

    Those before stay as they were, once what comes after is stored.
    """
    days = sessions(day, 3, 2)
    desk.ingest(symbol, *days[:3])
    before = [desk.decide(symbol, each) for each in days[:3]]
    desk.ingest(symbol, *days[3:])
    assert [desk.decide(symbol, each) for each in days[:3]] == before
    after = [desk.decide(symbol, each) for each in days[3:]]
    for each, row in zip(days, [*before, *after], strict=True):
        tell(f"{symbol} changes hands {day}", each, row)
    return [*before, *after]


def test_waste_management_takes_over_the_ticker_of_washington_mutual(desk: Desk) -> None:
    """Washington Mutual's bars are stored under WM: from the day of the change on the history is that of WMI."""
    days = sessions(date(2009, 8, 5), 3, 2)
    seen = over_the_change(desk, "WM", date(2009, 8, 5))
    assert ["newest bar ended 2008-09-26" in row["withheld"] for row in seen[:3]] == [True] * 3
    for day, row in zip(days[3:], seen[3:], strict=True):
        assert row["withheld"] is None
        assert row["bars"] > 480
        assert row["volatility_20"] < 0.03
        assert row["sma_200"] == pytest.approx(row["close"], rel=0.15)
        wmi, actions, decision = desk.read("WM", day)
        assert row["bars"] == wmi.filter(pl.col("bar_end") > decision["anchor"][0])["bar_start"].n_unique()
        assert actions.filter(pl.col("kind") == "name_change").height == 1


def test_class_c_takes_over_the_ticker_of_class_a(desk: Desk) -> None:
    """Google's class A is GOOGL from 2014-04-03, and GOOG the class C, that has been trading for five days."""
    day = date(2014, 4, 3)
    seen = over_the_change(desk, "GOOG", day)
    assert all(row["close"] > 1100 and row["bars"] > 480 for row in seen[:3])
    assert [row["withheld"].split(" since")[0] for row in seen[3:]] == [f"only {n} of 250 bars" for n in (6, 7, 8)]
    desk.ingest("GOOGL", day)
    googl = desk.decide("GOOGL", day)
    tell("GOOGL, all of GOOG's history", day, googl)
    assert googl["bars"] == seen[2]["bars"]
    assert googl["volatility_20"] < 0.03


def test_facebook_has_no_history_from_before_it_was_listed(desk: Desk) -> None:
    """FB was Falcon Products until 2003."""
    day = date(2012, 5, 18)
    desk.ingest("FB", *sessions(day, 2, 1))
    for each, words in zip(sessions(day, 2, 1), ("no bars", "no bars", "only 1 of 250", "only 2 of 250"), strict=True):
        seen = desk.decide("FB", each)
        tell("FB is listed", each, seen)
        assert seen["withheld"].startswith(words)


def test_news_corp_goes_on_as_foxa_and_what_it_spun_off_begins_anew(desk: Desk) -> None:
    """NWSA 2013-06-28 is FOXA 2013-07-01, without the worth of the new News Corp, which takes over NWSA."""
    last, first = date(2013, 6, 28), date(2013, 7, 1)
    desk.ingest("NWSA", last)
    before = desk.decide("NWSA", last, "intraday", -1)
    tell("NWSA, the last day", last, before)
    for symbol in ("FOXA", "NWSA"):
        desk.ingest(symbol, first)
    number = 10
    foxa = desk.decide("FOXA", first, "intraday", number)
    tell("FOXA, the first day", first, foxa)
    assert foxa["withheld"] is None
    assert foxa["bars"] > 600
    assert before["close"] / foxa["close"] > 1.1
    assert 20 < foxa["rsi_14"] < 80
    assert foxa["volatility_20"] < 0.005
    nwsa = desk.decide("NWSA", first, "intraday", number)
    tell("NWSA, another company", first, nwsa)
    assert nwsa["withheld"].startswith("no bars")
    assert desk.decide("NWSA", last, "intraday", -1) == before


def test_a_spin_off_is_no_fall(desk: Desk) -> None:
    """Time Warner gave its shareholders Time Inc. on 2014-06-09: a tenth of its price, and no signal."""
    friday, monday = date(2014, 6, 6), date(2014, 6, 9)
    desk.ingest("TWX", friday, monday)
    before, seen = desk.decide("TWX", friday, "intraday", -1), desk.decide("TWX", monday, "intraday", 5)
    tell("TWX before its spin-off", friday, before)
    tell("TWX after it", monday, seen)
    assert seen["withheld"] is None
    assert 20 < seen["rsi_14"] < 80
    assert seen["volatility_20"] < 0.005
    bars, actions, decision = desk.read("TWX", monday, "intraday", 5)
    blind = desk.decided(bars, actions.clear(), decision)
    assert blind["sma_50"] > 1.005 * seen["sma_50"]


def test_a_split_in_session_hours_of_the_first_morning(desk: Desk) -> None:
    """Apple, 2014-06-09: minute bars at 645 on Friday and at 93 on Monday are one series from the first decision on."""
    desk.ingest("AAPL", date(2014, 6, 9))
    for number in (0, 5, -1):
        seen = desk.decide("AAPL", date(2014, 6, 9), "intraday", number)
        tell("AAPL 7:1, minute bars", date(2014, 6, 9), seen)
        assert 20 < seen["rsi_14"] < 80
        assert seen["sma_200"] == pytest.approx(seen["close"], rel=0.02)
