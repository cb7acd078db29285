"""Sessions of an exchange and the decision times in them.

A session is half-open in decisions: a decision time T belongs to the session with open < T <= close, so
that the decision at a 24/7 session's midnight close belongs to the day that ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from paiid_pipeline.atomic_files import write_text

if TYPE_CHECKING:
    import polars as pl


Horizon = Literal["intraday", "daily"]


Timeframe = Literal["1Min", "1Day"]


HORIZONS: tuple[Horizon, ...] = ("intraday", "daily")


TIMEFRAME: Mapping[Horizon, Timeframe] = {"intraday": "1Min", "daily": "1Day"}


INTRADAY_STEP = timedelta(minutes=5)

_NEAR = timedelta(days=1)
"""A session may open on the day before its label (futures), and close on the day after."""


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
        write_text(path, json.dumps(_computed(name, year)))
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
