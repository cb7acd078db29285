"""The entry of ``sources``: data requests to the source of the settings, answered with validated rows.

A failure of one symbol, page or kind leaves the others as they are: it is named in ``errors``, its symbols in
``failed_symbols``, and the rows read before it are kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl
from pydantic import SecretStr

from paiid_pipeline.schemas import REFUSALS
from paiid_pipeline.settings import SIMULATED, Settings
from paiid_pipeline.sources.alpaca import Alpaca
from paiid_pipeline.sources.base import DataRequest, Page, Query, UnexpectedShapeError, Vendor, vendors_spelling
from paiid_pipeline.sources.http import (
    BadRequestError,
    Client,
    DeniedError,
    MalformedError,
    RequestStats,
    UnavailableError,
    VendorAccess,
)
from paiid_pipeline.sources.tradier import Tradier
from paiid_pipeline.sources.validation import (
    KEYS,
    SCHEMAS,
    DataKind,
    RequestScope,
    ValidatedPage,
    check_actions,
    check_bars,
    check_news,
    collapse,
    refusal,
)
from paiid_pipeline.trading_calendar import TradingCalendar

__all__ = ["WITHOUT_ACTIONS", "DataKind", "DataRequest", "Fetched", "Source", "fetch", "open_source", "provided"]

WITHOUT_ACTIONS = frozenset(vendor.name for vendor in (Tradier,) if "actions" not in vendor.provides)
"""Names of the sources without corporate actions: their bars cannot be adjusted for a split."""

_CONCURRENT_REQUESTS = 8
_MAX_PAGES = 2_000
_REFUSALS_BEFORE_ANY_ANSWER = 8

NewClient = Callable[[VendorAccess], Client]


@dataclass(frozen=True)
class Fetched:
    """The answer to one ``DataRequest``."""

    wanted: DataRequest
    rows: pl.DataFrame
    """schemas.BARS, NEWS or CORPORATE_ACTIONS: validated, unique by key, sorted by key."""
    refusals: pl.DataFrame
    """schemas.REFUSALS: what was not taken, with the reason."""
    failed_symbols: tuple[str, ...]
    """Not answered in full: coverage must not advance for them."""
    symbols_without_data: tuple[str, ...]
    """Answered in full, with no row."""
    errors: tuple[str, ...]
    in_progress: int
    """Bars left out because they had not ended by the request's now."""
    requests: int
    retries: int
    pages: int


@dataclass(frozen=True)
class Source:
    """A vendor and how to open a client for it."""

    vendor: Vendor
    new_client: NewClient = field(default=Client, repr=False)

    @property
    def name(self) -> str:
        """The name that its rows carry."""
        return self.vendor.name

    @property
    def provides(self) -> frozenset[DataKind]:
        """The kinds of data that it has."""
        return self.vendor.provides


def provided(settings: Settings) -> frozenset[DataKind]:
    """The kinds of data that the source of the settings has; needs none of its keys."""
    return Tradier.provides if settings.source == "tradier" else Alpaca.provides


def open_source(settings: Settings) -> Source:
    """The source that ``PAIID_SOURCE`` names. Raises LookupError naming the variable that is missing."""
    if settings.source in SIMULATED:
        if settings.source_url is None:
            raise LookupError(
                f"PAIID_SOURCE_URL is not set: PAIID_SOURCE={settings.source} is served locally; run through "
                "`paiid with-services …`, or start `python -m paiid_pipeline.sources.simulator.server` and set "
                "its address"
            )
        access = VendorAccess(settings.source_url, {}, "the local simulator takes no keys", None)
        return Source(Alpaca(settings.source, access, settings.alpaca_feed))
    if settings.source == "alpaca":
        variables = "check PAIID_ALPACA_KEY_ID and PAIID_ALPACA_SECRET_KEY, and that the plan has this feed and period"
        headers = {
            "APCA-API-KEY-ID": _required(settings.alpaca_key_id, "PAIID_ALPACA_KEY_ID", "alpaca"),
            "APCA-API-SECRET-KEY": _required(settings.alpaca_secret_key, "PAIID_ALPACA_SECRET_KEY", "alpaca"),
        }
        url = settings.source_url or "https://data.alpaca.markets"
        return Source(Alpaca("alpaca", VendorAccess(url, headers, variables, 200), settings.alpaca_feed))
    token = _required(settings.tradier_token, "PAIID_TRADIER_TOKEN", "tradier")
    url = settings.source_url or "https://api.tradier.com"
    return Source(Tradier(VendorAccess(url, {"Authorization": f"Bearer {token}"}, "check PAIID_TRADIER_TOKEN", 120)))


