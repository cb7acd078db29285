"""Statements that write a frame to a table by its key, without moments of knowledge."""

from __future__ import annotations

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.warehouse.bulk_copy import copy_in
from paiid_pipeline.warehouse.tables import Table, WriteResult

_LOCKS = 512  # rows a table, as the migration that made write_locks has it


def upsert(cursor: Cursor, table: Table, frame: pl.DataFrame) -> WriteResult:
    """Insert or update rows by their key; a stored row changes only where a value is distinct."""
    stage(cursor, table, frame)
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    values = [name for name in table.columns if name not in table.key]
    cursor.execute(
        f"SELECT count(*) FROM incoming JOIN {table.name} USING ({key}) WHERE {between(table)}", extent(table, frame)
    )
    known = _count(cursor)
    cursor.execute(
        f"""
        INSERT INTO {table.name} AS t ({columns}) SELECT {columns} FROM incoming ORDER BY {key}
        ON CONFLICT ({key}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in values)}
        WHERE ({", ".join(f"t.{name}" for name in values)})
            IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in values)})
        """
    )
    inserted = frame.height - known
    return WriteResult(inserted, cursor.rowcount - inserted, frame.height - cursor.rowcount)


def append(cursor: Cursor, table: Table, frame: pl.DataFrame) -> WriteResult:
    """Add the rows whose key is not stored yet."""
    stage(cursor, table, frame)
    columns = ", ".join(table.columns)
    cursor.execute(
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM incoming "
        f"ORDER BY {', '.join(table.key)} ON CONFLICT DO NOTHING"
    )
    return WriteResult(cursor.rowcount, 0, frame.height - cursor.rowcount)


def append_newest(cursor: Cursor, table: Table, frame: pl.DataFrame, version: str, order: str) -> WriteResult:
    """Add the rows whose ``version`` differs from that of the newest stored row of their key without ``version``.

    ``version``: a column of the key; ``order``: the column that orders the stored rows. A version that is stored but
    not the newest is stored again, as by a run that goes back.
    """
    stage(cursor, table, frame)
    # Of two writers of one decision the second must see what the first has written.
    lock_keys(cursor, table, frame)
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    same = " AND ".join(f"s.{name} = i.{name}" for name in table.key if name != version)
    cursor.execute(
        f"""
        INSERT INTO {table.name} ({columns}) SELECT {columns} FROM incoming i
        WHERE {version} IS DISTINCT FROM (
            SELECT s.{version} FROM {table.name} s
            WHERE {same} AND s.{table.partition} BETWEEN %(low)s AND %(high)s ORDER BY s.{order} DESC LIMIT 1)
        ORDER BY {key}
        """,
        extent(table, frame),
    )
    return WriteResult(cursor.rowcount, 0, frame.height - cursor.rowcount)


def lock_keys(cursor: Cursor, table: Table, frame: pl.DataFrame) -> None:
    """Hold, to the end of the transaction, all writers of the first column of ``table``'s key for these rows."""
    # Two writers of one key must not both find it absent. Sorted, so that they cannot wait for each other.
    cursor.execute(
        f"""
        SELECT 1 FROM write_locks WHERE table_name = %s AND bucket IN (
            SELECT hashtext(key) & {_LOCKS - 1} FROM unnest(%s::text[]) AS key) ORDER BY bucket FOR UPDATE
        """,
        (table.name, frame[table.key[0]].unique().to_list()),
    )


def stage(cursor: Cursor, table: Table, frame: pl.DataFrame) -> None:
    """Copy a frame into the temporary table ``incoming``. Raises ValueError for two rows with one key."""
    if frame.select(pl.struct(table.key).n_unique()).item() != frame.height:
        raise ValueError(f"{table.name}: two rows of the batch have the same ({', '.join(table.key)})")
    cursor.execute(
        f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {', '.join(table.columns)} FROM {table.name} WITH NO DATA"
    )
    copy_in(cursor, "incoming", frame)
    cursor.execute("ANALYZE incoming")


def between(table: Table) -> str:
    """The condition that a row lies in the months of a frame, with the parameters of `extent`."""
    # Constants, not a join: they let PostgreSQL leave the other months out while it plans.
    return f"{table.partition} BETWEEN %(low)s AND %(high)s"


def extent(table: Table, frame: pl.DataFrame) -> dict[str, object]:
    """The first and last moment of a frame, by the column by which its table is partitioned."""
    moments = frame[table.partition or ""]
    return {"low": moments.min(), "high": moments.max()}


def _count(cursor: Cursor) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0
