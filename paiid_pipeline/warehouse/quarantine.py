"""quarantine: rows that failed validation, as they came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from paiid_pipeline.schemas import QUARANTINED_BARS, REFUSALS
from paiid_pipeline.warehouse.bulk_copy import copy_in, copy_out, validated
from paiid_pipeline.warehouse.connections import ConnectionPool


class Quarantine:
    """Frames of REFUSALS in. Rows are identified by the SHA-256 of source, reason and payload."""

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections

    def write(self, frame: pl.DataFrame, received_at: datetime) -> int:
        """Add the rows that are not stored yet, a stored one keeps its first receipt; returns how many are new."""
        rows = validated(frame, REFUSALS, "quarantine")
        if rows.is_empty():
            return 0
        with self._connections.transaction("quarantine") as cursor:
            cursor.execute(
                "CREATE TEMP TABLE incoming ON COMMIT DROP AS"
                " SELECT source, reason, payload FROM quarantine WITH NO DATA"
            )
            copy_in(cursor, "incoming", rows)
            cursor.execute(
                r"""
                INSERT INTO quarantine (digest, source, received_at, reason, payload)
                SELECT DISTINCT ON (digest) digest, source, %s, reason, payload FROM (
                    SELECT *, encode(sha256(convert_to(concat_ws(E'\x1f', source, reason, payload), 'UTF8')), 'hex')
                           AS digest
                    FROM incoming) digested
                ORDER BY digest ON CONFLICT DO NOTHING
                """,
                (received_at,),
            )
            return int(cursor.rowcount)

    def bars(self, symbols: Sequence[str], after: datetime, before: datetime) -> pl.DataFrame:
        """QUARANTINED_BARS received in (after, before], without those whose close no rule doubts."""
        with self._connections.transaction("quarantine") as cursor:
            return copy_out(
                cursor,
                "SELECT symbol, received_at AS known_at, reason FROM (SELECT *,"
                r""" substring(payload FROM '^\{"symbol": "([^"]+)"') AS symbol FROM quarantine"""
                " WHERE received_at > %(after)s AND received_at <= %(before)s"
                " AND reason NOT IN ('duplicate_bar', 'open_outside_range')) refused"
                " WHERE symbol = ANY(%(symbols)s) ORDER BY received_at, digest",
                {"symbols": list(symbols), "after": after, "before": before},
                QUARANTINED_BARS,
            )
