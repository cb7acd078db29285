"""The one entry for the rest of the pipeline: ask a source for what is wanted, get checked rows back.

Failure of one symbol, page or kind never costs the others: it is named in ``errors``, its symbols in
``failed_symbols``, and what could be read is kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
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
"""The sources of bars that tell of no corporate actions: their bars are not to be trusted across a split."""

_AT_ONCE = 8
_MOST_PAGES = 2_000
_REFUSALS_BEFORE_ANY_ANSWER = 8

NewClient = Callable[[VendorAccess], Client]


@dataclass(frozen=True)
class Fetched:
    """What came for one ``DataRequest``."""

    wanted: DataRequest
    rows: pl.DataFrame
    """schemas.BARS, NEWS or CORPORATE_ACTIONS: checked, no key twice, sorted by key."""
    refusals: pl.DataFrame
    """schemas.REFUSALS."""
    complete: bool
    """False where something asked for could not be fetched: coverage must not advance for ``failed_symbols``."""
    failed_symbols: tuple[str, ...]
    symbols_without_data: tuple[str, ...]
    """RequestScope for, and answered with no row at all."""
    errors: tuple[str, ...]
    in_progress: int
    """Bars left out because they had not ended."""
    requests: int
    retries: int
    pages: int


@dataclass(frozen=True)
class Source:
    """A vendor that can be asked."""

    vendor: Vendor
    new_client: NewClient = field(default=Client, repr=False)

    @property
    def name(self) -> str:
        """The name that its rows carry."""
        return self.vendor.name

    @property
    def provides(self) -> frozenset[DataKind]:
        """The kinds of data it has: Tradier has neither news nor corporate actions."""
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
        access = VendorAccess(settings.source_url, {}, "the local stand-in takes no keys", None)
        return Source(Alpaca(settings.source, access, settings.alpaca_feed))
    if settings.source == "alpaca":
        variables = "check PAIID_ALPACA_KEY_ID and PAIID_ALPACA_SECRET_KEY, and that the plan has this feed and period"
        headers = {
            "APCA-API-KEY-ID": _needed(settings.alpaca_key_id, "PAIID_ALPACA_KEY_ID", "alpaca"),
            "APCA-API-SECRET-KEY": _needed(settings.alpaca_secret_key, "PAIID_ALPACA_SECRET_KEY", "alpaca"),
        }
        url = settings.source_url or "https://data.alpaca.markets"
        return Source(Alpaca("alpaca", VendorAccess(url, headers, variables, 200), settings.alpaca_feed))
    token = _needed(settings.tradier_token, "PAIID_TRADIER_TOKEN", "tradier")
    url = settings.source_url or "https://api.tradier.com"
    return Source(Tradier(VendorAccess(url, {"Authorization": f"Bearer {token}"}, "check PAIID_TRADIER_TOKEN", 120)))


def fetch(
    source: Source | Settings, wanted: Sequence[DataRequest], calendar: TradingCalendar, now: datetime
) -> list[Fetched]:
    """Ask for everything at once, and return one answer for each ``DataRequest``, in their order.

    ``now`` is the moment on the pipeline's clock: bars that end after it are left out, and rows dated after it
    refused. Raises ValueError for a kind that the source does not provide, and for the synthetic exchange under a
    calendar that is not its own; all else is in the answers.
    """
    opened = open_source(source) if isinstance(source, Settings) else source
    if opened.name == "synthetic" and calendar.name != "24/7":
        # Its day is a UTC day: under another calendar a daily bar would end before its last minutes.
        raise ValueError(f"the synthetic exchange never closes: set calendar = '24/7' instead of {calendar.name!r}")
    for want in wanted:
        if want.kind not in opened.provides:
            kinds = ", ".join(sorted(opened.provides))
            raise ValueError(f"{opened.name} does not provide {want.kind!r}, only {kinds}: see Source.provides")
    return asyncio.run(_fetch(opened, wanted, calendar, now))


async def _fetch(
    source: Source, wanted: Sequence[DataRequest], calendar: TradingCalendar, now: datetime
) -> list[Fetched]:
    turns = asyncio.Semaphore(_AT_ONCE)
    async with source.new_client(source.vendor.access) as client:
        return list(await asyncio.gather(*(_fetch_one(source, want, calendar, now, client, turns) for want in wanted)))


async def _fetch_one(
    source: Source,
    want: DataRequest,
    calendar: TradingCalendar,
    now: datetime,
    client: Client,
    turns: asyncio.Semaphore,
) -> Fetched:
    asked = RequestScope(source.name, want.kind, frozenset(want.symbols), want.start, want.end, now, calendar)
    if not want.symbols or want.start >= want.end:
        return _join(asked, want, [])
    sessions = asked.sessions() if want.kind in ("1Min", "1Day") else pl.DataFrame()
    gatherings = [
        _PageReader(source.vendor, client, turns, asked, sessions, query)
        for query in source.vendor.queries(want, calendar, now)
    ]
    await asyncio.gather(*(gathering.run() for gathering in gatherings))
    return _join(asked, want, gatherings)


@dataclass
class _PageReader:
    """One query, followed through its pages and, where the vendor refuses it, through its symbols."""

    vendor: Vendor
    client: Client
    turns: asyncio.Semaphore
    asked: RequestScope
    sessions: pl.DataFrame
    query: Query
    checked: list[ValidatedPage] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)  # symbol -> the vendor's words
    answered: set[str] = field(default_factory=set)
    tally: RequestStats = field(default_factory=RequestStats)
    pages: int = 0

    async def run(self) -> None:
        """Fetch all there is, and settle what became of the symbols that the vendor refused."""
        await self._isolate(self.query)
        for symbol, words in self.refused.items():
            # Where no answer came at all, the refusal may be of the request, unless it speaks of the symbol.
            if self.pages or self._names(words, symbol) or "symbol" in words.lower():
                self._refuse("unknown_symbol", {"symbol": symbol, "message": words})
            else:
                self._fail((symbol,), f"{self.query.path}: {symbol}: refused: {words}")

    async def _isolate(self, query: Query) -> None:
        """Follow the query; where the vendor refuses it, leave out the symbol it names, or halve."""
        if not self.pages and len(self.refused) >= _REFUSALS_BEFORE_ANY_ANSWER:
            return self._fail(query.symbols, f"{query.path}: not tried, as the vendor has refused every request so far")
        try:
            await self._follow(query)
        except BadRequestError as error:
            words, symbols = str(error), query.symbols
            named = tuple(symbol for symbol in symbols if self._names(words, symbol)) or symbols * (len(symbols) == 1)
            self.refused.update(dict.fromkeys(named, words))
            others = tuple(symbol for symbol in symbols if symbol not in named)
            # What is left after naming is asked for as one; without a name the culprit is in one of two halves.
            middle = 0 if named else len(others) // 2
            for part in (others[:middle], others[middle:]):
                if part:
                    await self._isolate(query.of(part))

    async def _follow(self, query: Query) -> None:
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
            if delivered > query.most_rows or len(seen) >= _MOST_PAGES:
                return self._stop(query, "endless_pages", token)

    async def _page(self, query: Query, token: str | None) -> Page | None:
        """One page; None, with the failure noted, where it could not be had."""
        async with self.turns:
            try:
                body = await self.client.get(query.path, self.vendor.params(query, token), self.tally)
            except (DeniedError, UnavailableError) as error:
                self._fail(query.symbols, str(error))
                return None
            except MalformedError as error:
                self._refuse("malformed_json", error.body)
                self._fail(query.symbols, str(error))
                return None
        self.pages += 1
        try:
            return self.vendor.read(body, query, self.asked)
        except UnexpectedShapeError as error:
            self._refuse("unexpected_shape", body)
            self._fail(query.symbols, str(error))
            return None

    def _check(self, page: Page) -> int:
        """Check and keep one page; how many rows it had."""
        if isinstance(page.delivered, list):
            checked = check_news(page.delivered, self.asked)
        elif page.shape is None:
            checked = check_actions(page.delivered, self.asked)
        else:
            checked = check_bars(page.delivered, page.shape, self.asked, self.sessions)
        self.answered |= _heard(page, checked)
        self.checked.append(checked)
        return checked.rows.height + checked.refusals.height + checked.in_progress

    def _stop(self, query: Query, reason: str, token: str) -> None:
        self._refuse(reason, {"path": query.path, "symbols": list(query.symbols), "page_token": token})
        self._fail(query.symbols, f"{query.path}: stopped at page {self.pages}: {reason.replace('_', ' ')}")

    def _refuse(self, reason: str, payload: object) -> None:
        nothing = pl.DataFrame(schema=SCHEMAS[self.asked.kind])
        self.checked.append(ValidatedPage(nothing, refusal(self.asked.source, reason, payload)))

    def _names(self, words: str, symbol: str) -> bool:
        separators = {".", self.vendor.separator}
        return any(_names(words, vendors_spelling(symbol, separator)) for separator in separators)

    def _fail(self, symbols: tuple[str, ...], error: str) -> None:
        self.failed.update(symbols)
        self.errors.append(error)


def _heard(page: Page, checked: ValidatedPage) -> set[str]:
    """The symbols that a page has anything for."""
    if "symbols" in checked.rows.columns:
        return set(checked.rows["symbols"].explode())
    if page.shape is None or isinstance(page.delivered, list):
        return set(checked.rows["symbol"])
    return {symbol for symbol, rows in page.delivered.items() if rows}


def _names(words: str, symbol: str) -> bool:
    """Whether an error speaks of this very symbol, and not of a longer one that holds its letters."""
    return re.search(rf"(?<![A-Za-z0-9.\-]){re.escape(symbol)}(?![A-Za-z0-9\-])(?!\.[A-Za-z0-9])", words) is not None


def _join(asked: RequestScope, want: DataRequest, gatherings: Iterable[_PageReader]) -> Fetched:
    """All queries of one ``DataRequest``: an article about symbols of two queries is one article."""
    done = list(gatherings)
    parts = [collapse(gathering.checked, asked) for gathering in done]
    key = list(KEYS[asked.kind])
    rows = pl.concat([pl.DataFrame(schema=SCHEMAS[asked.kind]), *(part.rows for part in parts)])
    if asked.kind in ("news", "actions"):
        rows = rows.unique(subset=key, keep="last", maintain_order=True)
    refusals = pl.concat([pl.DataFrame(schema=REFUSALS), *(part.refusals for part in parts)])
    failed = set().union(*(gathering.failed for gathering in done))
    answered = set().union(*(gathering.answered for gathering in done))
    return Fetched(
        wanted=want,
        rows=rows.sort(key),
        refusals=refusals.unique(maintain_order=True) if asked.kind == "news" else refusals,
        complete=not failed,
        failed_symbols=tuple(symbol for symbol in want.symbols if symbol in failed),
        symbols_without_data=tuple(symbol for symbol in want.symbols if symbol not in answered | failed),
        errors=tuple(dict.fromkeys(error for gathering in done for error in gathering.errors)),
        in_progress=sum(part.in_progress for part in parts),
        requests=sum(gathering.tally.requests for gathering in done),
        retries=sum(gathering.tally.retries for gathering in done),
        pages=sum(gathering.pages for gathering in done),
    )


def _needed(value: SecretStr | None, variable: str, source: str) -> str:
    if value is None:
        raise LookupError(f"{variable} is not set: PAIID_SOURCE={source} needs it (or {variable}_FILE)")
    return value.get_secret_value()
