"""The range of the minute bars of a session, as known to a decision, to confirm or refute its daily bar.

A daily low, high or VWAP that is out of line within its own bar is confirmed or refuted by the minute bars of that
session, where they are stored. Only the newest sessions are read; further back later bars have decided (see
`suspect_bars`).
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from paiid_pipeline.quality.bars import OUT_OF_LINE, VWAP_SLACK, WICK
from paiid_pipeline.technicals.derived import USABLE

BACK = timedelta(days=14)
"""How long before a decision minutes count: longer than the bars that `suspect_bars` waits for, over any holidays."""
EVENING = timedelta(hours=8)
"""How long before its midnight a session may open."""

_SPREAD, _PART = 0.8, 30
_LOWS, _HIGHS = (~OUT_OF_LINE[f"{side}_out_of_line"].fill_null(True) for side in ("low", "high"))

SUSPECT: pl.Expr = (
    (pl.col("low") * WICK < pl.col("close"))
    | (pl.col("high") > pl.col("close") * WICK)
    | (pl.col("vwap") > pl.col("high") * (1 + VWAP_SLACK)).fill_null(False)
    | (pl.col("vwap") < pl.col("low") * (1 - VWAP_SLACK)).fill_null(False)
)
"""True of every bar whose low, high or VWAP `suspect_bars` may find out of line, whatever its neighbours."""

MINUTE_RANGE = ("lowest", "highest", "sound_low", "sound_high")


def session_minutes(versions: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """symbol, bar_end (of the daily bar), and of the minutes of its session: lowest and highest, and sound_low and
    sound_high, those of the minutes that are not themselves out of line (null without any). Raw prices.

    ``versions``: `schemas.STORED_BARS` of both timeframes, every version; ``decisions``: daily ones of one session,
    or none are found. A session has a row where its minutes lie in at least 80 % of its half hours, its length being
    that of the decisions' session.
    """
    as_of, known_by = decisions.select(pl.col("as_of").min(), pl.col("known_by").min()).row(0)
    if decisions["horizon"][0] != "daily" or versions.filter(pl.col("timeframe") == "1Min").is_empty():
        versions = versions.clear()
    known = versions.filter((pl.col("known_at") <= known_by) & (pl.col("bar_end") <= as_of) & USABLE)
    minutes = known.filter((pl.col("timeframe") == "1Min") & (pl.col("bar_end") > as_of - BACK))
    newest = minutes.sort("symbol", "bar_start", "known_at").unique(["symbol", "bar_start"], keep="last")
    days = known.filter(pl.col("timeframe") == "1Day").select("symbol", day_start="bar_start", day_end="bar_end")
    placed = newest.sort("bar_end").join_asof(
        days.unique().sort("day_end"), left_on="bar_end", right_on="day_end", by="symbol", strategy="forward",
        check_sortedness=False,
    ).filter(pl.col("bar_start") >= pl.col("day_start") - EVENING)  # fmt: skip
    parts = -(-(as_of - decisions["session_open"][0]) // timedelta(minutes=_PART))
    part = (pl.col("day_end") - pl.col("bar_end")).dt.total_minutes() // _PART
    found = placed.group_by("symbol", pl.col("day_end").alias("bar_end")).agg(
        part.filter(part < parts).n_unique().alias("_parts"),
        pl.col("low").min().alias("lowest"),
        pl.col("high").max().alias("highest"),
        pl.col("low").filter(_LOWS).min().alias("sound_low"),
        pl.col("high").filter(_HIGHS).max().alias("sound_high"),
    )
    return found.filter(pl.col("_parts") >= _SPREAD * parts).select("symbol", "bar_end", *MINUTE_RANGE)
