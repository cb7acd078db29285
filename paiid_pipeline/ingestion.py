"""From a source to the warehouse: ask for what is missing, store what is sound, quarantine the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby

import polars as pl

from paiid_pipeline.clock import Clock
from paiid_pipeline.decisions import news_window
from paiid_pipeline.schemas import BARS, CORPORATE_ACTIONS, MOMENT, REFUSALS
from paiid_pipeline.settings import Settings
from paiid_pipeline.sources import DataRequest, Fetched, Source, fetch, provided
from paiid_pipeline.sources.fetch import DataKind
from paiid_pipeline.technicals.adjustment import REBASED, on_one_price_basis
from paiid_pipeline.technicals.corporate_actions import CASH, SHARES, WITHDRAWN, judged
from paiid_pipeline.technicals.rebasing import rebased
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline.warehouse import BitemporalStore, CoveredRange, Warehouse, WriteResult

RECHECK: dict[DataKind, timedelta] = {
    "1Min": timedelta(minutes=10),
    "1Day": timedelta(days=5),
    "news": timedelta(hours=1),
    "actions": timedelta(days=35),
}
"""How far behind its newest coverage a refresh fetches again, so that late rows and restatements are seen."""

OVERLAP = timedelta(days=35)
"""The same for daily bars of a source without corporate actions, ahead too: how its splits show."""


@dataclass(frozen=True)
class RequiredRange:
    """A span of time of one kind of data that must be in the warehouse; the end is exclusive.

    ``asof`` is the day whose companies the symbols mean: a decision after a rename needs the history under the
    old ticker, and one before a ticker changed hands must not see its next holder.
    """

    kind: DataKind
    start: datetime
    end: datetime
    asof: date | None = None


@dataclass(frozen=True)
class IngestionResult:
    """What one refresh fetched, wrote and quarantined."""

    fetched: tuple[Fetched, ...]
    written: WriteResult
    quarantined: int

    def rows(self, schema: dict[str, pl.DataType | type[pl.DataType]], *kinds: DataKind) -> pl.DataFrame:
        """All rows fetched of some kinds."""
        frames = [one.rows for one in self.fetched if one.wanted.kind in kinds]
        return pl.concat([pl.DataFrame(schema=schema), *frames])

    @property
    def refusals(self) -> pl.DataFrame:
        return pl.concat([pl.DataFrame(schema=REFUSALS), *(one.refusals for one in self.fetched)])

    @property
    def errors(self) -> list[str]:
        return [error for one in self.fetched for error in one.errors]

    @property
    def failed(self) -> bool:
        """True where nothing that was requested could be fetched, for any symbol."""
        return bool(self.fetched) and all(set(one.failed_symbols) >= set(one.wanted.symbols) for one in self.fetched)

    @property
    def symbols_without_data(self) -> list[str]:
        """Symbols that were requested and have no rows, with the kind."""
        return sorted({f"{symbol} ({one.wanted.kind})" for one in self.fetched for symbol in one.symbols_without_data})

    @property
    def requests(self) -> int:
        return sum(one.requests for one in self.fetched)

    @property
    def retries(self) -> int:
        return sum(one.retries for one in self.fetched)


@dataclass(frozen=True)
class Ingestion:
    """One source, feeding one warehouse, for one calendar."""

    source: Source
    warehouse: Warehouse
    calendar: TradingCalendar
    settings: Settings
    clock: Clock

    def needed_market(self, days: Iterable[date]) -> list[RequiredRange]:
        """Bars and corporate actions that the decisions of the sessions ``days`` may use, as far as they exist.

        Minute bars are requested session by session, so that no pre- and post-market bars are returned.
        """
        now = self.clock.now()
        needed: list[RequiredRange] = []
        for day in days:
            needed += self._needed_minutes(day, now) + self._needed_daily(day, now)
        return _merged(needed)

    def needed_news(self, days: Iterable[date]) -> list[RequiredRange]:
        """Articles that the decisions of the sessions ``days`` may use, up to the next session's date."""
        now = self.clock.now()
        windows = (news_window(day, self.calendar, self.settings.news_lookback) for day in days)
        return _merged([RequiredRange("news", start, min(end, now)) for start, end in windows])

    def gather(
        self, needed: Sequence[RequiredRange], symbols: Sequence[str], log: Callable[[str], None]
    ) -> IngestionResult:
        """Fetch what the warehouse lacks of ``needed`` for ``symbols``, and store it.

        Rows and the coverage they stand for are committed together; a span that was not fetched to its
        end, and one in which a symbol had no bar, stay uncovered and are requested again by the next refresh.
        Where a source without corporate actions has restated its history on another price basis, the stored bars of
        the symbol are void from that moment on, and are fetched again at once.
        """
        fetched: list[Fetched] = []
        written, quarantined = WriteResult(0, 0, 0), 0
        restated: list[str] = []
        # Day by day: what one day's companies leave missing, another day's may have under the same tickers. Actions
        # first: the bars of a ticker that has changed hands are to be fetched anew.
        for _, needs in groupby(needed, key=lambda need: (need.asof, need.kind == "actions")):
            followed = [symbol for symbol in symbols if symbol not in restated]
            wanted = [w for need in needs if need.kind in self.source.provides for w in self._wanted(need, followed)]
            if not wanted:
                continue
            log(f"{self.source.name}: {len(wanted)} spans to fetch: " + "; ".join(map(_described, wanted[:12])))
            came = fetch(self.source, wanted, self.calendar, self.clock.now())
            received_at = self.clock.now()
            restated += self._void_restated(came, received_at, log)
            came = [_without(one, restated) for one in came]
            came = [self._with_withdrawn(one, received_at) if one.wanted.kind == "actions" else one for one in came]
            written = sum((self._store(one, received_at) for one in came), written)
            refusals = pl.concat([pl.DataFrame(schema=REFUSALS), *(one.refusals for one in came)])
            quarantined += self.warehouse.quarantine.write(refusals, received_at)
            fetched += came
        for one in fetched:
            if one.wanted.kind == "actions" and one.rows.height:
                quarantined += self.warehouse.quarantine.write(self._impossible(one), self.clock.now())
        if restated:
            again = self.gather(needed, restated, log)
            return IngestionResult((*fetched, *again.fetched), written + again.written, quarantined + again.quarantined)
        return IngestionResult(tuple(fetched), written, quarantined)

    def _void_restated(self, came: Sequence[Fetched], received_at: datetime, log: Callable[[str], None]) -> list[str]:
        """The symbols whose daily bars have another price basis than those stored. The new basis is stored."""
        daily = pl.concat([pl.DataFrame(schema=BARS), *(one.rows for one in came if one.wanted.kind == "1Day")])
        if daily.is_empty() or "actions" in self.source.provides:
            return []
        symbols = daily["symbol"].unique().sort().to_list()
        first, last = daily.select(pl.col("bar_end").min().alias("first"), pl.col("bar_end").max().alias("last")).row(0)
        known = self.warehouse.bars.read(symbols, "1Day", first - timedelta(microseconds=1), last, received_at)
        known = on_one_price_basis(known, self.warehouse.corporate_actions.read(symbols, received_at))
        found = rebased(known, daily.unique(["symbol", "bar_start"], keep="last"))
        if found.is_empty():
            return []
        for symbol, ratio in found.rows():
            log(
                f"{self.source.name}: the bars of {symbol} came at {1 / ratio:.4g} times the prices stored, as after a "
                "split: what is stored counts no more from now on, and is fetched again"
            )
        name, moment = self.source.name, pl.lit(received_at, MOMENT)
        rows = found.with_columns(
            action_id=pl.format(f"{name}:{REBASED}:{{}}:{received_at.isoformat()}", "symbol"), kind=pl.lit(REBASED),
            ex_date=pl.lit(received_at.astimezone(self.calendar.timezone).date()), effective_at=moment,
            amount=pl.lit(None, pl.Float64), source=pl.lit(name),
        ).select(CORPORATE_ACTIONS.keys())  # fmt: skip
        self.warehouse.corporate_actions.write(rows, received_at, live=self.clock.real_time)
        restated: list[str] = found["symbol"].to_list()
        return restated

    def _with_withdrawn(self, one: Fetched, received_at: datetime) -> Fetched:
        """``one``, and a WITHDRAWN row for each stored action that the source no longer delivers.

        An action is withdrawn where a complete response over a span that holds its ex-date lacks it; a quarantined
        one is not.
        """
        want, symbols = one.wanted, [s for s in one.wanted.symbols if s not in one.failed_symbols]
        stored = self.warehouse.corporate_actions.read(symbols, received_at)
        first = self.calendar.day_start(want.start.astimezone(self.calendar.timezone).date())
        refused = pl.Series(one.refusals["payload"]).str.extract_all(r'"id": ("[^"]*"|\d+)').explode().drop_nulls()
        ids = [f"{self.source.name}:{text[6:].strip(chr(34))}" for text in refused]
        gone = stored.filter(
            (pl.col("source") == self.source.name)
            & pl.col("kind").is_in([*SHARES, CASH])
            & (pl.col("effective_at") >= first)
            & (pl.col("effective_at") < want.end)
            & ~pl.col("action_id").is_in(ids)
        ).join(one.rows, on="action_id", how="anti")
        if gone.is_empty():
            return one
        nothing = pl.lit(None, pl.Float64)
        withdrawn = gone.with_columns(kind=pl.lit(WITHDRAWN), ratio=nothing, amount=nothing).select(
            CORPORATE_ACTIONS.keys()
        )
        return replace(
            one,
            rows=pl.concat([one.rows, withdrawn]),
            refusals=pl.concat([one.refusals, _refusals("withdrawn", gone.select(CORPORATE_ACTIONS.keys()))]),
        )

    def _impossible(self, one: Fetched) -> pl.DataFrame:
        """REFUSALS: of the actions fetched, those that the stored prices contradict. No decision counts them."""
        actions, week = one.rows, timedelta(days=10)
        first, last = (moment for moment in (actions["effective_at"].min(), actions["effective_at"].max()))
        assert isinstance(first, datetime)  # noqa: S101
        assert isinstance(last, datetime)  # noqa: S101
        symbols = actions["symbol"].unique().to_list()
        bars = self.warehouse.bars.read(symbols, "1Day", first - week, last + week, self.clock.now())
        found = judged(actions, bars).filter(pl.col("reason").is_not_null())
        return pl.concat(
            [pl.DataFrame(schema=REFUSALS)]
            + [_refusals(str(reason), rows.select(CORPORATE_ACTIONS.keys()))
               for (reason,), rows in found.partition_by("reason", as_dict=True).items()]
        )  # fmt: skip

    def _needed_minutes(self, day: date, now: datetime) -> list[RequiredRange]:
        first = self.calendar.session_back(day, self.settings.lookback["intraday"].sessions)
        sessions = self.calendar.sessions(first.day, day)
        newest = _whole_minute(now - self.settings.feed_delay)
        return [RequiredRange("1Min", session.open, min(session.close, newest), day) for session in sessions]

    def _needed_daily(self, day: date, now: datetime) -> list[RequiredRange]:
        calendar, delay = self.calendar, self.settings.feed_delay
        start = calendar.day_start(calendar.session_back(day, self.settings.lookback["daily"].sessions).day)
        closes = [s.close for s in calendar.sessions(day - timedelta(days=14), day) if s.close + delay <= now]
        # An action is known at the start of its day at the earliest; asking hourly finds one announced late.
        actions_end = min(calendar.day_start(day + timedelta(days=1)), _whole_hour(now))
        if "actions" not in provided(self.settings) and closes:
            # Requested hourly too: a new price basis of its history shows in no other way.
            closes.append(max(closes[-1], min(actions_end, _whole_hour(now - delay))))
        bars = [RequiredRange("1Day", start, closes[-1], day)] if closes else []
        return [*bars, RequiredRange("actions", start, actions_end, day)]

    def _wanted(self, need: RequiredRange, symbols: Sequence[str]) -> list[DataRequest]:
        gaps = self.warehouse.coverage.missing(self.source.name, need.kind, symbols, need.start, need.end)
        alone = need.kind == "1Day" and "actions" not in self.source.provides
        back, ahead = (OVERLAP, OVERLAP) if alone else (RECHECK[need.kind], timedelta(0))
        return [
            DataRequest(
                need.kind,
                tuple(gap.symbols),
                max(need.start, gap.start - back),
                max(gap.end, min(need.end, gap.end + ahead)),
                need.asof,
            )
            for gap in gaps
        ]

    def _store(self, one: Fetched, received_at: datetime) -> WriteResult:
        want = one.wanted
        without = {*one.failed_symbols, *(one.symbols_without_data if want.kind in ("1Min", "1Day") else ())}
        whole = tuple(symbol for symbol in want.symbols if symbol not in without)
        tables: dict[DataKind, BitemporalStore] = {
            "1Min": self.warehouse.bars,
            "1Day": self.warehouse.bars,
            "news": self.warehouse.news,
            "actions": self.warehouse.corporate_actions,
        }
        return tables[want.kind].write(
            one.rows,
            received_at,
            live=self.clock.real_time,
            feed_delay=self.settings.feed_delay,
            covers=[CoveredRange(self.source.name, want.kind, whole, want.start, want.end)] if whole else [],
            asof=want.asof,
        )


