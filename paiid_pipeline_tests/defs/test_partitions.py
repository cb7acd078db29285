"""The grid of dates: a partition a session, none in the future, and a definition that stays the same."""

from __future__ import annotations

from datetime import date, datetime

import dagster as dg
import pytest
from dagster._core.definitions.partitions.snap.snap import TimeWindowPartitionsSnap
from dagster._core.test_utils import freeze_time

from paiid_pipeline.defs.partitions import date_partitions
from paiid_pipeline.trading_calendar import TradingCalendar

FIRST = date(2026, 1, 1)


def grid(calendar: str, now: str, first: date = FIRST, last: date | None = None) -> list[str]:
    """The keys at a moment, as the UI makes them of what it is sent."""
    moment = datetime.fromisoformat(now)
    with freeze_time(moment):
        made = date_partitions(TradingCalendar(calendar), first, last, today=moment.date())
        shown = TimeWindowPartitionsSnap.from_def(made).get_partitions_definition()
        keys = list(made.get_partition_keys())
        assert keys == list(shown.get_partition_keys())
        assert all(made.has_partition_key(key) for key in keys)
        return keys


@pytest.mark.parametrize(
    ("calendar", "now", "last"),
    [
        ("XNYS", "2026-11-26T12:00+00:00", "2026-11-25"),  # Thanksgiving
        ("XNYS", "2026-11-28T12:00+00:00", "2026-11-27"),  # Saturday after a half day
        ("XNYS", "2026-12-25T12:00+00:00", "2026-12-24"),
        ("XNYS", "2026-07-06T03:59+00:00", "2026-07-02"),  # a minute before a Monday begins in New York
        ("XNYS", "2026-07-06T04:01+00:00", "2026-07-06"),
        ("XLON", "2026-05-04T12:00+00:00", "2026-05-01"),  # a bank holiday
        ("XTKS", "2026-05-05T03:00+00:00", "2026-05-01"),  # the Golden Week
        ("24/7", "2026-12-25T12:00+00:00", "2026-12-25"),
        ("CMES", "2026-11-29T23:30+00:00", "2026-11-30"),  # Sunday evening: Monday's session has opened
        ("us_futures", "2026-11-28T12:00+00:00", "2026-11-27"),
    ],
)
def test_the_grid_ends_with_the_newest_session_and_never_in_the_future(calendar: str, now: str, last: str) -> None:
    keys = grid(calendar, now)
    assert keys[-1] == last
    sessions = TradingCalendar(calendar).sessions(FIRST, date.fromisoformat(last))
    assert keys == [session.day.isoformat() for session in sessions]


def test_a_replay_has_the_sessions_of_its_weeks() -> None:
    keys = grid("XNYS", "2026-07-01T00:00+00:00", date(2014, 4, 1), date(2014, 8, 9))
    assert (keys[0], keys[-1]) == ("2014-04-01", "2014-08-08")
    assert "2014-07-04" not in keys


@pytest.mark.parametrize("calendar", ["XNYS", "XTKS", "CMES", "24/7"])
def test_the_definition_is_the_same_on_every_day(calendar: str) -> None:
    days = [date(2026, 2, 1), date(2026, 11, 26), date(2026, 12, 31), date(2028, 12, 31)]
    made = [date_partitions(TradingCalendar(calendar), FIRST, today=day) for day in days]
    assert len({one.get_serializable_unique_identifier() for one in made}) == 1


def test_dates_alone_and_dates_by_segment_map_onto_each_other() -> None:
    made = date_partitions(TradingCalendar("XNYS"), FIRST, today=FIRST)
    by_segment = dg.MultiPartitionsDefinition({"date": made, "segment": dg.StaticPartitionsDefinition(["a", "b"])})
    with freeze_time(datetime.fromisoformat("2026-11-28T12:00+00:00")):
        day = made.subset_with_partition_keys(["2026-11-27"])
        mapped = dg.MultiToSingleDimensionPartitionMapping().get_downstream_partitions_for_partitions(
            day, made, by_segment
        )
        assert set(mapped.get_partition_keys()) == {"2026-11-27|a", "2026-11-27|b"}
