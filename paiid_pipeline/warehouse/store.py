"""What every table's object shares: transactions, the check of written frames, partitions created before rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import Any, ClassVar

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.schemas import MOMENT, Schema
from paiid_pipeline.warehouse import partitions
from paiid_pipeline.warehouse.bulk_copy import copy_out, validated
from paiid_pipeline.warehouse.connections import ConnectionPool
from paiid_pipeline.warehouse.tables import NO_ROWS, Table, WriteResult

EXTENTS: Schema = {"span": pl.Int64, "symbol": pl.String, "rows": pl.Int64, "first": MOMENT, "last": MOMENT}


class TableStore:
    """Reads and writes of one table, frames in and frames out. Safe to use from several threads.

    Every method is one transaction: whole or not at all. Raises WarehouseError, naming the table, for what PostgreSQL
    refuses; a write raises ValueError for a frame without the table's columns or with NaN.
    """

    table: ClassVar[Table]

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections

    def extents(self, symbols: Sequence[str], spans: Sequence[tuple[datetime, datetime]]) -> pl.DataFrame:
        """EXTENTS: of each span (by its number) and symbol the count of rows, and their first and last moment.

        The moment is the column by which the table is partitioned; a row is within a span where
        start < moment <= end, and a bar, whose moment is its start, where start <= moment < end. Every version of a
        row counts. A table whose rows have several symbols is counted as a whole, under a null symbol.
        """
        table, moment = self.table, self.table.partition
        low, high = (">=", "<") if moment == "bar_start" else (">", "<=")
        of, whose = (
            ("t.symbol", "t.symbol = ANY(%s)") if "symbol" in table.schema else ("NULL::text", "t.symbols && %s")
        )
        with self._transaction() as cursor:
            cursor.execute(
                f"SELECT s.span - 1, {of}, count(*), min(t.{moment}), max(t.{moment})"
                " FROM unnest(%s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY s (low, high, span)"
                f" JOIN {table.name} t ON t.{moment} {low} s.low AND t.{moment} {high} s.high"
                f" WHERE {whose} GROUP BY 1, 2",
                ([start for start, _ in spans], [end for _, end in spans], list(symbols)),
            )
            return pl.DataFrame(cursor.fetchall(), schema=EXTENTS, orient="row")

    def comments(self) -> dict[str, str]:
        """The comment of each column that has one."""
        with self._transaction() as cursor:
            cursor.execute(
                "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                (self.table.name,),
            )
            return {name: comment for name, comment in cursor.fetchall() if comment}

    def ensure_partitions(self, months: Sequence[date]) -> None:
        """Create the partitions that are missing for some months, each given by its first day (UTC)."""
        # In a transaction of its own: an empty partition left behind by a failed write does no harm.
        with self._transaction() as cursor:
            partitions.ensure(cursor, self.table, months)

    def _transaction(self) -> AbstractContextManager[Cursor]:
        return self._connections.transaction(self.table.name)

    def _rows(self, query: str, parameters: Mapping[str, Any], schema: Schema) -> pl.DataFrame:
        with self._transaction() as cursor:
            return copy_out(cursor, query, parameters, schema)

    def _checked(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame in the order of the table's columns, once the partitions of its rows exist."""
        table = self.table
        rows = validated(frame, table.schema, table.name, table.never_null)
        if table.partition and rows.height:
            self.ensure_partitions(partitions.months_of(rows, table.partition))
        return rows

    def _write(
        self, frame: pl.DataFrame, statement: Callable[[Cursor, Table, pl.DataFrame], WriteResult]
    ) -> WriteResult:
        rows = self._checked(frame)
        if rows.is_empty():
            return NO_ROWS
        with self._transaction() as cursor:
            return statement(cursor, self.table, rows)
