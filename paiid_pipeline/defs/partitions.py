"""The two partition dimensions: session date, and segment of the universe.

The universe and the calendar come from the settings of the process that loads the definitions.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from paiid_pipeline.clock import ReplayClock
from paiid_pipeline.settings import settings_of_definitions
from paiid_pipeline.trading_calendar import Session, TradingCalendar
from paiid_pipeline.universe import Universe

_SETTINGS = settings_of_definitions()
UNIVERSE: Universe = _SETTINGS.universe


def _days() -> tuple[date, date | None]:
    """The first partition, and for a replay the day after the last: a few weeks around its start."""
    clock = _SETTINGS.open_clock()
    if not isinstance(clock, ReplayClock):
        return _SETTINGS.first_day, None
    start = clock.start.astimezone(UNIVERSE.calendar.timezone).date()
    return (start - timedelta(days=60)).replace(day=1), start + timedelta(days=61)


def date_partitions(
    calendar: TradingCalendar, first: date, last: date | None = None, *, today: date
) -> dg.TimeWindowPartitionsDefinition:
    """One partition a session, from the first minute of its date on, so that the grid never ends in the future.

    A market without closed days has Dagster's own daily partitions. Elsewhere Dagster would show the next session
    on every closed day (its offset skips what is excluded), so a partition is the first minute of its date, which
    has passed where the date has begun. The definition changes once in five years, not every day, and with it what
    Dagster remembers of the partitions.
    """
    horizon = date((today.year + 1) // 5 * 5 + 4, 12, 31)
    sessions = calendar.sessions(first, last or horizon)
    zone = _zone(sessions, calendar)
    begin, end = first.isoformat(), last.isoformat() if last else None
    closed = _closed({session.day for session in sessions}, first, last or horizon, zone)
    if not closed:
        return dg.DailyPartitionsDefinition(start_date=begin, end_date=end, timezone=str(zone), end_offset=1)
    return dg.TimeWindowPartitionsDefinition(
        start=begin, end=end, fmt="%Y-%m-%d", timezone=str(zone), cron_schedule="0,1 0 * * *",
        exclusions=["1 0 * * *", *closed],
    )  # fmt: skip


def _zone(sessions: Sequence[Session], calendar: TradingCalendar) -> ZoneInfo:
    """The exchange's time zone; where sessions open on the evening before, one whose midnight is no later."""
    early = max(
        (datetime.combine(session.day, time(), UTC) - session.open for session in sessions), default=timedelta(0)
    )
    if all(session.open.astimezone(calendar.timezone).date() >= session.day for session in sessions):
        return calendar.timezone
    return ZoneInfo(f"Etc/GMT-{-(-early // timedelta(hours=1))}")


def _closed(sessions: Set[date], first: date, last: date, zone: ZoneInfo) -> list[str | datetime]:
    """Days without a session: whole weekdays as cron strings, other days as local midnights."""
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    never = set(range(1, 8)) - {day.isoweekday() for day in sessions}
    single = [day for day in days if day not in sessions and day.isoweekday() not in never]
    return [
        *(f"0 0 * * {weekday % 7}" for weekday in sorted(never)),
        *(datetime.combine(day, time(), zone) for day in single),
    ]


_FIRST, _LAST = _days()
DATE = date_partitions(UNIVERSE.calendar, _FIRST, _LAST, today=_SETTINGS.open_clock().now().date())
SEGMENT = dg.StaticPartitionsDefinition(list(UNIVERSE.segments))
DATE_BY_SEGMENT = dg.MultiPartitionsDefinition({"date": DATE, "segment": SEGMENT})


@dataclass(frozen=True)
class PartitionSlice:
    """The partitions of one run: session dates, and symbols of the selected segments."""

    days: tuple[date, ...]
    symbols: tuple[str, ...]


def selected_slice(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> PartitionSlice:
    """The dates and symbols of the partitions that a run is to make; all symbols for a date partition."""
    days: set[date] = set()
    segments: dict[str, None] = {}
    for key in partition_keys(context):
        if isinstance(key, dg.MultiPartitionKey):
            days.add(date.fromisoformat(key.keys_by_dimension["date"]))
            segments[key.keys_by_dimension["segment"]] = None
        else:
            days.add(date.fromisoformat(key))
    symbols = UNIVERSE.members(list(segments)) if segments else UNIVERSE.symbols
    return PartitionSlice(tuple(sorted(days)), symbols)


def partition_keys(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Sequence[str]:
    """The keys of the partitions that a run is to make."""
    op = context.op_execution_context
    keys: Sequence[str] = op.partition_keys
    return keys


def dimensions(key: str) -> tuple[date, str | None]:
    """Date and segment of a partition key; the segment of a date partition is None."""
    if isinstance(key, dg.MultiPartitionKey):
        return date.fromisoformat(key.keys_by_dimension["date"]), key.keys_by_dimension["segment"]
    return date.fromisoformat(key), None


def run_tags(first: date, last: date, *, by_segment: bool) -> dict[str, str]:
    """Tags that make one run cover all partitions from ``first`` to ``last``, over all segments."""
    names = list(UNIVERSE.segments)
    low, high = (f"{first}|{names[0]}", f"{last}|{names[-1]}") if by_segment else (first.isoformat(), last.isoformat())
    return {"dagster/asset_partition_range_start": low, "dagster/asset_partition_range_end": high}
