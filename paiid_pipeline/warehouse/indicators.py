"""technical_indicators: the indicators of each decision."""

from __future__ import annotations

import polars as pl

from paiid_pipeline.warehouse.decision_store import DecisionStore
from paiid_pipeline.warehouse.tables import TECHNICAL_INDICATORS, WriteResult
from paiid_pipeline.warehouse.upserts import upsert


class Indicators(DecisionStore):
    """Frames of INDICATORS."""

    table = TECHNICAL_INDICATORS

    def write(self, frame: pl.DataFrame) -> WriteResult:
        """Store indicators; a stored row changes only where a value is distinct."""
        return self._write(frame, upsert)