def fetch(
    source: Source | Settings, requests: Sequence[DataRequest], calendar: TradingCalendar, now: datetime
) -> list[Fetched]:
    """The answers to ``requests``, in their order; all are sent concurrently.

    ``now`` is the moment on the pipeline's clock: bars that end after it are left out, and rows dated after it
    refused. Raises ValueError for a kind that the source does not provide, and for the synthetic exchange under
    another calendar than 24/7; every other failure is in the answers.
    """
    opened = open_source(source) if isinstance(source, Settings) else source
    if opened.name == "synthetic" and calendar.name != "24/7":
        # Its day is a UTC day: under another calendar a daily bar would end before its last minutes.
        raise ValueError(f"the synthetic exchange never closes: set calendar = '24/7' instead of {calendar.name!r}")
    for request in requests:
        if request.kind not in opened.provides:
            kinds = ", ".join(sorted(opened.provides))
            raise ValueError(f"{opened.name} does not provide {request.kind!r}, only {kinds}: see Source.provides")
    return asyncio.run(_fetch(opened, requests, calendar, now))


async def _fetch(
    source: Source, requests: Sequence[DataRequest], calendar: TradingCalendar, now: datetime
) -> list[Fetched]:
    slots = asyncio.Semaphore(_CONCURRENT_REQUESTS)
    async with source.new_client(source.vendor.access) as client:
        answers = (_answer(source.vendor, request, calendar, now, client, slots) for request in requests)
        return list(await asyncio.gather(*answers))


async def _answer(
    vendor: Vendor,
    request: DataRequest,
    calendar: TradingCalendar,
    now: datetime,
    client: Client,
    slots: asyncio.Semaphore,
) -> Fetched:
    scope = RequestScope(
        vendor.name, request.kind, frozenset(request.symbols), request.start, request.end, now, calendar
    )
    if not request.symbols or request.start >= request.end:
        return _join(scope, request, [])
    sessions = scope.sessions() if request.kind in ("1Min", "1Day") else pl.DataFrame()
    readers = [
        _PageReader(vendor, client, slots, scope, sessions, query) for query in vendor.queries(request, calendar, now)
    ]
    await asyncio.gather(*(reader.run() for reader in readers))
    return _join(scope, request, readers)


@dataclass
class _PageReader:
    """All pages of one query; where the vendor refuses the query, the query is split by symbols."""

    vendor: Vendor
    client: Client
    slots: asyncio.Semaphore
    scope: RequestScope
    sessions: pl.DataFrame
    query: Query
    checked: list[ValidatedPage] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)  # symbol -> the vendor's message
    answered: set[str] = field(default_factory=set)
    stats: RequestStats = field(default_factory=RequestStats)
    pages: int = 0

    async def run(self) -> None:
        """Fetch all pages. A symbol that the vendor refuses is unknown to it, or failed with the whole request."""
        await self._split(self.query)
        for symbol, message in self.refused.items():
            # Without a single page the vendor may refuse the request as such, unless its message names a symbol.
            if self.pages or self._mentions(message, symbol) or "symbol" in message.lower():
                self._refuse("unknown_symbol", {"symbol": symbol, "message": message})
            else:
                self._fail((symbol,), f"{self.query.path}: {symbol}: refused: {message}")

    async def _split(self, query: Query) -> None:
        """Fetch the query; where the vendor refuses it, without the symbol that it names, or else in halves."""
        if not self.pages and len(self.refused) >= _REFUSALS_BEFORE_ANY_ANSWER:
            return self._fail(query.symbols, f"{query.path}: not tried, as the vendor has refused every request so far")
        try:
            await self._all_pages(query)
        except BadRequestError as error:
            message, symbols = str(error), query.symbols
            named = tuple(s for s in symbols if self._mentions(message, s)) or symbols * (len(symbols) == 1)
            self.refused.update(dict.fromkeys(named, message))
            others = tuple(symbol for symbol in symbols if symbol not in named)
            # The remainder after a named symbol is one query; without a name the refused symbol is in either half.
            middle = 0 if named else len(others) // 2
            for part in (others[:middle], others[middle:]):
                if part:
                    await self._split(query.of(part))

    async def _all_pages(self, query: Query) -> None:
        """All pages of a query, one after another."""
        token: str | None = None
        seen: set[str] = set()
        delivered = 0
        while True:
            page = await self._page(query, token)
            if page is None:
                return
            delivered += self._check(page)
            token = page.next_token
            if token is None:
                return
            if token in seen:
                return self._stop(query, "repeated_page_token", token)
            seen.add(token)
            if delivered > query.max_rows or len(seen) >= _MAX_PAGES:
                return self._stop(query, "endless_pages", token)

    async def _page(self, query: Query, token: str | None) -> Page | None:
        """One page; None, with the failure noted, where it could not be had."""
        async with self.slots:
            try:
                body = await self.client.get(query.path, self.vendor.params(query, token), self.stats)
            except (DeniedError, UnavailableError) as error:
                self._fail(query.symbols, str(error))
                return None
            except MalformedError as error:
                self._refuse("malformed_json", error.body)
                self._fail(query.symbols, str(error))
                return None
        self.pages += 1
        try:
            return self.vendor.read(body, query, self.scope)
        except UnexpectedShapeError as error:
            self._refuse("unexpected_shape", body)
            self._fail(query.symbols, str(error))
            return None

    def _check(self, page: Page) -> int:
        """Check and keep one page; how many rows it had."""
        if isinstance(page.delivered, list):
            checked = check_news(page.delivered, self.scope)
        elif page.shape is None:
            checked = check_actions(page.delivered, self.scope)
        else:
            checked = check_bars(page.delivered, page.shape, self.scope, self.sessions)
        self.answered |= _symbols_with_data(page, checked)
        self.checked.append(checked)
        return checked.rows.height + checked.refusals.height + checked.in_progress

    def _stop(self, query: Query, reason: str, token: str) -> None:
        self._refuse(reason, {"path": query.path, "symbols": list(query.symbols), "page_token": token})
        self._fail(query.symbols, f"{query.path}: stopped at page {self.pages}: {reason.replace('_', ' ')}")

    def _refuse(self, reason: str, payload: object) -> None:
        nothing = pl.DataFrame(schema=SCHEMAS[self.scope.kind])
        self.checked.append(ValidatedPage(nothing, refusal(self.scope.source, reason, payload)))

    def _mentions(self, message: str, symbol: str) -> bool:
        separators = {".", self.vendor.separator}
        return any(_mentions(message, vendors_spelling(symbol, separator)) for separator in separators)

    def _fail(self, symbols: tuple[str, ...], error: str) -> None:
        self.failed.update(symbols)
        self.errors.append(error)


