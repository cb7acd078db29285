"""What every vendor gives through ``fetch``, whatever its API looks like: one contract for Alpaca, Tradier, simulator.

A vendor under test is an ASGI server of its API over given daily or minute bars, on pages of two rows where it has
pages. ``Scripted`` puts replies in front of it, which fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import polars as pl
import pytest

from paiid_pipeline.clock import FixedClock
from paiid_pipeline.settings import load_settings
from paiid_pipeline.sources import DataKind, DataRequest, Fetched, Source, fetch, open_source
from paiid_pipeline.sources.simulator.backend import BarQuery
from paiid_pipeline.sources.simulator.server import application
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline_tests.sources.fake_vendor import SECRET, Asking, FakeTime, FakeTimeClient, Reply, Vendor, serving

XNYS = TradingCalendar("XNYS")
NOW = datetime(2014, 6, 9, 19, 0, tzinfo=UTC)
OPEN = datetime(2014, 6, 9, 13, 30, tzinfo=UTC)
MONDAY = datetime(2014, 6, 2, 4, tzinfo=UTC)  # midnight in New York
BAD = "^BAD"  # what every vendor refuses


@dataclass(frozen=True)
class Bar:
    """A bar as any vendor has it."""

    start: datetime
    close: float = 93.2
    high: float = 93.5

    @property
    def prices(self) -> dict[str, float]:
        return {"open": 93.0, "high": self.high, "low": 92.5, "close": self.close, "volume": 1000.0}


Bars = Mapping[str, Sequence[Bar]]
MINUTES: Bars = {"AAPL": [Bar(OPEN + timedelta(minutes=m), 93.0 + m / 10) for m in range(5)], "TWX": [Bar(OPEN)]}
DAYS: Bars = {"AAPL": [Bar(MONDAY + timedelta(days=day)) for day in (0, 1, 2, 3, 4, 7)]}


@dataclass
class Scripted:
    """An ASGI application behind replies that come first; counts the requests."""

    app: Any
    replies: Iterator[Reply]
    requests: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        reply = next(self.replies, None)
        await (self.app if reply is None else Vendor(lambda _: reply))(scope, receive, send)


class VendorContract:
    """The contract; a subclass says how its vendor is served and opened."""

    env: dict[str, str]

    def app(self, bars: Bars) -> Any:
        """The vendor's API over ``bars``."""
        raise NotImplementedError

    def fetch(
        self,
        bars: Bars,
        *,
        symbols: Sequence[str] = ("AAPL", "TWX"),
        kind: DataKind = "1Min",
        fail: Sequence[Reply] = (),
    ) -> tuple[Fetched, Scripted]:
        scripted = Scripted(self.app(bars), iter(fail))
        request = DataRequest(kind, tuple(symbols), OPEN if kind == "1Min" else MONDAY, NOW)
        with serving(scripted) as url:
            (fetched,) = fetch(self.source(url), [request], XNYS, NOW)
        return fetched, scripted

    def source(self, url: str) -> Source:
        """The source of the settings, for whose client no time passes."""
        opened = open_source(load_settings({**self.env, "PAIID_SOURCE_URL": url}))
        return replace(opened, new_client=lambda access: FakeTimeClient(access, FakeTime(), budget=5.0))

    def test_all_pages_of_all_symbols_are_joined_in_the_order_of_their_key(self) -> None:
        fetched, scripted = self.fetch(MINUTES)
        expected = [(symbol, bar.start, bar.close) for symbol, bars in MINUTES.items() for bar in bars]
        assert fetched.rows.select("symbol", "bar_start", "close").rows() == expected
        assert (fetched.failed_symbols, fetched.errors, fetched.refusals.height) == ((), (), 0)
        assert fetched.pages == fetched.requests == scripted.requests > 1
        assert fetched.retries == 0

    def test_minutes_are_stamped_in_utc_and_end_a_minute_later(self) -> None:
        fetched, _ = self.fetch(MINUTES)
        assert fetched.rows.schema["bar_start"] == pl.Datetime("us", "UTC")
        assert fetched.rows.select("bar_start", "bar_end").row(0) == (OPEN, OPEN + timedelta(minutes=1))
        assert set(fetched.rows["source"]) == {self.source("http://x").name}

    def test_a_day_is_the_exchanges_and_ends_with_its_session(self) -> None:
        fetched, _ = self.fetch(DAYS, symbols=["AAPL"], kind="1Day")
        assert fetched.rows["bar_start"].to_list() == [bar.start for bar in DAYS["AAPL"][:5]]
        assert fetched.rows["bar_end"][0] == datetime(2014, 6, 2, 20, tzinfo=UTC)

    def test_a_bar_that_has_not_ended_is_no_row(self) -> None:
        today, _ = self.fetch(DAYS, symbols=["AAPL"], kind="1Day")
        minute, _ = self.fetch({"AAPL": [Bar(OPEN), Bar(NOW - timedelta(seconds=30))]}, symbols=["AAPL"])
        assert (today.rows.height, minute.rows.height) == (5, 1)
        assert (today.failed_symbols, minute.failed_symbols) == ((), ())

    def test_a_symbol_that_the_vendor_refuses_is_named_and_costs_no_other(self) -> None:
        fetched, _ = self.fetch(MINUTES, symbols=["AAPL", BAD, "TWX"])
        assert set(fetched.rows["symbol"]) == {"AAPL", "TWX"}
        assert fetched.refusals["reason"].to_list() == ["unknown_symbol"]
        assert json.loads(fetched.refusals["payload"][0])["symbol"] == BAD
        assert (fetched.failed_symbols, fetched.errors) == ((), ())

    def test_a_symbol_without_rows_is_named(self) -> None:
        fetched, _ = self.fetch({"AAPL": MINUTES["AAPL"]})
        assert (fetched.symbols_without_data, fetched.failed_symbols) == (("TWX",), ())

    def test_an_unsound_row_is_quarantined_whole_with_its_reason(self) -> None:
        odd = Bar(OPEN + timedelta(minutes=9), close=92.6, high=90.0)
        fetched, _ = self.fetch({"AAPL": [*MINUTES["AAPL"], odd]}, symbols=["AAPL"])
        assert fetched.rows.height == 5
        assert fetched.refusals["reason"].to_list() == ["high_below_low"]
        payload = json.loads(fetched.refusals["payload"][0])
        assert payload["symbol"] == "AAPL"
        assert {90.0, 92.6} <= set(payload.values())

    def test_a_class_share_comes_back_under_its_canonical_symbol(self) -> None:
        fetched, _ = self.fetch({"BRK.B": MINUTES["AAPL"], "AAPL": [Bar(OPEN)]}, symbols=["AAPL", "BRK.B"])
        assert fetched.rows["symbol"].value_counts(sort=True).rows() == [("BRK.B", 5), ("AAPL", 1)]
        assert fetched.symbols_without_data == ()

    @pytest.mark.parametrize(
        "failure",
        [Reply(status=500), Reply(status=429), Reply({"half": 1}, cut=True), Reply(raw=b"<html>busy</html>")],
        ids=["500", "429", "cut", "html"],
    )
    def test_a_passing_failure_is_retried(self, failure: Reply) -> None:
        fetched, scripted = self.fetch(MINUTES, fail=[failure])
        assert fetched.rows.height == 6
        assert (fetched.retries, fetched.requests) == (1, scripted.requests)
        assert (fetched.failed_symbols, fetched.errors) == ((), ())

    def test_a_vendor_that_is_down_fails_the_symbols_by_name(self) -> None:
        fetched, _ = self.fetch(MINUTES, fail=[Reply(status=503)] * 1000)
        assert (fetched.rows.height, fetched.failed_symbols) == (0, ("AAPL", "TWX"))
        assert "HTTP 503" in fetched.errors[0]

    @pytest.mark.parametrize("body", [[], {"message": "odd"}, {"bars": [], "series": 7}], ids=repr)
    def test_json_of_another_shape_is_quarantined_whole(self, body: Any) -> None:
        fetched, _ = self.fetch(MINUTES, symbols=["AAPL"], fail=[Reply(body)])
        assert fetched.refusals["reason"].to_list() == ["unexpected_shape"]
        assert json.loads(fetched.refusals["payload"][0]) == body
        assert fetched.failed_symbols == ("AAPL",)

    @pytest.mark.parametrize("status", [401, 403])
    def test_refused_credentials_name_the_remedy_and_show_no_key(self, status: int) -> None:
        fetched, scripted = self.fetch(
            MINUTES, symbols=["AAPL"], fail=[Reply({"message": "forbidden."}, status=status)]
        )
        source = self.source("http://x")
        assert source.vendor.access.variables in fetched.errors[0]
        assert (fetched.failed_symbols, scripted.requests) == (("AAPL",), 1)
        assert SECRET not in f"{fetched!r} {source!r}"


