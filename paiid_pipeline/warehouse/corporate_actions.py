"""corporate_actions: splits, dividends, changes of name, every version kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from paiid_pipeline.schemas import STORED_CORPORATE_ACTIONS
from paiid_pipeline.warehouse.bitemporal import BitemporalStore, newest_version
from paiid_pipeline.warehouse.tables import CORPORATE_ACTIONS


class CorporateActions(BitemporalStore):
    """Frames of CORPORATE_ACTIONS in, of STORED_CORPORATE_ACTIONS out."""

    table = CORPORATE_ACTIONS

    def read(self, symbols: Sequence[str], known_by: datetime) -> pl.DataFrame:
        """Each action in the newest version known by ``known_by``, by id."""
        return newest_version(self.versions(symbols, known_by), "action_id")

    def versions(self, symbols: Sequence[str], known_by: datetime) -> pl.DataFrame:
        """All versions known by ``known_by``, by id and known_at."""
        return self._rows(
            "SELECT * FROM corporate_actions WHERE symbol = ANY(%(symbols)s) AND known_at <= %(known_by)s",
            {"symbols": list(symbols), "known_by": known_by},
            STORED_CORPORATE_ACTIONS,
        ).sort("action_id", "known_at")
