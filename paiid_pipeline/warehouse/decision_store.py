"""The reads that the tables with rows of decisions (symbol, horizon, as_of) share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import polars as pl

from paiid_pipeline.schemas import Schema
from paiid_pipeline.trading_calendar import HORIZONS, Horizon
from paiid_pipeline.warehouse.store import TableStore

DecisionTable = Literal["symbol_sentiment", "technical_indicators", "signals"]


class DecisionStore(TableStore):
    """A table of rows computed for decisions; ``as_of`` is the decision time."""

    _order = "symbol, as_of"

    def read(self, symbols: Sequence[str] | None, horizon: Horizon, first: datetime, last: datetime) -> pl.DataFrame:
        """The rows with a decision time in [first, last], by symbol and time; of every stored symbol for None.

        Several signals of one decision come by engine and in the order in which they were written.
        """
        return self._select(self.table.schema, symbols, horizon, first, last)

    def decided(self, symbols: Sequence[str], horizon: Horizon, first: datetime, last: datetime) -> pl.DataFrame:
        """symbol, horizon, as_of of the decisions with a time in [first, last] that have a row, each once."""
        keys = {name: self.table.schema[name] for name in ("symbol", "horizon", "as_of")}
        return self._select(keys, symbols, horizon, first, last).unique(maintain_order=True)

    def newest_decided(self, symbols: Sequence[str], by: datetime) -> dict[Horizon, datetime]:
        """Of each horizon the newest decision time at or before ``by`` that has a row of any of some symbols."""
        with self._transaction() as cursor:
            cursor.execute(
                f"""
                SELECT of.horizon, max(latest.as_of)
                FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) COLLATE "C" AS symbol) asked
                CROSS JOIN unnest(%(horizons)s::text[]) AS of(horizon)
                CROSS JOIN LATERAL (
                    SELECT t.as_of FROM {self.table.name} t
                    WHERE t.symbol = asked.symbol AND t.horizon = of.horizon COLLATE "C" AND t.as_of <= %(by)s
                    ORDER BY t.as_of DESC LIMIT 1) latest
                GROUP BY of.horizon
                """,
                {"symbols": list(symbols), "horizons": list(HORIZONS), "by": by},
            )
            return dict(cursor.fetchall())

    def _latest(self, symbols: Sequence[str], newest: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
        """The row t of each symbol and horizon that the condition and order ``newest`` select, sorted by these."""
        return self._rows(
            f"""
            SELECT latest.* FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) COLLATE "C" AS symbol) asked
            CROSS JOIN unnest(%(horizons)s::text[]) AS of(horizon)
            CROSS JOIN LATERAL (
                SELECT t.* FROM {self.table.name} t
                WHERE t.symbol = asked.symbol AND t.horizon = of.horizon COLLATE "C" AND {newest}) latest
            """,
            {**parameters, "symbols": list(symbols), "horizons": list(HORIZONS)},
            self.table.schema,
        ).sort("symbol", "horizon")

    def _select(
        self, schema: Schema, symbols: Sequence[str] | None, horizon: Horizon, first: datetime, last: datetime
    ) -> pl.DataFrame:
        about = "" if symbols is None else "symbol = ANY(%(symbols)s) AND "
        return self._rows(
            f"SELECT * FROM {self.table.name} WHERE {about}horizon = %(horizon)s"
            f" AND as_of BETWEEN %(first)s AND %(last)s ORDER BY {self._order}",
            {"symbols": list(symbols or ()), "horizon": horizon, "first": first, "last": last},
            schema,
        )
