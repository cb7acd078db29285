"""Look-ahead audit of features: each is recomputed from the data known at its decision alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random

import polars as pl

from paiid_pipeline.decisions import decisions_at
from paiid_pipeline.lookahead.audit import audit
from paiid_pipeline.lookahead.decision_path import DecisionPath, History, Output, decision_path
from paiid_pipeline.lookahead.history import history_of
from paiid_pipeline.ml.signals.dataset import SignalData
from paiid_pipeline.ml.signals.engines import rule_engine
from paiid_pipeline.schemas import DECISION_KEY
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.features import FEATURES, computed, joined
from paiid_pipeline.trading_calendar import Horizon
from paiid_pipeline.warehouse import Warehouse

SYMBOLS = 40
"""Maximum symbols audited at a decision time."""
_HINT = " (if it is an honest one, its inputs were stored by other code: backfill them, and train again)"
_AFTER = timedelta(days=14)
"""Later data included in the history, which must not change a feature."""


def leaking_features(
    warehouse: Warehouse,
    settings: Settings,
    data: SignalData,
    horizon: Horizon,
    now: datetime,
    times: int,
    seed: int,
    columns: Mapping[str, pl.Expr] = FEATURES,
) -> dict[str, str]:
    """The features that look ahead, each with the difference found; empty where none does.

    At ``times`` random decision times every feature is recomputed from what was known then, and must be bit-identical
    to the data.
    """
    rng = Random(seed)  # noqa: S311
    moments = data.rows["as_of"].unique().sort().to_list()
    found: dict[str, str] = {}
    for moment in sorted(rng.sample(moments, min(times, len(moments)))):
        rows = data.rows.filter(pl.col("as_of") == moment)
        symbols = sorted(rng.sample(rows["symbol"].to_list(), min(rows.height, SYMBOLS)))
        sample = rows.filter(pl.col("symbol").is_in(symbols))
        decisions = decisions_at(symbols, horizon, moment, settings)
        if decisions.is_empty():
            raise ValueError(f"the decision of {moment} is not on the grid of {settings.universe.calendar.name}")
        history = history_of(warehouse, settings, decisions, now, _AFTER)
        path = decision_path(settings, rule_engine(settings))
        found = {**leaking_in(path, history, sample, data.features, columns), **found}
    return found


def leaking_in(
    pipeline: DecisionPath,
    history: History,
    rows: pl.DataFrame,
    names: tuple[str, ...],
    columns: Mapping[str, pl.Expr] = FEATURES,
) -> dict[str, str]:
    """As `leaking_features`, for some rows (`DECISION_KEY` and features) whose decisions are in ``history``."""
    found = {name: "it cannot be made from what was known then" for name in names if name not in columns}
    remaining = [name for name in names if name in columns]
    sample = history.decisions.join(rows, on=DECISION_KEY, how="semi", maintain_order="left")
    # The audit reports the first difference of a row: repeat without that feature until there is none.
    while remaining:
        again = _features(pipeline, {name: columns[name] for name in remaining})
        report = audit(again, history, sample, {"features": rows.select(*DECISION_KEY, *remaining)})
        caught = {each.column: f"{each}{_HINT}" for each in reversed(report.differences) if each.table == "features"}
        if not caught:
            return found
        found |= caught
        remaining = [name for name in remaining if name not in caught] if caught.keys() & set(remaining) else []
    return found


def _features(pipeline: DecisionPath, columns: Mapping[str, pl.Expr]) -> DecisionPath:
    def path(history: History) -> Output:
        found = pipeline(history)
        inputs = joined(found["technical_indicators"], found["symbol_sentiment"])
        return {"features": computed(inputs, columns), "signals": found["signals"]}

    return path
