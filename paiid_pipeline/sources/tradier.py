"""Tradier's market data API: daily history and one-minute timesales, one symbol a request.

Answers are XML unless ``Accept`` is JSON; a single row is an object instead of a list, and no row is null or the
string "null". A bar's ``timestamp`` is epoch seconds; the times of a request are exchange-local.
https://docs.tradier.com/reference/brokerage-api-markets-get-history
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from paiid_pipeline.sources.base import DataRequest, Page, Query, UnexpectedShapeError, vendors_spelling
from paiid_pipeline.sources.http import VendorAccess
from paiid_pipeline.sources.validation import BarShape, DataKind, RequestScope, epoch_seconds, local_date
from paiid_pipeline.trading_calendar import TradingCalendar

_DAYS = BarShape(start="date", start_type=str, moment=local_date, open="open", high="high", low="low", close="close",
                 volume="volume", vwap=None, trade_count=None)  # fmt: skip
_MINUTES = BarShape(start="timestamp", start_type=int, moment=epoch_seconds, open="open", high="high", low="low",
                    close="close", volume="volume", vwap="vwap", trade_count=None)  # fmt: skip


@dataclass(frozen=True)
class Tradier:
    """Bars only; an answer has no pages."""

    access: VendorAccess
    name: str = "tradier"
    provides: frozenset[DataKind] = frozenset({"1Min", "1Day"})
    separator: str = "/"

    def queries(self, request: DataRequest, calendar: TradingCalendar, now: datetime) -> list[Query]:
        """One query a symbol."""
        zone = calendar.timezone
        start = request.start.astimezone(zone)
        last = min(request.end - timedelta(microseconds=1), now).astimezone(zone)
        if request.kind == "1Day":
            path, step = "/v1/markets/history", timedelta(days=1)
            params = {"interval": "daily", "start": f"{start:%Y-%m-%d}", "end": f"{last:%Y-%m-%d}"}
        else:
            path, step = "/v1/markets/timesales", timedelta(minutes=1)
            params = {"interval": "1min", "start": f"{start:%Y-%m-%d %H:%M}", "end": f"{last:%Y-%m-%d %H:%M}"}
            params["session_filter"] = "open"
        rows = 2 * ((request.end - request.start) // step + 2)
        return [Query(path, params, (symbol,), rows) for symbol in dict.fromkeys(request.symbols)]

    def params(self, query: Query, token: str | None) -> Mapping[str, str]:  # noqa: ARG002 - it has no pages
        """The query's parameters and its symbol."""
        return {**query.params, "symbol": vendors_spelling(query.symbols[0], self.separator)}

    def read(self, body: Any, query: Query, scope: RequestScope) -> Page:
        """``{"history": {"day": [...]}}`` or ``{"series": {"data": [...]}}``."""
        outer, inner, shape = ("history", "day", _DAYS) if scope.kind == "1Day" else ("series", "data", _MINUTES)
        if not isinstance(body, dict) or outer not in body:
            raise UnexpectedShapeError(f"{query.path}: no {outer!r} in the answer")
        listed = body[outer]
        if isinstance(listed, dict):
            listed = listed.get(inner)
        if listed is None or listed == "null":
            listed = []
        if isinstance(listed, dict):
            listed = [listed]
        if not isinstance(listed, list):
            raise UnexpectedShapeError(f"{query.path}: {outer!r} holds {type(listed).__name__}")
        return Page({query.symbols[0]: listed} if listed else {}, None, shape)
