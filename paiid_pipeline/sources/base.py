"""The interface of a vendor: the queries that answer a data request, and how an answer is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol

from paiid_pipeline.sources.http import VendorAccess
from paiid_pipeline.sources.validation import BarShape, DataKind, RequestScope
from paiid_pipeline.symbols import read_symbol
from paiid_pipeline.trading_calendar import TradingCalendar


@dataclass(frozen=True)
class DataRequest:
    """One request to a source: a kind of data, for some symbols, from ``start`` to before ``end`` (UTC).

    Bars count by their start, news by ``updated_at``, corporate actions by their ex-date or process date, one of which
    lies between the exchange-local dates of ``start`` and of the last moment before ``end``. A symbol means the
    company that holds it on ``asof``, under every ticker it had; by default on the last requested day.
    """

    kind: DataKind
    symbols: tuple[str, ...]
    start: datetime
    end: datetime
    asof: date | None = None

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError(f"request for {self.kind} from {self.start} to {self.end}: a moment needs a UTC offset")


@dataclass(frozen=True)
class Query:
    """One paginated request for some of the requested symbols."""

    path: str
    params: Mapping[str, str]
    symbols: tuple[str, ...]
    max_rows: int
    """An upper bound of the rows that exist; more of them are repetitions."""

    def of(self, symbols: tuple[str, ...]) -> Query:
        """The same request for fewer symbols."""
        return replace(self, symbols=symbols)


def vendors_spelling(symbol: str, separator: str) -> str:
    """A canonical symbol as a vendor writes it."""
    return symbol.replace(".", separator)


def by_symbol(delivered: Mapping[str, Any], requested: Collection[str]) -> dict[str, Any]:
    """Rows by canonical symbol; a symbol that was not requested keeps the vendor's spelling."""
    found: dict[str, Any] = {}
    for written, rows in delivered.items():
        symbol = read_symbol(written)
        name = symbol if symbol in requested else written
        both = isinstance(rows, list) and isinstance(found.get(name), list)
        found[name] = [*found[name], *rows] if both else rows
    return found


@dataclass(frozen=True)
class Page:
    """One answer, as ``validation`` takes it: bars by symbol, actions by kind, or a list of articles."""

    delivered: Mapping[str, Any] | list[Any]
    next_token: str | None = None
    shape: BarShape | None = None
    """How to read bars; None for news and corporate actions."""


class UnexpectedShapeError(Exception):
    """The answer is JSON of another shape than the endpoint's."""


class Vendor(Protocol):
    """One vendor's API."""

    @property
    def name(self) -> str:
        """The name that its rows carry as their source."""
        ...

    @property
    def provides(self) -> frozenset[DataKind]:
        """The kinds of data it has."""
        ...

    @property
    def access(self) -> VendorAccess:
        """Its address, credentials and rate limit."""
        ...

    @property
    def separator(self) -> str:
        """Its separator before the class of a share, where a canonical symbol has a dot."""
        ...

    def queries(self, request: DataRequest, calendar: TradingCalendar, now: datetime) -> list[Query]:
        """The queries that answer ``request``."""
        ...

    def params(self, query: Query, token: str | None) -> Mapping[str, str]:
        """The parameters of one page of a query."""
        ...

    def read(self, body: Any, query: Query, scope: RequestScope) -> Page:
        """One answer. Raises UnexpectedShapeError."""
        ...
