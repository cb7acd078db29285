"""Which symbols, in which segments, on which trading calendar, decided at which moments.

A session is half-open in decisions: a decision time T belongs to the session with open < T <= close, so
that the decision at a 24/7 session's midnight close belongs to the day that ends.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4
from zoneinfo import ZoneInfo

from paiid_pipeline.symbols import canonical_symbol

if TYPE_CHECKING:
    import polars as pl

Horizon = Literal["intraday", "daily"]
Timeframe = Literal["1Min", "1Day"]

HORIZONS: tuple[Horizon, ...] = ("intraday", "daily")
TIMEFRAME: Mapping[Horizon, Timeframe] = {"intraday": "1Min", "daily": "1Day"}
INTRADAY_STEP = timedelta(minutes=5)
_NEAR = timedelta(days=1)
"""A session may open on the day before its label (futures), and close on the day after."""
SETTLE = timedelta(seconds=15)
"""How long after its time a decision is made, so that the bar ending at that time can be in it."""

_KEYS = ("calendar", "segments", "names")
_SYMBOL = re.compile(r"[^\x00-\x1f]{1,40}")
"""What may be a symbol, however it is spelled."""
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*")


@dataclass(frozen=True)
class Session:
    """One trading session: its label, and its open and close in UTC."""

    day: date
    open: datetime
    close: datetime


@dataclass(frozen=True)
class TradingCalendar:
    """Sessions of one exchange, by `exchange_calendars` name (``XNYS``, ``24/7`` …).

    With a ``cache`` folder, each year's sessions are computed once a machine and version of the library:
    importing it costs more than the rest of a market refresh.
    """

    name: str
    cache: Path | None = field(default=None, compare=False)

    @cached_property
    def timezone(self) -> ZoneInfo:
        """The exchange's own time zone."""
        return ZoneInfo(_year(self.name, 2020, self.cache).timezone)

    def session(self, day: date) -> Session | None:
        """The session labelled ``day``, or None on a day without one."""
        return _year(self.name, day.year, self.cache).sessions.get(day)

    def sessions(self, first: date, last: date) -> list[Session]:
        """All sessions labelled from ``first`` to ``last``, both included, in order."""
        years = (_year(self.name, year, self.cache) for year in range(first.year, last.year + 1))
        return [session for year in years for day, session in year.sessions.items() if first <= day <= last]

    def session_of(self, moment: datetime) -> Session | None:
        """The session whose open < moment <= close, or None outside one."""
        local = moment.astimezone(self.timezone).date()
        for session in self.sessions(local - _NEAR, local + _NEAR):
            if session.open < moment <= session.close:
                return session
        return None

    def latest_session(self, moment: datetime) -> Session:
        """The newest session that has opened strictly before ``moment``."""
        last = moment.astimezone(self.timezone).date() + _NEAR
        return next(s for s in reversed(self.sessions(last - timedelta(days=14), last)) if s.open < moment)

    def session_back(self, day: date, count: int) -> Session:
        """The session ``count`` sessions before the one labelled ``day`` (0: that one, or the last before)."""
        span = timedelta(days=count * 2 + 14)
        return self.sessions(day - span, day)[-1 - count]

    def day_start(self, day: date) -> datetime:
        """Local midnight at the start of ``day``, in UTC: when a corporate action with that ex-date applies."""
        return datetime.combine(day, time(), self.timezone).astimezone(UTC)

    def decision_times(self, session: Session, horizon: Horizon) -> list[datetime]:
        """The grid of decisions of one session: every five minutes after the open, or its close."""
        if horizon == "daily":
            return [session.close]
        count = int((session.close - session.open) / INTRADAY_STEP)
        return [session.open + INTRADAY_STEP * step for step in range(1, count + 1)]

    def next_decision(self, horizon: Horizon, moment: datetime) -> datetime:
        """When a decision of ``moment`` is replaced by the next: the step of the grid later, or the next close."""
        if horizon == "intraday":
            return moment + INTRADAY_STEP
        day = moment.astimezone(self.timezone).date()
        return next(s.close for s in self.sessions(day, day + timedelta(days=14)) if s.close > moment)

    def latest_decision(self, moment: datetime, horizon: Horizon) -> datetime:
        """The newest decision time at or before ``moment``."""
        last = moment.astimezone(self.timezone).date() + _NEAR
        for session in reversed(self.sessions(last - timedelta(days=14), last)):
            past = [t for t in self.decision_times(session, horizon) if t <= moment]
            if past:
                return past[-1]
        raise ValueError(f"calendar {self.name} has no {horizon} decision in the 14 days before {moment}")

    def frame(self, first: date, last: date) -> pl.DataFrame:
        """The sessions as a frame: session (date), open, close (UTC)."""
        import polars as pl

        moment = pl.Datetime("us", "UTC")
        rows = [(s.day, s.open, s.close) for s in self.sessions(first, last)]
        return pl.DataFrame(rows, schema={"session": pl.Date, "open": moment, "close": moment}, orient="row")


@dataclass(frozen=True)
class Universe:
    """Symbols in segments; a symbol belongs to exactly one segment."""

    segments: Mapping[str, tuple[str, ...]]
    calendar: TradingCalendar
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What texts call a symbol besides itself, such as AAPL: Apple."""

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, in the order of the file."""
        return tuple(symbol for members in self.segments.values() for symbol in members)

    def members(self, segments: Sequence[str]) -> tuple[str, ...]:
        """The symbols of some segments. Raises KeyError with the nearest name for an unknown one."""
        for segment in segments:
            if segment not in self.segments:
                raise KeyError(f"unknown segment {segment!r}{_did_you_mean(segment, self.segments)}")
        return tuple(symbol for segment in segments for symbol in self.segments[segment])


