"""market_bars: minute and daily bars, every version kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.decisions import ReadRange
from paiid_pipeline.schemas import STORED_BARS, empty
from paiid_pipeline.technicals.minute_bars import BACK, EVENING, SUSPECT
from paiid_pipeline.trading_calendar import TIMEFRAME, Horizon, Timeframe
from paiid_pipeline.warehouse.bitemporal import BitemporalStore, newest_version
from paiid_pipeline.warehouse.bulk_copy import copy_out_binary
from paiid_pipeline.warehouse.tables import MARKET_BARS

LONGEST_BAR = {"1Min": timedelta(minutes=1), "1Day": timedelta(hours=48)}
"""No bar lasts longer; the table refuses one that does."""

# Stands for a null count in the binary format, which has no nulls: no bar has so few trades.
_NO_COUNT = -(2**63)


class Bars(BitemporalStore):
    """Frames of BARS in, of STORED_BARS out."""

    table = MARKET_BARS

    def read(
        self, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, known_by: datetime
    ) -> pl.DataFrame:
        """Each bar that ends in (start, end] in the newest version known by ``known_by``, by symbol and bar."""
        return newest_version(self.versions(symbols, timeframe, start, end, known_by), "symbol", "bar_start")

    def versions(
        self, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, known_by: datetime
    ) -> pl.DataFrame:
        """All versions known by ``known_by`` of the bars that end in (start, end], by symbol, bar and known_at."""
        with self._transaction() as cursor:
            return _versions(cursor, symbols, timeframe, start, end, known_by)

    def for_decisions(self, span: ReadRange, horizon: Horizon, end: datetime, known_by: datetime) -> pl.DataFrame:
        """All versions known by ``known_by`` that decisions of one horizon may read of the bars that end by ``end``.

        For daily decisions also the minutes of each session, from `minute_bars.BACK` before the first decision on,
        whose daily bar is suspect: the minutes decide which price is right.
        """
        with self._transaction() as cursor:
            versions = _versions(cursor, span.symbols, TIMEFRAME[horizon], span.anchor, end, known_by)
            if horizon != "daily":
                return versions
            suspect = versions.filter((pl.col("bar_end") > span.first - BACK) & SUSPECT)
            days = suspect.group_by("bar_start", "bar_end", maintain_order=True).agg(pl.col("symbol").unique())
            minutes = [
                _versions(cursor, symbols, "1Min", day_start - EVENING, day_end, known_by)
                for day_start, day_end, symbols in days.rows()
            ]
            return pl.concat([versions, *minutes])

    def newest(
        self, symbols: Sequence[str], timeframe: Timeframe, ended_by: datetime, known_by: datetime
    ) -> pl.DataFrame:
        """Of each symbol the newest bar that ended by ``ended_by``, in the newest version known by ``known_by``.

        With ``ended_by`` the open of a session, the close is the previous session's: raw, so adjust it
        for an action between the two before comparing.
        """
        return self._rows(
            'SELECT b.* FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) COLLATE "C" AS symbol) asked'
            " CROSS JOIN LATERAL (SELECT m.* FROM market_bars m WHERE m.symbol = asked.symbol"
            " AND m.timeframe = %(timeframe)s AND m.bar_start < %(ended_by)s AND m.bar_end <= %(ended_by)s"
            " AND m.known_at <= %(known_by)s ORDER BY m.bar_start DESC, m.known_at DESC LIMIT 1) b",
            {"symbols": list(symbols), "timeframe": timeframe, "ended_by": ended_by, "known_by": known_by},
            STORED_BARS,
        ).sort("symbol")


def _versions(
    cursor: Cursor, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, known_by: datetime
) -> pl.DataFrame:
    # The widest read of the system, so in binary: texts travel as hashes, and what may be null as what it never is.
    coded = copy_out_binary(
        cursor,
        "SELECT hashtextextended(symbol, 0), bar_start, bar_end, coalesce(open, 'NaN'), high, low, close, volume,"
        f" coalesce(vwap, 'NaN'), coalesce(trade_count, '{_NO_COUNT}'), hashtextextended(source, 0), known_at, nominal"
        " FROM market_bars WHERE symbol = ANY(%(symbols)s) AND timeframe = %(timeframe)s"
        " AND bar_start >= %(earliest)s AND bar_start < %(end)s"
        " AND bar_end > %(start)s AND bar_end <= %(end)s AND known_at <= %(known_by)s",
        {
            "symbols": list(symbols),
            "timeframe": timeframe,
            "earliest": start - LONGEST_BAR[timeframe],
            "start": start,
            "end": end,
            "known_by": known_by,
        },
        {name: pl.Int64 if kind == pl.String else kind for name, kind in STORED_BARS.items() if name != "timeframe"},
    )
    if coded.is_empty():
        return empty(STORED_BARS)
    named = coded.with_columns(
        _decoded("symbol", _hashes(cursor, symbols)),
        pl.lit(timeframe).alias("timeframe"),
        pl.col("open", "vwap").fill_nan(None),
        pl.when(pl.col("trade_count") != _NO_COUNT).then("trade_count").alias("trade_count"),
    )
    sourced = named.with_columns(_decoded("source", _sources(cursor, named)))
    return sourced.select(list(STORED_BARS)).sort("symbol", "bar_start", "known_at")


def _hashes(cursor: Cursor, texts: Sequence[str]) -> dict[int, str]:
    cursor.execute("SELECT hashtextextended(t, 0), t FROM unnest(%s::text[]) AS t", (list(texts),))
    return dict(cursor.fetchall())


def _sources(cursor: Cursor, versions: pl.DataFrame) -> dict[int, str]:
    """The few sources by their hashes, each read from one of its rows."""
    found: dict[int, str] = {}
    for example in versions.unique("source").iter_rows(named=True):
        cursor.execute(
            "SELECT source FROM market_bars WHERE symbol = %(symbol)s AND timeframe = %(timeframe)s"
            " AND bar_start = %(bar_start)s AND known_at = %(known_at)s",
            example,
        )
        row = cursor.fetchone()
        assert row is not None  # noqa: S101 (rows are never deleted)
        found[example["source"]] = row[0]
    return found


def _decoded(name: str, texts: Mapping[int, str]) -> pl.Expr:
    return pl.col(name).replace_strict(list(texts), list(texts.values()), return_dtype=pl.String)
