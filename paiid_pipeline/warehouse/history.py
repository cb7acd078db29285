"""Whether a batch of bars is plain history: nothing stored touches it, so that all of it is new and nominal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

_MICROSECOND = timedelta(microseconds=1)


def is_untouched(cursor: Cursor, bars: pl.DataFrame, parameters: Mapping[str, Any]) -> bool:
    """True where no bar is stored between the first and the last of each symbol, and no rule of ``raw`` can apply.

    The rules are asked about whole extents, not bars: False may also be said of a batch in which all is
    new, and the careful way finds that out.
    """
    extents = bars.group_by("symbol", "timeframe").agg(
        pl.col("bar_start").min().alias("first"),
        pl.col("bar_start").max().alias("last"),
        # A bar stands in the coverage at its last microsecond.
        (pl.col("bar_end").min() - _MICROSECOND).alias("lowest_position"),
        (pl.col("bar_end").max() - _MICROSECOND).alias("highest_position"),
    )
    cursor.execute(
        """
        SELECT NOT EXISTS (
            SELECT FROM unnest(%(symbols)s::text[], %(timeframes)s::text[], %(first)s::timestamptz[],
                               %(last)s::timestamptz[], %(lowest_position)s::timestamptz[],
                               %(highest_position)s::timestamptz[])
                AS e (symbol, timeframe, first, last, lowest_position, highest_position)
            CROSS JOIN LATERAL (
                SELECT range_agg(c.spans) AS spans FROM coverage c
                WHERE c.symbol = e.symbol COLLATE "C" AND c.kind = e.timeframe COLLATE "C") covered
            WHERE EXISTS (
                    SELECT FROM market_bars m
                    WHERE m.symbol = e.symbol COLLATE "C" AND m.timeframe = e.timeframe COLLATE "C"
                      AND m.bar_start BETWEEN e.first AND e.last
                      AND m.bar_start BETWEEN %(lowest)s AND %(highest)s)
               OR EXISTS (
                    SELECT FROM corporate_actions a
                    WHERE a.symbol = e.symbol COLLATE "C"
                      AND (a.kind = 'rebased' OR a.kind = 'name_change' AND a.ex_date <= %(asof)s)
                      AND a.effective_at > e.lowest_position)
               OR covered.spans && tstzrange(e.lowest_position, e.highest_position, '[]')
               OR (covered.spans IS NULL OR e.highest_position >= upper(covered.spans))
                  AND (%(live)s AND covered.spans IS NOT NULL OR EXISTS (
                    SELECT FROM technical_indicators d
                    WHERE d.symbol = e.symbol COLLATE "C" AND d.horizon IN ('intraday', 'daily')
                      AND d.as_of BETWEEN %(decided_from)s AND %(received_at)s)))
        """,
        {
            **parameters,
            "symbols": extents["symbol"].to_list(),
            "timeframes": extents["timeframe"].to_list(),
            **{name: extents[name].to_list() for name in ("first", "last", "lowest_position", "highest_position")},
        },
    )
    row = cursor.fetchone()
    return bool(row and row[0])