def _without(one: Fetched, symbols: Sequence[str]) -> Fetched:
    """``one`` without the bars of ``symbols``."""
    if not symbols or one.wanted.kind not in ("1Min", "1Day"):
        return one
    others = tuple(symbol for symbol in one.wanted.symbols if symbol not in symbols)
    rows = one.rows.filter(~pl.col("symbol").is_in(list(symbols)))
    return replace(one, wanted=replace(one.wanted, symbols=others), rows=rows)


def _refusals(reason: str, rows: pl.DataFrame) -> pl.DataFrame:
    payloads = rows.select(pl.struct(pl.all()).struct.json_encode()).to_series()
    return pl.DataFrame(
        {"source": rows["source"], "reason": [reason] * rows.height, "payload": payloads}, schema=REFUSALS
    )


def _merged(spans: list[RequiredRange]) -> list[RequiredRange]:
    """The spans that are not empty, by day and kind, with touching and overlapping ones joined."""
    merged: list[RequiredRange] = []
    for span in sorted((s for s in spans if s.start < s.end), key=_request_order):
        last = merged[-1] if merged else None
        if last and (last.kind, last.asof) == (span.kind, span.asof) and span.start <= last.end:
            merged[-1] = RequiredRange(span.kind, last.start, max(last.end, span.end), span.asof)
        else:
            merged.append(span)
    return merged


def _request_order(span: RequiredRange) -> tuple[date, bool, DataKind, datetime]:
    """The sort key of requests."""
    return span.asof or date.min, span.kind != "actions", span.kind, span.start


def _described(want: DataRequest) -> str:
    return f"{want.kind} {len(want.symbols)} symbols {want.start:%Y-%m-%d %H:%M} to {want.end:%Y-%m-%d %H:%M}Z"


def _whole_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _whole_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
