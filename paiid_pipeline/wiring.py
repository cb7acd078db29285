"""What opens the parts of the pipeline from its settings: one place for the assets, the commands and applications."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from paiid_pipeline.cache import CacheManager
from paiid_pipeline.clock import Clock
from paiid_pipeline.ml.context import ModelStore
from paiid_pipeline.ml.registry import Registry
from paiid_pipeline.ml.signals.engines import MlEngine, rule_engine
from paiid_pipeline.ml.signing import SigningKey, key_of
from paiid_pipeline.ml.text.scoring import open_analyzer
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.settings import Settings, load_settings
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline.universe import Universe
from paiid_pipeline.warehouse import Warehouse

if TYPE_CHECKING:
    from paiid_pipeline.ingestion import Ingestion
    from paiid_pipeline.sources import Source


class Components:
    """The parts of the pipeline, each opened at first use and kept.

    What its settings lack is a LookupError with the remedy. The analyzer and the engines are made anew at each call,
    since the models that are installed may change.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """By default the settings of the environment, read when they are first needed."""
        if settings is not None:
            self.settings = settings

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

    @cached_property
    def source(self) -> Source:
        from paiid_pipeline.sources import open_source  # an HTTP client, which most commands do without

        return open_source(self.settings)

    @cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.settings.require_postgres(), self.settings.decision_lag)

    @cached_property
    def ingestion(self) -> Ingestion:
        from paiid_pipeline.ingestion import Ingestion

        return Ingestion(self.source, self.warehouse, self.calendar, self.settings, self.clock)

    @cached_property
    def cache(self) -> CacheManager:
        return CacheManager.connect(self.settings.require_redis())

    @cached_property
    def registry(self) -> Registry:
        """The model registry; reading it takes no key."""
        return Registry(self.settings.mlflow_url, self.settings.mlflow_artifacts)

    @cached_property
    def model_key(self) -> SigningKey:
        """The key that signs and verifies models."""
        return key_of(self.settings)

    @cached_property
    def store(self) -> ModelStore:
        return ModelStore(self.registry, self.model_key, self.settings.models_dir, self.settings.home)

    def analyzer(self, *, budget_ms: float | None = None) -> SentimentAnalyzer:
        """The installed sentiment models and their ensemble, for the names of the universe; see `open_analyzer`."""
        key = partial(key_of, self.settings)
        return open_analyzer(self.settings.models_dir, self.universe.names, budget_ms=budget_ms, key=key)

    def rule_engine(self) -> SignalGenerator:
        return rule_engine(self.settings)

    def ml_engine(self) -> MlEngine:
        return MlEngine(self.settings)
