"""A source without corporate actions that restates its history on another price basis: the stored one is then void."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.clock import FixedClock
from paiid_pipeline.decisions import decision_grid
from paiid_pipeline.ingestion import Ingestion, IngestionResult
from paiid_pipeline.schemas import BARS, REFUSALS
from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import WITHOUT_ACTIONS, DataRequest, Fetched, Source
from paiid_pipeline.technicals.adjustment import on_one_price_basis
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline.warehouse import Warehouse, migrate

CALENDAR = TradingCalendar("XNYS")
EX = date(2014, 6, 10)
BEFORE = datetime(2014, 6, 9, 20, 5, tzinfo=UTC)
MORNING = datetime(2014, 6, 10, 14, 10, tzinfo=UTC)
EVENING = datetime(2014, 6, 10, 20, 5, tzinfo=UTC)
SYMBOLS = ("CTRL", "SPLT")


class Blind:
    """A vendor like Tradier. SPLT splits by ``ratio`` on EX; from ``adjusted_at`` on all is on one price basis."""

    def __init__(self, ratio: float, adjusted_at: datetime) -> None:
        self.ratio, self.adjusted_at = ratio, adjusted_at
        self.asked: list[tuple[datetime, DataRequest]] = []
        days = CALENDAR.sessions(date(2012, 1, 3), date(2014, 6, 12))
        close = 400 * np.exp(np.cumsum(np.random.default_rng(8).normal(0, 0.01, len(days))))
        opens = np.concatenate([close[:1], close[:-1]])
        self.daily = pl.DataFrame({
            "bar_start": [CALENDAR.day_start(day.day) for day in days], "bar_end": [day.close for day in days],
            "open": opens, "high": np.maximum(opens, close) * 1.004, "low": np.minimum(opens, close) * 0.996,
            "close": close, "volume": np.full(len(days), 1e6),
        })  # fmt: skip

    def fetch(
        self, source: Source, wanted: Sequence[DataRequest], calendar: TradingCalendar, now: datetime
    ) -> list[Fetched]:
        del source, calendar
        self.asked += [(now, want) for want in wanted]
        return [self._answer(want, now) for want in wanted]

    def _answer(self, want: DataRequest, now: datetime) -> Fetched:
        frames = [pl.DataFrame(schema=BARS)]
        for symbol in want.symbols if want.kind == "1Day" else ():
            old = (pl.col("bar_start") < CALENDAR.day_start(EX)) & (now < self.adjusted_at)
            by = pl.when(old | (symbol == "CTRL")).then(1.0).otherwise(1 / self.ratio)
            frames.append(self.daily.with_columns(
                *((pl.col(name) * by).round(4) for name in ("open", "high", "low", "close")),
                volume=pl.col("volume") / by, symbol=pl.lit(symbol), timeframe=pl.lit("1Day"),
                vwap=pl.lit(None, pl.Float64), trade_count=pl.lit(None, pl.Int64), source=pl.lit("tradier"),
            ).select(BARS.keys()))  # fmt: skip
        rows = pl.concat([frame.cast(BARS) for frame in frames])
        rows = rows.filter((pl.col("bar_start") >= want.start) & (pl.col("bar_end") <= min(want.end, now)))
        silent = tuple(symbol for symbol in want.symbols if symbol not in set(rows["symbol"]))
        return Fetched(want, rows, pl.DataFrame(schema=REFUSALS), (), silent, (), 0, 1, 0, 1)


class Place:
    """An ingestion at moments of our choice, its warehouse, and what decisions read of it."""

    def __init__(self, url: str, vendor: Blind, monkeypatch: pytest.MonkeyPatch) -> None:
        migrate(url)
        monkeypatch.setattr("paiid_pipeline.ingestion.fetch", vendor.fetch)
        self.settings = load_settings({"PAIID_SOURCE": "tradier", "PAIID_TRADIER_TOKEN": "x"})
        self.warehouse, self.said = Warehouse(url), list[str]()

    def gather(self, at: datetime, *days: date) -> IngestionResult:
        source = cast("Source", SimpleNamespace(name="tradier", provides=frozenset({"1Min", "1Day"})))
        ingestion = Ingestion(source, self.warehouse, CALENDAR, self.settings, FixedClock(at))
        return ingestion.gather(ingestion.needed_market(days or [at.date()]), SYMBOLS, self.said.append)

    def decided(self, day: date) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
        """By symbol what the daily decision of a day reads, or why it is withheld."""
        now = datetime(2014, 7, 1, tzinfo=UTC)
        due = decision_grid(SYMBOLS, [day], self.settings, now).filter(pl.col("horizon") == "daily")
        bars = self.warehouse.bars.versions(SYMBOLS, "1Day", due["anchor"][0], due["as_of"][0], now)
        actions = self.warehouse.corporate_actions.versions(SYMBOLS, now)
        read, withheld = decide_indicators(bars, actions, due, self.settings.max_bar_age, WITHOUT_ACTIONS)
        return {row["symbol"]: row for row in read.to_dicts()}, dict(withheld.select("symbol", "reason").rows())


@pytest.mark.parametrize("ratio", [4.0, 1.5, 0.1])
def test_it_is_seen_in_the_morning_and_fetched_again_before_the_close(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    vendor = Blind(ratio, MORNING)
    place = Place(postgres_url, vendor, monkeypatch)
    place.gather(BEFORE)
    earlier = place.decided(BEFORE.date())
    place.gather(MORNING)
    assert [text.split(" came at")[0] for text in place.said if "came at" in text] == ["tradier: the bars of SPLT"]
    place.gather(EVENING)
    read, withheld = place.decided(EX)
    assert not withheld
    for name in ("rsi_14", "adx_14", "bb_percent_b", "volume_ratio"):
        assert read["SPLT"][name] == pytest.approx(read["CTRL"][name], rel=1e-3)
    assert place.decided(BEFORE.date()) == earlier


def test_no_window_holds_two_price_bases_whatever_is_decided_and_when(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor restates two days late: until then the gap is waited out, from then on nothing old is read."""
    restated = EVENING + timedelta(days=1, hours=-6)
    vendor = Blind(4.0, restated)
    place = Place(postgres_url, vendor, monkeypatch)
    for at in (BEFORE, EVENING, restated, EVENING + timedelta(days=1)):
        place.gather(at)
    assert "as in a split of 4 for 1" in place.decided(EX)[1]["SPLT"]
    read, withheld = place.decided(EX + timedelta(days=1))
    assert not withheld
    assert read["SPLT"]["rsi_14"] == pytest.approx(read["CTRL"]["rsi_14"], rel=1e-3)
    now = datetime(2014, 7, 1, tzinfo=UTC)
    stored = place.warehouse.bars.versions(["SPLT"], "1Day", BEFORE - timedelta(days=900), now, now)
    actions = place.warehouse.corporate_actions.read(["SPLT"], now)
    visible = on_one_price_basis(stored, actions)
    assert visible["close"].max() < 200 < stored["close"].max()  # type: ignore[operator]
    assert stored.height > visible.height


def test_it_is_done_once_and_an_ordinary_hour_asks_for_few_bars(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = Blind(4.0, MORNING)
    place = Place(postgres_url, vendor, monkeypatch)
    for at in (BEFORE, MORNING, MORNING + timedelta(hours=1), EVENING):
        place.gather(at)
    actions = place.warehouse.corporate_actions.read(SYMBOLS, EVENING)
    assert actions.select("symbol", "kind").rows() == [("SPLT", "rebased")]
    assert actions["ratio"][0] == pytest.approx(4.0, rel=1e-3)
    assert actions["known_at"][0] == MORNING
    later = [want for at, want in vendor.asked if at > MORNING and want.kind == "1Day"]
    assert later
    assert all(want.end - want.start < timedelta(days=40) for want in later)


def test_a_small_ratio_is_a_restatement_like_any(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(postgres_url, Blind(1.007, MORNING), monkeypatch)
    for at in (BEFORE, MORNING, EVENING):
        place.gather(at)
    assert place.warehouse.corporate_actions.read(SYMBOLS, EVENING).is_empty()
    assert not place.decided(EX)[1]
