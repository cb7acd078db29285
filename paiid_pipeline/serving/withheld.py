"""Which symbols have no signal at the newest decision, and why: decided again from what was known then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from paiid_pipeline.decisions import decisions_at, read_range, with_refusals
from paiid_pipeline.lookahead.decision_path import decision_path
from paiid_pipeline.lookahead.history import history_of
from paiid_pipeline.ml.signals.engines import rule_engine
from paiid_pipeline.schemas import DECISION_KEY, WITHHELD, empty
from paiid_pipeline.settings import Settings
from paiid_pipeline.trading_calendar import HORIZONS, Horizon
from paiid_pipeline.warehouse import Warehouse

_KEY = list(DECISION_KEY)


def without_signal(
    warehouse: Warehouse,
    settings: Settings,
    symbols: Sequence[str],
    now: datetime,
    horizons: Sequence[Horizon] = HORIZONS,
) -> pl.DataFrame:
    """WITHHELD: of each horizon the newest decision by ``now`` that has sentiment, for the symbols without a signal."""
    begun = warehouse.symbol_sentiment.latest(symbols, now)
    found = [empty(WITHHELD)]
    for horizon in horizons:
        newest = begun.filter(pl.col("horizon") == horizon)["as_of"].max()
        if isinstance(newest, datetime):
            found.append(_missing(warehouse, settings, symbols, horizon, newest, now))
    return pl.concat(found)


def newest_withheld(
    warehouse: Warehouse, settings: Settings, symbol: str, horizon: Horizon | None, moment: datetime
) -> str | None:
    """Why the newest decision by ``moment``, of one horizon or of either, has no signal; None where it has one."""
    found = without_signal(warehouse, settings, [symbol], moment, [horizon] if horizon else HORIZONS).sort("as_of")
    if found.is_empty():
        return None
    _, of, as_of, reason = found.row(-1)
    return f"the {of} decision of {as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z has none: {reason}"


def in_words(withheld: pl.DataFrame) -> list[str]:
    """A line a horizon and reason, with the symbols that it holds for."""
    groups = withheld.group_by("horizon", "as_of", "reason", maintain_order=True).agg(pl.col("symbol"))
    return [
        f"no {horizon} signal at {as_of:%Y-%m-%d %H:%M}Z for {', '.join(names)}: {reason}"
        for horizon, as_of, reason, names in groups.iter_rows()
    ]


def _missing(
    warehouse: Warehouse, settings: Settings, symbols: Sequence[str], horizon: Horizon, newest: datetime, now: datetime
) -> pl.DataFrame:
    made = warehouse.signals.decided(symbols, horizon, newest, newest)
    due = decisions_at(symbols, horizon, newest, settings)
    missing = due.join(made, on=_KEY, how="anti", maintain_order="left")
    if missing.is_empty():
        return empty(WITHHELD)
    span, opened = read_range(missing), missing["session_open"][0]
    decisions = decisions_at(settings.universe.peers(span.symbols), horizon, newest, settings)
    history = history_of(warehouse, settings, decisions, span.known_by)
    reasons = decision_path(settings, rule_engine(settings))(history)["withheld"]
    explained = missing.select(_KEY).join(reasons, on=_KEY, how="left", maintain_order="left")
    explained = explained.with_columns(pl.col("reason").fill_null("it was not made; see the run of trading_signals"))
    return with_refusals(explained, warehouse.quarantine.bars(span.symbols, opened, now)).select(WITHHELD.keys())
