"""Which symbols have no signal at the newest decision, and why: made again from what was known then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from paiid_pipeline.clock import SystemClock
from paiid_pipeline.decisions import decision_grid, with_refusals
from paiid_pipeline.lookahead.decision_path import decision_path
from paiid_pipeline.lookahead.history import history_of
from paiid_pipeline.ml.signals.engines import rule_engine
from paiid_pipeline.schemas import DECISION_KEY, WITHHELD, empty
from paiid_pipeline.settings import Settings
from paiid_pipeline.trading_calendar import HORIZONS, Horizon
from paiid_pipeline.warehouse import Warehouse

_KEY = list(DECISION_KEY)


def without_signal(warehouse: Warehouse, settings: Settings, symbols: Sequence[str]) -> pl.DataFrame:
    """WITHHELD: of each horizon the newest decision that was begun, for the symbols that have no signal of it."""
    begun = warehouse.symbol_sentiment.latest(symbols, SystemClock().now())
    found = [empty(WITHHELD)]
    for horizon in HORIZONS:
        newest = begun.filter(pl.col("horizon") == horizon)["as_of"].max()
        if isinstance(newest, datetime):
            found.append(_missing(warehouse, settings, symbols, horizon, newest))
    return pl.concat(found)


def in_words(withheld: pl.DataFrame) -> list[str]:
    """A line a horizon and reason, with the symbols that it holds for."""
    groups = withheld.group_by("horizon", "as_of", "reason", maintain_order=True).agg(pl.col("symbol"))
    return [
        f"no {horizon} signal at {as_of:%Y-%m-%d %H:%M}Z for {', '.join(names)}: {reason}"
        for horizon, as_of, reason, names in groups.iter_rows()
    ]


def _missing(
    warehouse: Warehouse, settings: Settings, symbols: Sequence[str], horizon: Horizon, newest: datetime
) -> pl.DataFrame:
    session = settings.universe.calendar.session_of(newest)
    if session is None:
        return empty(WITHHELD)
    known_by = newest + settings.decision_lag
    due = decision_grid(symbols, [session.day], settings.universe.calendar, settings, known_by)
    due = due.filter((pl.col("horizon") == horizon) & (pl.col("as_of") == newest))
    made = warehouse.signals.decided(symbols, horizon, newest, newest)
    missing = due.join(made, on=_KEY, how="anti", maintain_order="left")
    if missing.is_empty():
        return empty(WITHHELD)
    reasons = decision_path(settings, rule_engine(settings))(
        history_of(warehouse, settings, missing, horizon, known_by)
    )["withheld"]
    quarantined = warehouse.quarantine.bars(missing["symbol"].to_list(), session.open, SystemClock().now())
    told = missing.select(_KEY).join(reasons, on=_KEY, how="left", maintain_order="left")
    told = told.with_columns(pl.col("reason").fill_null("it was not made; see the run of trading_signals"))
    return with_refusals(told, quarantined).select(WITHHELD.keys())
