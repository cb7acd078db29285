"""coverage: the spans of time for which each source has answered in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.schemas import DataKind
from paiid_pipeline.warehouse.connections import ConnectionPool


@dataclass(frozen=True)
class CoveredRange:
    """A span [start, end) of one kind of data about some symbols, from one source.

    It holds a bar whose last microsecond it holds, so a bar that ends at ``end`` is within; an article
    by its ``updated_at``, a corporate action by its ``effective_at``.
    """

    source: str
    kind: DataKind
    symbols: tuple[str, ...]
    start: datetime
    end: datetime


class Coverage:
    """The spans covered, one multirange a source, kind and symbol. Every method is one transaction."""

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections

    def add(self, spans: Sequence[CoveredRange]) -> None:
        """Store spans as covered. Raises ValueError for one that ends too early."""
        with self._connections.transaction("coverage") as cursor:
            cover(cursor, spans)

    def missing(
        self, source: str, kind: DataKind, symbols: Sequence[str], start: datetime, end: datetime
    ) -> list[CoveredRange]:
        """The gaps of a source's coverage in [start, end), by time; symbols with the same gap together."""
        if start >= end:
            return []
        with self._connections.transaction("coverage") as cursor:
            cursor.execute(
                """
                SELECT lower(gap), upper(gap), array_agg(symbol ORDER BY symbol)
                FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) COLLATE "C" AS symbol) asked
                LEFT JOIN (SELECT symbol, spans FROM coverage
                           WHERE source = %(source)s AND kind = %(kind)s) c USING (symbol)
                CROSS JOIN LATERAL unnest(
                    tstzmultirange(tstzrange(%(start)s, %(end)s)) - coalesce(spans, '{}'::tstzmultirange)) gap
                GROUP BY 1, 2 ORDER BY 1, 2
                """,
                {"symbols": list(symbols), "source": source, "kind": kind, "start": start, "end": end},
            )
            return [CoveredRange(source, kind, tuple(group), first, last) for first, last, group in cursor.fetchall()]

    def covered_to(self, *kinds: DataKind) -> dict[str, datetime]:
        """The end of the newest covered span of each symbol with coverage, of any of some kinds."""
        with self._connections.transaction("coverage") as cursor:
            cursor.execute(
                "SELECT symbol, max(upper(spans)) FROM coverage"
                " WHERE kind = ANY(%s) AND NOT isempty(spans) GROUP BY symbol",
                (list(kinds),),
            )
            return dict(cursor.fetchall())


def cover(cursor: Cursor, spans: Sequence[CoveredRange]) -> None:
    """Add spans to the coverage, within a transaction. Raises ValueError for a span that ends before it starts."""
    rows = []
    for span in spans:
        if span.start > span.end:
            raise ValueError(f"coverage: the span {span.start} to {span.end} of {span.kind} ends before it starts")
        rows += [(span.source, span.kind, symbol, span.start, span.end) for symbol in span.symbols]
    cursor.execute(
        """
        INSERT INTO coverage AS c (source, kind, symbol, spans)
        SELECT source, kind, symbol, range_agg(tstzrange(first, last))
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
            AS asked (source, kind, symbol, first, last)
        GROUP BY source, kind, symbol ORDER BY source, kind, symbol
        ON CONFLICT (source, kind, symbol) DO UPDATE SET spans = c.spans + excluded.spans
        WHERE NOT c.spans @> excluded.spans
        """,
        [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * 5,
    )
