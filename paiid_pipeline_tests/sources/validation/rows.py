"""What validation is given: rows in Alpaca's shape, one request, and values of every wrong kind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from paiid_pipeline.sources.alpaca import _BARS as ALPACA
from paiid_pipeline.sources.validation import DataKind, RequestScope, ValidatedPage, check_bars
from paiid_pipeline.trading_calendar import TradingCalendar

XNYS = TradingCalendar("XNYS")
DAY = date(2014, 6, 9)
START, NOW = datetime(2014, 6, 9, 4, tzinfo=UTC), datetime(2014, 6, 9, 19, 0, 30, tzinfo=UTC)


def asked(kind: DataKind = "1Min", **changes: Any) -> RequestScope:
    given_: dict[str, Any] = {"source": "test", "kind": kind, "symbols": frozenset({"AAPL", "TWX"}), "start": START,
                              "end": START + timedelta(days=1), "now": NOW, "calendar": XNYS}  # fmt: skip
    return RequestScope(**{**given_, **changes})


def bar(at: str = "2014-06-09T14:00:00Z", **changes: Any) -> dict[str, Any]:
    good = {"t": at, "o": 93.0, "h": 93.5, "l": 92.5, "c": 93.2, "v": 1000, "n": 10, "vw": 93.1}
    return {key: value for key, value in {**good, **changes}.items() if value != "absent"}


def check(*rows: object, of: RequestScope | None = None) -> ValidatedPage:
    yardstick = of or asked()
    return check_bars({"AAPL": list(rows)}, ALPACA, yardstick, yardstick.sessions())


def article(**changes: Any) -> dict[str, Any]:
    good = {
        "id": 7,
        "headline": "Apple splits its shares",
        "summary": "Seven for one.",
        "source": "wire",
        "url": "u",
        "symbols": ["AAPL", "QCOM"],
        "created_at": "2014-06-09T12:00:00Z",
        "updated_at": "2014-06-09T13:00:00Z",
    }
    return {key: value for key, value in {**good, **changes}.items() if value != "absent"}


def action(kind: str, **fields: Any) -> dict[str, list[Any]]:
    return {kind: [{"id": "x1", "symbol": "AAPL", "ex_date": "2014-06-09", "process_date": "2014-06-09", **fields}]}


def reasons(checked: ValidatedPage) -> list[str]:
    return checked.refusals["reason"].to_list()


values = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10**30), st.floats(), st.text(max_size=5), st.just([1]), st.just({}),
    st.floats(1, 100), st.floats(1, 100),
)  # fmt: skip
stamps = st.one_of(values, st.integers(0, 259_200).map(lambda s: (START + timedelta(seconds=s)).isoformat()))
