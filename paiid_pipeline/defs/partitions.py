"""The two partition dimensions: session date, and segment of the universe.

The universe and the calendar come from the settings of the process that loads the definitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import dagster as dg

from paiid_pipeline.clock import ReplayClock, clock_from_environment
from paiid_pipeline.settings import load_settings
from paiid_pipeline.universe import TradingCalendar, Universe

_SETTINGS = load_settings()
UNIVERSE: Universe = _SETTINGS.universe


def _days() -> tuple[date, date | None]:
    """The first partition, and for a replay the day after the last: a few weeks around its start."""
    clock = clock_from_environment()
    if not isinstance(clock, ReplayClock):
        return _SETTINGS.first_day, None
    start = clock.start.astimezone(UNIVERSE.calendar.timezone).date()
    return (start - timedelta(days=60)).replace(day=1), start + timedelta(days=61)


def _holidays(calendar: TradingCalendar, first: date, last: date) -> list[datetime]:
    """Days on which the exchange is closed, as local midnights."""
    sessions = {session.day for session in calendar.sessions(first, last)}
    days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return [datetime.combine(day, time(), calendar.timezone) for day in days if day not in sessions]


def _date_partitions() -> dg.DailyPartitionsDefinition:
    first, last = _days()
    horizon = last or clock_from_environment().now().date() + timedelta(days=366)
    return dg.DailyPartitionsDefinition(
        start_date=first.isoformat(),
        end_date=last.isoformat() if last else None,
        timezone=str(UNIVERSE.calendar.timezone),
        end_offset=1,
        exclusions=_holidays(UNIVERSE.calendar, first, horizon) or None,
    )


DATE = _date_partitions()
SEGMENT = dg.StaticPartitionsDefinition(list(UNIVERSE.segments))
DATE_BY_SEGMENT = dg.MultiPartitionsDefinition({"date": DATE, "segment": SEGMENT})


@dataclass(frozen=True)
class Slice:
    """What one run is about: session dates, and symbols of the selected segments."""

    days: tuple[date, ...]
    symbols: tuple[str, ...]


def selected(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Slice:
    """The dates and symbols of the partitions that a run is to make; all symbols for a date partition."""
    days: set[date] = set()
    segments: dict[str, None] = {}
    for key in _partition_keys(context):
        if isinstance(key, dg.MultiPartitionKey):
            days.add(date.fromisoformat(key.keys_by_dimension["date"]))
            segments[key.keys_by_dimension["segment"]] = None
        else:
            days.add(date.fromisoformat(key))
    symbols = UNIVERSE.members(list(segments)) if segments else UNIVERSE.symbols
    return Slice(tuple(sorted(days)), symbols)


def _partition_keys(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Sequence[str]:
    op = context.op_execution_context
    keys: Sequence[str] = op.partition_keys
    return keys


def run_tags(first: date, last: date, *, by_segment: bool) -> dict[str, str]:
    """Tags that make one run cover all partitions from ``first`` to ``last``, over all segments."""
    names = list(UNIVERSE.segments)
    low, high = (f"{first}|{names[0]}", f"{last}|{names[-1]}") if by_segment else (first.isoformat(), last.isoformat())
    return {"dagster/asset_partition_range_start": low, "dagster/asset_partition_range_end": high}
