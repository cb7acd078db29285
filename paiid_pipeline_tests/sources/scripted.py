"""Requests of one day, and their answers by a scripted vendor, in no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from paiid_pipeline.sources import DataRequest, Fetched, Source, fetch
from paiid_pipeline.sources.alpaca import Alpaca
from paiid_pipeline.sources.http import VendorAccess
from paiid_pipeline.sources.tradier import Tradier
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline_tests.sources.fake_vendor import SECRET, Asking, FakeTime, Reply, Vendor, client, serving

XNYS = TradingCalendar("XNYS")
NOW = datetime(2014, 6, 9, 19, 0, tzinfo=UTC)
OPEN = datetime(2014, 6, 9, 13, 30, tzinfo=UTC)
BARS = DataRequest("1Min", ("AAPL", "TWX"), OPEN, NOW)
DAYS = DataRequest("1Day", ("AAPL",), datetime(2014, 6, 2, tzinfo=UTC), NOW)
NEWS = DataRequest("news", ("AAPL", "TWX"), OPEN, NOW)
ACTIONS = DataRequest("actions", ("AAPL", "TWX"), datetime(2014, 6, 2, 4, tzinfo=UTC), NOW)


def ask(
    answer: Callable[[Asking], Reply],
    *wanted: DataRequest,
    vendor: str = "alpaca",
    now: datetime = NOW,
    calendar: TradingCalendar = XNYS,
) -> tuple[list[Fetched], Vendor]:
    """Fetch from a scripted vendor, in no time."""
    scripted, time = Vendor(answer), FakeTime()
    with serving(scripted) as url:
        access = VendorAccess(url, {"Authorization": f"Bearer {SECRET}"}, "check PAIID_X", None)
        opened = Tradier(access) if vendor == "tradier" else Alpaca("alpaca", access, "iex")
        source = Source(opened, lambda a: client(a.base_url, time, a.per_minute, budget=5.0))
        return fetch(source, wanted, calendar, now), scripted


def bar(minute: int, price: float = 93.0) -> dict[str, Any]:
    at = OPEN + timedelta(minutes=minute)
    return {"t": f"{at:%Y-%m-%dT%H:%M:%SZ}", "o": price, "h": price, "l": price, "c": price, "v": 5}


def bars(token: str | None = None, **by_symbol: list[Any]) -> Reply:
    return Reply({"bars": by_symbol, "next_page_token": token})


def paged(*pages: Reply) -> Callable[[Asking], Reply]:
    """Page ``i`` under the token ``str(i)``."""
    return lambda asking: pages[int(asking.params.get("page_token", 0))]


def reasons(fetched: Fetched) -> list[str]:
    return fetched.refusals["reason"].to_list()


def sample(data_dir: Path, name: str) -> Any:
    return json.loads((data_dir / "vendor_shapes" / name).read_text())
