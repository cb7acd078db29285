"""Alpaca's market data API, which the simulator serves too.

Bars are raw (``adjustment=raw``). ``asof`` selects the company that holds a ticker on the last requested day: the
vendor then returns that company's bars under its earlier tickers too (UW, WMI, WM), and none of a company that held
the ticker before it (Washington Mutual as WM, the first FB). Without it the vendor takes today's holder, which
for a past day is a look-ahead; with ``asof=-`` it mixes the bars of two companies.
https://docs.alpaca.markets/reference/stockbars

Corporate actions are selected by *process* date, which for a cash dividend is the payable date, weeks after the
ex-date: so the interval is widened by ``BEFORE_EX`` and ``AFTER_EX``, and those with an ex-date within it are kept.
https://docs.alpaca.markets/reference/corporateactions-1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from paiid_pipeline.sources.base import DataRequest, Page, Query, UnexpectedShapeError, by_symbol, vendors_spelling
from paiid_pipeline.sources.http import VendorAccess
from paiid_pipeline.sources.validation import AFTER_EX, BEFORE_EX, BarShape, DataKind, RequestScope, rfc3339
from paiid_pipeline.trading_calendar import TradingCalendar

_SYMBOLS_A_REQUEST = 100
_MOST_ARTICLES = 100_000
_MOST_ACTIONS = 200_000
_BARS = BarShape(start="t", start_type=str, moment=rfc3339, open="o", high="h", low="l", close="c", volume="v",
                 vwap="vw", trade_count="n")  # fmt: skip


@dataclass(frozen=True)
class Alpaca:
    """Bars, news and corporate actions; many symbols a request, pages joined by ``next_page_token``."""

    name: str
    access: VendorAccess
    feed: str
    provides: frozenset[DataKind] = frozenset({"1Min", "1Day", "news", "actions"})
    separator: str = "."

    def queries(self, request: DataRequest, calendar: TradingCalendar, now: datetime) -> list[Query]:
        """One query for each hundred symbols."""
        path, params, rows = self._parameters(request, calendar, now)
        symbols = tuple(dict.fromkeys(request.symbols))
        chunks = [symbols[i : i + _SYMBOLS_A_REQUEST] for i in range(0, len(symbols), _SYMBOLS_A_REQUEST)]
        return [Query(path, params, chunk, rows * len(chunk) if rows else _MOST_ARTICLES) for chunk in chunks]

    def params(self, query: Query, token: str | None) -> Mapping[str, str]:
        """The query's parameters, its symbols, and the page."""
        page = {} if token is None else {"page_token": token}
        return {**query.params, "symbols": ",".join(vendors_spelling(s, self.separator) for s in query.symbols), **page}

    def read(self, body: Any, query: Query, scope: RequestScope) -> Page:
        """``{"bars": {SYMBOL: [...]}}``, ``{"news": [...]}`` or ``{"corporate_actions": {KIND: [...]}}``."""
        field = {"news": "news", "actions": "corporate_actions"}.get(scope.kind, "bars")
        if not isinstance(body, dict) or field not in body:
            raise UnexpectedShapeError(f"{query.path}: no {field!r} in the answer")
        delivered = body[field]
        if delivered is None:
            delivered = [] if scope.kind == "news" else {}
        if not isinstance(delivered, list if scope.kind == "news" else dict):
            raise UnexpectedShapeError(f"{query.path}: {field!r} is {type(delivered).__name__}")
        token = body.get("next_page_token")
        if token is not None and not isinstance(token, str):
            raise UnexpectedShapeError(f"{query.path}: next_page_token is {type(token).__name__}, not text")
        if isinstance(delivered, list) or field != "bars":
            return Page(delivered, token or None)
        return Page(by_symbol(delivered, scope.symbols), token or None, _BARS)

    def _parameters(
        self, request: DataRequest, calendar: TradingCalendar, now: datetime
    ) -> tuple[str, dict[str, str], int | None]:
        # Alpaca's `end` is inclusive, ours is not.
        last = request.end - timedelta(microseconds=1)
        zone = calendar.timezone
        if request.kind == "actions":
            days = {"start": _day(request.start - BEFORE_EX, zone), "end": _day(last + AFTER_EX, zone)}
            return "/v1/corporate-actions", {**days, "limit": "1000", "sort": "asc"}, _MOST_ACTIONS
        span = {"start": _moment(request.start), "end": _moment(last), "sort": "asc"}
        if request.kind == "news":
            return "/v1beta1/news", {**span, "limit": "50", "include_content": "false"}, None
        step = timedelta(minutes=1) if request.kind == "1Min" else timedelta(days=1)
        bars = {"timeframe": request.kind, "limit": "10000", "adjustment": "raw", "feed": self.feed}
        asof = request.asof.isoformat() if request.asof else _day(min(last, now), zone)
        return "/v2/stocks/bars", {**span, **bars, "asof": asof}, 2 * ((request.end - request.start) // step + 2)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _day(moment: datetime, zone: Any) -> str:
    return moment.astimezone(zone).date().isoformat()