class TestAlpaca(VendorContract):
    """Many symbols a request, pages under a token, errors as ``message``."""

    env = {"PAIID_SOURCE": "alpaca", "PAIID_ALPACA_KEY_ID": SECRET, "PAIID_ALPACA_SECRET_KEY": SECRET}  # noqa: RUF012

    def app(self, bars: Bars) -> Any:
        def answer(asking: Asking) -> Reply:
            symbols = asking.params["symbols"].split(",")
            if BAD in symbols:
                return Reply({"message": f"invalid symbol: {BAD}"}, status=400)
            rows = [(symbol, self._row(bar)) for symbol in symbols for bar in bars.get(symbol, ())]
            first = int(asking.params.get("page_token", 0))
            page: dict[str, list[Any]] = {}
            for symbol, row in rows[first : first + 2]:
                page.setdefault(symbol, []).append(row)
            return Reply({"bars": page, "next_page_token": str(first + 2) if first + 2 < len(rows) else None})

        return Vendor(answer)

    def _row(self, bar: Bar) -> dict[str, Any]:
        return {"t": f"{bar.start:%Y-%m-%dT%H:%M:%SZ}", **{name[0]: value for name, value in bar.prices.items()}}


class TestTradier(VendorContract):
    """One symbol a request, no pages, a single row as an object, class shares with a slash, errors as ``fault``."""

    env = {"PAIID_SOURCE": "tradier", "PAIID_TRADIER_TOKEN": SECRET}  # noqa: RUF012

    def app(self, bars: Bars) -> Any:
        def answer(asking: Asking) -> Reply:
            symbol = asking.params["symbol"]
            if symbol == BAD or "." in symbol:
                return Reply({"fault": "invalid symbol"}, status=400)
            daily = asking.path == "/v1/markets/history"
            rows = [self._row(bar, daily) for bar in bars.get(symbol.replace("/", "."), ())]
            outer, inner = ("history", "day") if daily else ("series", "data")
            return Reply({outer: {inner: rows[0] if len(rows) == 1 else rows} if rows else "null"})

        return Vendor(answer)

    def _row(self, bar: Bar, daily: bool) -> dict[str, Any]:
        start = (
            {"date": f"{bar.start.astimezone(XNYS.timezone):%Y-%m-%d}"}
            if daily
            else {"timestamp": int(bar.start.timestamp())}
        )
        return {**start, **bar.prices}


