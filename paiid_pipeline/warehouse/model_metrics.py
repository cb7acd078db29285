"""model_evaluations: metrics of model versions, and the newest of each by the view model_performance."""

from __future__ import annotations

import polars as pl

from paiid_pipeline.warehouse.bulk_copy import copy_out
from paiid_pipeline.warehouse.store import TableStore
from paiid_pipeline.warehouse.tables import MODEL_EVALUATIONS, WriteResult
from paiid_pipeline.warehouse.upserts import append


class ModelMetrics(TableStore):
    """Frames of MODEL_EVALUATIONS."""

    table = MODEL_EVALUATIONS

    def write(self, frame: pl.DataFrame) -> WriteResult:
        """Add metrics; a row whose key is stored is left as it is."""
        return self._write(frame, append)

    def newest(self) -> pl.DataFrame:
        """The newest value of each model, version and metric."""
        with self._connections.transaction("model_performance") as cursor:
            return copy_out(cursor, "SELECT * FROM model_performance", {}, self.table.schema)
