"""symbol_sentiment: the aggregate of article scores of each decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from paiid_pipeline.warehouse.decision_store import DecisionStore
from paiid_pipeline.warehouse.tables import SYMBOL_SENTIMENT, WriteResult
from paiid_pipeline.warehouse.upserts import upsert


class SymbolSentiment(DecisionStore):
    """Frames of SYMBOL_SENTIMENT."""

    table = SYMBOL_SENTIMENT

    def write(self, frame: pl.DataFrame) -> WriteResult:
        """Store aggregates; a stored row changes only where a value is distinct."""
        return self._write(frame, upsert)

    def latest(self, symbols: Sequence[str], now: datetime) -> pl.DataFrame:
        """Of each symbol and horizon the aggregate of the newest decision time at or before ``now``."""
        return self._latest(symbols, "t.as_of <= %(now)s ORDER BY t.as_of DESC LIMIT 1", {"now": now})
