"""What decisions read of bars, by one door: live, in a backfill and in an audit alike."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.decisions import ReadRange
from paiid_pipeline.technicals.minute_bars import BACK, EVENING, QUESTIONED
from paiid_pipeline.trading_calendar import TIMEFRAME, Horizon
from paiid_pipeline.warehouse.readers import bar_versions


def bars_to_decide(
    cursor: Cursor, span: ReadRange, horizon: Horizon, end: datetime, known_by: datetime
) -> pl.DataFrame:
    """All versions known by ``known_by`` that decisions may read of the bars that end by ``end``.

    For daily ones with the minutes of the sessions, from `minutes.BACK` before the first of them on, that may settle
    what is questionable in a daily bar.
    """
    versions = bar_versions(cursor, span.symbols, TIMEFRAME[horizon], span.anchor, end, known_by)
    if horizon != "daily":
        return versions
    questioned = versions.filter((pl.col("bar_end") > span.first - BACK) & QUESTIONED)
    days = questioned.group_by("bar_start", "bar_end", maintain_order=True).agg(pl.col("symbol").unique())
    minutes = [
        bar_versions(cursor, symbols, "1Min", day_start - EVENING, day_end, known_by)
        for day_start, day_end, symbols in days.rows()
    ]
    return pl.concat([versions, *minutes])
