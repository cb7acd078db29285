"""Which decisions a slice of the universe has to make: the grid T, when its inputs must be known, its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from paiid_pipeline.schemas import DECISIONS
from paiid_pipeline.settings import TTL, Settings
from paiid_pipeline.trading_calendar import HORIZONS, INTRADAY_STEP, Horizon, TradingCalendar

NEWS_PATIENCE = TTL["news"] + INTRADAY_STEP
"""A decision is withheld where news were last fetched longer before it than this: a refresh, and a step."""


def decision_grid(symbols: Sequence[str], days: Iterable[date], settings: Settings, now: datetime) -> pl.DataFrame:
    """DECISIONS: those of the sessions ``days``, of both horizons, that are due by ``now``.

    A decision for T is due at ``known_by`` = T + decision lag, which includes the delay of the feed. It may use rows
    known by then of what ended by T, so that the bar that ends at T counts however late the feed. Its history starts
    at ``anchor``, the open of the session ``lookback.sessions`` before its own: a pure function of T.
    """
    calendar, grid = settings.universe.calendar, []
    for day in sorted(set(days)):
        session = calendar.session(day)
        if session is None or session.open >= now:
            continue
        for horizon in HORIZONS:
            anchor = calendar.session_back(day, settings.lookback[horizon].sessions).open
            for moment in calendar.decision_times(session, horizon):
                known_by = moment + settings.decision_lag
                if known_by <= now:
                    grid.append((horizon, moment, known_by, day, session.open, anchor))
    schema = {name: kind for name, kind in DECISIONS.items() if name != "symbol"}
    moments = pl.DataFrame(grid, schema=schema, orient="row")
    return pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String}).join(moments, how="cross")


def decisions_at(symbols: Sequence[str], horizon: Horizon, moment: datetime, settings: Settings) -> pl.DataFrame:
    """DECISIONS: those of one horizon for the decision time ``moment``; none where it is not on the grid."""
    session = settings.universe.calendar.session_of(moment)
    days = [session.day] if session else []
    grid = decision_grid(symbols, days, settings, moment + settings.decision_lag)
    return grid.filter((pl.col("horizon") == horizon) & (pl.col("as_of") == moment))


def news_window(day: date, calendar: TradingCalendar, lookback: timedelta) -> tuple[datetime, datetime]:
    """When articles of the partition ``day`` are published: ``lookback`` before it, to the next session's date."""
    session = calendar.session(day)
    start = calendar.day_start(day) if session is None else min(calendar.day_start(day), session.open)
    after = calendar.sessions(day + timedelta(days=1), day + timedelta(days=14))[0].day
    return start - lookback, calendar.day_start(after)


def with_coverage_gap(
    what: str, decisions: pl.DataFrame, gaps: pl.DataFrame, back: timedelta, patience: timedelta
) -> pl.DataFrame:
    """WITHHELD: the decisions for T with a gap in a source's coverage between T - back and T - patience, and why.

    ``decisions``: DECISIONS; ``gaps``: symbol, gap_start, gap_end (exclusive): the gaps in the coverage of ``what``.
    """
    placed = decisions.select("symbol", "horizon", "as_of").join(gaps, on="symbol", maintain_order="left_right")
    start, needed = pl.col("as_of") - back, pl.col("as_of") - patience
    open_ = placed.filter((pl.col("gap_start") < needed) & (pl.col("gap_end") > start))
    first = open_.group_by("symbol", "horizon", "as_of", maintain_order=True).agg(
        pl.col("gap_start").min(), start.first().alias("start")
    )
    since = pl.max_horizontal("gap_start", "start").dt.strftime("%Y-%m-%d %H:%M:%S UTC")
    return first.select("symbol", "horizon", "as_of", reason=pl.format(f"{what} not asked for since {{}}", since))


def pending(decisions: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The decisions newer than the newest stored one of their symbol and horizon.

    ``stored`` has symbol, horizon, as_of. What is older has been decided or withheld, and a full
    recomputation of the partition is the way to look at it again.
    """
    newest = stored.group_by("symbol", "horizon").agg(pl.col("as_of").max().alias("newest"))
    joined = decisions.join(newest, on=["symbol", "horizon"], how="left", maintain_order="left")
    return joined.filter(pl.col("newest").is_null() | (pl.col("as_of") > pl.col("newest"))).drop("newest")


def with_refusals(withheld: pl.DataFrame, quarantined: pl.DataFrame) -> pl.DataFrame:
    """WITHHELD, each reason with the rules that quarantined bars of its symbol. ``quarantined``: QUARANTINED_BARS."""
    refused = quarantined.group_by("symbol").agg(pl.col("reason").unique().sort().str.join(", ").alias("refused"))
    named = pl.format("{} (bars of it were quarantined: {})", "reason", "refused")
    placed = withheld.join(refused, on="symbol", how="left", maintain_order="left")
    return placed.with_columns(pl.coalesce(named, "reason").alias("reason")).drop("refused")


@dataclass(frozen=True)
class ReadRange:
    """What a set of decisions of one horizon may read: whose rows, between which moments, known by when."""

    symbols: list[str]
    anchor: datetime
    first: datetime
    last: datetime
    known_by: datetime


def read_range(decisions: pl.DataFrame) -> ReadRange:
    """The range of a frame of at least one decision."""
    row = decisions.select(
        pl.col("anchor").min(),
        first=pl.col("as_of").min(),
        last=pl.col("as_of").max(),
        known_by=pl.col("known_by").max(),
    ).row(0)
    return ReadRange(decisions["symbol"].unique(maintain_order=True).to_list(), *row)
