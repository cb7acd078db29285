"""Monthly partitions (UTC), made before the rows that need them.

A partition is made as a table of its own and then attached: that takes a lock which does not block
readers and writers of the other months, where ``CREATE TABLE … PARTITION OF`` would block them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.warehouse.tables import Table


def months_of(frame: pl.DataFrame, column: str) -> list[date]:
    """The first days of the months (UTC) that a column of moments touches."""
    return frame[column].dt.truncate("1mo").unique().sort().dt.date().to_list()


def month_after(month: date) -> date:
    """The first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def ensure(cursor: Cursor, table: Table, months: Iterable[date]) -> None:
    """Make the partitions of ``table`` that are missing for some months. Run it in a transaction of its own."""
    wanted = {_name(table, month): month for month in months}
    if not set(wanted) - _existing(cursor, table, wanted):
        return
    # One at a time; readers and writers go on. Only who owns the table may take this lock.
    cursor.execute(f"LOCK TABLE ONLY {table.name} IN SHARE UPDATE EXCLUSIVE MODE")
    for name in sorted(set(wanted) - _existing(cursor, table, wanted)):
        first = wanted[name]
        cursor.execute(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL)")
        cursor.execute(
            f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)",
            (_midnight(first), _midnight(month_after(first))),
        )


def _existing(cursor: Cursor, table: Table, names: Iterable[str]) -> set[str]:
    cursor.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = %s::regclass AND c.relname = ANY(%s)",
        (table.name, list(names)),
    )
    return {name for (name,) in cursor.fetchall()}


def _name(table: Table, month: date) -> str:
    return f"{table.name}_{month:%Y_%m}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
