"""article_standings: which articles count today, for the analysts' views."""

from __future__ import annotations

import polars as pl

from paiid_pipeline.warehouse.store import TableStore
from paiid_pipeline.warehouse.tables import ARTICLE_STANDINGS, WriteResult
from paiid_pipeline.warehouse.upserts import upsert


class ArticleStandings(TableStore):
    """Frames of ARTICLE_STANDINGS."""

    table = ARTICLE_STANDINGS

    def write(self, frame: pl.DataFrame) -> WriteResult:
        """Store standings; a stored row changes only where a value is distinct."""
        return self._write(frame, upsert)
