"""signals: what each engine decided, every version kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import polars as pl

from paiid_pipeline import schemas
from paiid_pipeline.trading_calendar import Horizon
from paiid_pipeline.warehouse.bulk_copy import validated
from paiid_pipeline.warehouse.decision_store import DecisionStore
from paiid_pipeline.warehouse.tables import SIGNALS, WriteResult
from paiid_pipeline.warehouse.upserts import append_newest


class Signals(DecisionStore):
    """Frames of SIGNALS in, of STORED_SIGNALS out. ``seq``, a column of the table alone, is the order of writing."""

    table = SIGNALS
    _order = "symbol, as_of, engine, seq"

    def write(self, frame: pl.DataFrame, run_id: str) -> WriteResult:
        """Add the signals of a run, except those with the ``inputs_hash`` of the newest stored of their decision.

        A signal equal to an older one is added again where a different one was written in between.
        """
        rows = validated(frame, schemas.SIGNALS, SIGNALS.name).with_columns(run_id=pl.lit(run_id))
        return self._write(rows, partial(append_newest, version="inputs_hash", order="seq"))

    def latest(self, symbols: Sequence[str], now: datetime, engine: str = "rules") -> pl.DataFrame:
        """Of each symbol and horizon an engine's signal of the newest decision time at or before ``now``."""
        newest = "t.engine = %(engine)s AND t.as_of <= %(now)s ORDER BY t.as_of DESC, t.seq DESC LIMIT 1"
        return self._latest(symbols, newest, {"now": now, "engine": engine})

    def prior_positions(
        self, symbols: Sequence[str], horizon: Horizon, engine: str, after: datetime, before: datetime
    ) -> pl.DataFrame:
        """PRIOR_POSITIONS of an engine's signals with a decision time in (after, before], in the order of writing."""
        return self._rows(
            "SELECT * FROM signals WHERE symbol = ANY(%(symbols)s) AND horizon = %(horizon)s"
            " AND engine = %(engine)s AND as_of > %(after)s AND as_of <= %(before)s ORDER BY as_of, symbol, seq",
            {"symbols": list(symbols), "horizon": horizon, "engine": engine, "after": after, "before": before},
            schemas.PRIOR_POSITIONS,
        )