def _symbols_with_data(page: Page, checked: ValidatedPage) -> set[str]:
    """The symbols for which a page has any row, refused rows included for bars."""
    if "symbols" in checked.rows.columns:
        return set(checked.rows["symbols"].explode())
    if page.shape is None or isinstance(page.delivered, list):
        return set(checked.rows["symbol"])
    return {symbol for symbol, rows in page.delivered.items() if rows}


def _mentions(message: str, symbol: str) -> bool:
    """Whether a message names this symbol, and not a longer one that contains it."""
    return re.search(rf"(?<![A-Za-z0-9.\-]){re.escape(symbol)}(?![A-Za-z0-9\-])(?!\.[A-Za-z0-9])", message) is not None


def _join(scope: RequestScope, request: DataRequest, readers: Sequence[_PageReader]) -> Fetched:
    """The answers to all queries of one request; an article about symbols of two queries is one article."""
    parts = [collapse(reader.checked, scope) for reader in readers]
    key = list(KEYS[scope.kind])
    rows = pl.concat([pl.DataFrame(schema=SCHEMAS[scope.kind]), *(part.rows for part in parts)])
    if scope.kind in ("news", "actions"):
        rows = rows.unique(subset=key, keep="last", maintain_order=True)
    refusals = pl.concat([pl.DataFrame(schema=REFUSALS), *(part.refusals for part in parts)])
    failed = set().union(*(reader.failed for reader in readers))
    answered = set().union(*(reader.answered for reader in readers))
    return Fetched(
        wanted=request,
        rows=rows.sort(key),
        refusals=refusals.unique(maintain_order=True) if scope.kind == "news" else refusals,
        failed_symbols=tuple(symbol for symbol in request.symbols if symbol in failed),
        symbols_without_data=tuple(symbol for symbol in request.symbols if symbol not in answered | failed),
        errors=tuple(dict.fromkeys(error for reader in readers for error in reader.errors)),
        in_progress=sum(part.in_progress for part in parts),
        requests=sum(reader.stats.requests for reader in readers),
        retries=sum(reader.stats.retries for reader in readers),
        pages=sum(reader.pages for reader in readers),
    )


def _required(value: SecretStr | None, variable: str, source: str) -> str:
    if value is None:
        raise LookupError(f"{variable} is not set: PAIID_SOURCE={source} needs it (or {variable}_FILE)")
    return value.get_secret_value()