def load_universe(path: Path, default_calendar: str, cache: Path | None = None) -> Universe:
    """Read a universe file; ``cache`` is where the calendar keeps its sessions.

    Raises ValueError naming the file, the entry and the remedy.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ValueError(f"universe file {path} does not exist: set PAIID_UNIVERSE to one that does") from None
    except OSError as error:
        raise ValueError(f"universe file {path} cannot be read: {error.strerror}; set PAIID_UNIVERSE") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"universe file {path} is not UTF-8 (line {line}): save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"universe file {path} is not valid TOML: {error}") from None
    for key in document:
        if key not in _KEYS:
            raise ValueError(f"{path}: unknown key {key!r}{_did_you_mean(key, _KEYS)}")
    segments = document.get("segments")
    if not isinstance(segments, dict) or not segments:
        raise ValueError(f'{path}: no [segments] table: write, for example, [segments]\ntech = ["AAPL", "MSFT"]')
    owner: dict[str, tuple[str, str]] = {}
    read = {segment: _members(path, segment, members, owner) for segment, members in segments.items()}
    calendar = TradingCalendar(document.get("calendar", default_calendar), cache)
    _check_calendar(path, calendar)
    return Universe(read, calendar, _names(path, document.get("names", {}), owner))


def _names(path: Path, table: object, symbols: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise ValueError(f'{path}: names must be a table, such as [names]\nAAPL = ["Apple"]')
    read: dict[str, tuple[str, ...]] = {}
    for written, names in table.items():
        symbol = _symbol(path, written, "names")
        if symbol not in symbols:
            raise ValueError(f"{path}: [names] has {written!r}, which is in no segment{_did_you_mean(symbol, symbols)}")
        if not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip() for n in names):
            raise ValueError(f'{path}: the names of {symbol} must be a list of words, such as ["Apple", "Apple Inc"]')
        read[symbol] = tuple(dict.fromkeys([*read.get(symbol, ()), *names]))
    return read


def _members(path: Path, segment: str, members: object, owner: dict[str, tuple[str, str]]) -> tuple[str, ...]:
    """The symbols of a segment, which are noted in ``owner`` with the segment and as they were written."""
    if not _SEGMENT.fullmatch(segment):
        raise ValueError(f"{path}: segment name {segment!r} may hold only letters, digits, '_' and '-'")
    if not isinstance(members, list) or not members:
        raise ValueError(f'{path}: segment {segment!r} must be a list of symbols, such as ["AAPL"]')
    read = []
    for written in members:
        symbol = _symbol(path, written, segment)
        if symbol in owner:
            other, before = owner[symbol]
            same = f" ({before!r} and {written!r} are one)" if before != written else ""
            raise ValueError(f"{path}: {symbol}{same} is in both {other!r} and {segment!r}: keep it in one")
        owner[symbol] = segment, written
        read.append(symbol)
    return tuple(read)


def _symbol(path: Path, written: object, where: str) -> str:
    if not isinstance(written, str) or not _SYMBOL.fullmatch(written):
        raise ValueError(f"{path}, in {where!r}: {written!r} is not a symbol: write a text, such as BRK.B")
    try:
        return canonical_symbol(written)
    except ValueError as error:
        raise ValueError(f"{path}, in {where!r}: {error}") from None


def _check_calendar(path: Path, calendar: TradingCalendar) -> None:
    try:
        _ = calendar.timezone
    except KeyError:
        import exchange_calendars

        known = exchange_calendars.get_calendar_names()
        raise ValueError(f"{path}: unknown calendar {calendar.name!r}{_did_you_mean(calendar.name, known)}") from None


def _did_you_mean(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f": did you mean {close[0]!r}?" if close else f": known are {', '.join(sorted(known)[:20])}"


@dataclass(frozen=True)
class _Year:
    timezone: str
    sessions: Mapping[date, Session]


@lru_cache(maxsize=64)
def _year(name: str, year: int, cache: Path | None) -> _Year:
    """The sessions of one year, from the cache where it has them."""
    if cache is None:
        return _read(_computed(name, year))
    path = cache / f"{name.replace('/', '-')}-{year}-{version('exchange_calendars')}.json"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(f".{uuid4().hex}")
        whole.write_text(json.dumps(_computed(name, year)))
        whole.replace(path)
    return _read(json.loads(path.read_text()))


def _read(document: Mapping[str, Any]) -> _Year:
    moments = (
        (date.fromisoformat(day), datetime.fromisoformat(o), datetime.fromisoformat(c))
        for day, o, c in document["sessions"]
    )
    return _Year(document["timezone"], {day: Session(day, opens, closes) for day, opens, closes in moments})


def _computed(name: str, year: int) -> dict[str, Any]:
    # One year at a time: building a calendar costs in proportion to its span (0.5 s for the default 20 years).
    import exchange_calendars

    if name not in exchange_calendars.get_calendar_names():
        raise KeyError(name)
    calendar = exchange_calendars.get_calendar(name, start=f"{year - 1}-12-20", end=f"{year + 1}-01-10")
    schedule = calendar.schedule.loc[f"{year}-01-01" : f"{year}-12-31"]
    rows = zip(schedule.index, schedule["open"], schedule["close"], strict=True)
    return {
        "timezone": str(calendar.tz),
        "sessions": [[str(label.date()), _utc(opens), _utc(closes)] for label, opens, closes in rows],
    }


def _utc(stamp: Any) -> str:
    return str(stamp.to_pydatetime().astimezone(UTC).isoformat())
