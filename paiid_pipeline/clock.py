"""The only module that reads the current time; every other takes a ``Clock`` or a moment. All moments are UTC."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The current moment, and waiting for a later one."""

    @property
    def real_time(self) -> bool:
        """Whether the clock is the wall clock: only then is its now a time of receipt."""
        ...

    def now(self) -> datetime:
        """The current moment, UTC."""
        ...

    def wait_until(self, moment: datetime) -> None:
        """Return once ``now() >= moment``; at once if it has passed."""
        ...


@dataclass(frozen=True)
class SystemClock:
    """The wall clock."""

    real_time: bool = field(default=True, init=False)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait_until(self, moment: datetime) -> None:
        _sleep((moment - self.now()).total_seconds())


@dataclass(frozen=True)
class ReplayClock:
    """``start`` at wall time ``origin``, running on at ``speed`` seconds a wall second."""

    start: datetime
    speed: float = 1.0
    origin: datetime = field(default_factory=lambda: datetime.now(UTC))
    real_time: bool = field(default=False, init=False)

    def now(self) -> datetime:
        elapsed = (datetime.now(UTC) - self.origin).total_seconds()
        return self.start + timedelta(seconds=elapsed * self.speed)

    def wait_until(self, moment: datetime) -> None:
        _sleep((moment - self.now()).total_seconds() / self.speed)


@dataclass
class FixedClock:
    """A clock at a fixed moment, moved by ``wait_until`` alone: for a single pass."""

    moment: datetime
    real_time: bool = field(default=False, init=False)

    def now(self) -> datetime:
        return self.moment

    def wait_until(self, moment: datetime) -> None:
        self.moment = max(self.moment, moment)


_FIRST_YEAR, _LAST_YEAR = 1980, 2100
_FASTEST = 86_400
_REPLAY = re.compile(r"replay:(?P<start>.+?)(?:@(?P<speed>[0-9.]+))?$")


def parse_clock(spec: str, origin: datetime | None = None) -> Clock:
    """The clock that ``PAIID_CLOCK`` names: ``system`` or ``replay:<ISO start>@<speed>``.

    ``origin`` is the wall moment at which a replay began, so that several processes share one replay.
    Raises ValueError naming the value and the remedy.
    """
    if spec in ("", "system"):
        return SystemClock()
    match = _REPLAY.fullmatch(spec)
    remedy = "use 'system' or 'replay:2014-06-09T15:00:00-04:00@1'"
    if match is None:
        raise ValueError(f"PAIID_CLOCK={spec!r} is not a clock: {remedy}")
    try:
        start = datetime.fromisoformat(match["start"])
        speed = float(match["speed"] or 1.0)
    except ValueError as error:
        raise ValueError(f"PAIID_CLOCK={spec!r}: {error}; {remedy}") from None
    if start.tzinfo is None:
        raise ValueError(f"PAIID_CLOCK={spec!r} has no UTC offset, so its moment is ambiguous: {remedy}")
    if not _FIRST_YEAR <= start.year < _LAST_YEAR:
        years = f"{_FIRST_YEAR} to {_LAST_YEAR - 1}"
        raise ValueError(f"PAIID_CLOCK={spec!r}: outside the years of the exchanges' calendars, {years}; {remedy}")
    if not 0 < speed <= _FASTEST:
        raise ValueError(f"PAIID_CLOCK={spec!r}: the speed must be above 0 and at most {_FASTEST}; {remedy}")
    return ReplayClock(start.astimezone(UTC), speed, origin or datetime.now(UTC))


def _sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)
