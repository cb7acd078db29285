"""The warehouse: one object a table, over one pool of connections."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import TracebackType

from paiid_pipeline.universe import DECISION_LAG
from paiid_pipeline.warehouse.article_sentiment import ArticleSentiment
from paiid_pipeline.warehouse.article_standings import ArticleStandings
from paiid_pipeline.warehouse.bars import Bars
from paiid_pipeline.warehouse.connections import ConnectionPool
from paiid_pipeline.warehouse.corporate_actions import CorporateActions
from paiid_pipeline.warehouse.coverage import Coverage
from paiid_pipeline.warehouse.decision_store import DecisionStore, DecisionTable
from paiid_pipeline.warehouse.indicators import Indicators
from paiid_pipeline.warehouse.model_metrics import ModelMetrics
from paiid_pipeline.warehouse.news import News
from paiid_pipeline.warehouse.partitions import month_after
from paiid_pipeline.warehouse.quarantine import Quarantine
from paiid_pipeline.warehouse.signals import Signals
from paiid_pipeline.warehouse.store import TableStore
from paiid_pipeline.warehouse.symbol_sentiment import SymbolSentiment


class Warehouse:
    """The tables in the schema that comes first in the search_path of ``url``. Safe to use from several threads.

    ``decision_lag``: how long after its time a decision reads. All moments are timezone-aware.
    """

    def __init__(self, url: str, decision_lag: timedelta = DECISION_LAG) -> None:
        pool = self._connections = ConnectionPool(url)
        self.bars = Bars(pool, decision_lag)
        self.news = News(pool, decision_lag)
        self.corporate_actions = CorporateActions(pool, decision_lag)
        self.article_sentiment = ArticleSentiment(pool, decision_lag)
        self.article_standings = ArticleStandings(pool)
        self.symbol_sentiment = SymbolSentiment(pool)
        self.indicators = Indicators(pool)
        self.signals = Signals(pool)
        self.model_metrics = ModelMetrics(pool)
        self.coverage = Coverage(pool)
        self.quarantine = Quarantine(pool)
        self._tables = {one.table.name: one for one in vars(self).values() if isinstance(one, TableStore)}

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; the next call opens one again."""
        self._connections.close()

    def table(self, name: str) -> TableStore:
        """The table with this name. Raises KeyError where no frames are written to it."""
        return self._tables[name]

    def decision_table(self, name: DecisionTable) -> DecisionStore:
        """The table of decisions with this name."""
        return {one.table.name: one for one in (self.symbol_sentiment, self.indicators, self.signals)}[name]

    def ensure_partitions(self, moment: datetime) -> None:
        """Create the partitions of the month (UTC) of ``moment`` and of the next, so that no write has to."""
        month = moment.astimezone(UTC).date().replace(day=1)
        for store in self._tables.values():
            if store.table.partition:
                store.ensure_partitions([month, month_after(month)])
