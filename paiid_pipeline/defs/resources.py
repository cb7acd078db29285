"""The one resource: the settings and clock of this process, and what they open."""

from datetime import date, datetime
from functools import cached_property

import dagster as dg

from paiid_pipeline.cache import CacheManager
from paiid_pipeline.clock import Clock
from paiid_pipeline.decisions import news_window
from paiid_pipeline.ingestion import Ingestion
from paiid_pipeline.ml.context import ModelStore, open_registry
from paiid_pipeline.ml.registry import Registry
from paiid_pipeline.ml.signing import SigningKey, key_of
from paiid_pipeline.settings import Settings, load_settings
from paiid_pipeline.sources import Source, open_source
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline.universe import Universe
from paiid_pipeline.warehouse import Warehouse


class PipelineResource(dg.ConfigurableResource["PipelineResource"]):
    """Settings, clock, universe, source, warehouse, cache and register of models, each opened when first asked for."""

    @cached_property
    def settings(self) -> Settings:
        return load_settings()

    @cached_property
    def clock(self) -> Clock:
        return self.settings.open_clock()

    @cached_property
    def universe(self) -> Universe:
        return self.settings.universe

    @property
    def calendar(self) -> TradingCalendar:
        return self.universe.calendar

    def news_window(self, day: date) -> tuple[datetime, datetime]:
        """When articles of the partition ``day`` are published; asks no vendor."""
        return news_window(day, self.calendar, self.settings.news_lookback)

    @cached_property
    def source(self) -> Source:
        return open_source(self.settings)

    @cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.settings.require_postgres(), self.settings.decision_lag)

    @cached_property
    def ingestion(self) -> Ingestion:
        return Ingestion(self.source, self.warehouse, self.calendar, self.settings, self.clock)

    @cached_property
    def cache(self) -> CacheManager:
        return CacheManager.connect(self.settings.require_redis())

    @cached_property
    def registry(self) -> Registry:
        return open_registry(self.settings)

    @cached_property
    def store(self) -> ModelStore:
        return ModelStore(self.registry, self.model_key, self.settings.models_dir, self.settings.home)

    @cached_property
    def model_key(self) -> SigningKey:
        return key_of(self.settings)