class TestSimulator(VendorContract):
    """The local server over a backend of the given bars, its pages cut to two rows."""

    env = {"PAIID_SOURCE": "replay", "PAIID_DATA_DIR": "/"}  # noqa: RUF012

    def app(self, bars: Bars) -> Any:
        served = application(GivenBars(bars), FixedClock(NOW))

        async def two_rows_a_page(scope: Any, receive: Any, send: Any) -> None:
            query = {**dict(parse_qsl(scope["query_string"].decode())), "limit": "2"}
            await served({**scope, "query_string": urlencode(query).encode()}, receive, send)

        return two_rows_a_page


@dataclass(frozen=True)
class GivenBars:
    """A simulator's backend that has these bars and nothing else."""

    bars_of: Bars
    name: str = field(default="given", init=False)

    def bars(self, query: BarQuery) -> Iterator[pl.DataFrame]:
        length = timedelta(minutes=1) if query.timeframe == "1Min" else timedelta(hours=16)
        for symbol in query.symbols:
            rows = [
                {"S": symbol, "t": bar.start, **{name[0]: value for name, value in bar.prices.items()}}
                for bar in self.bars_of.get(symbol, ())
                if query.start <= bar.start <= min(query.end, query.now - length)
            ]
            if rows:
                yield pl.DataFrame(rows).with_columns(n=pl.lit(None, pl.Int64), vw=pl.lit(None, pl.Float64))

    def news(self, *_: object) -> list[dict[str, Any]]:
        return []

    def actions(self, *_: object) -> dict[str, list[dict[str, Any]]]:
        return {}
