"""The classes for applications; each opens what it needs from the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast, get_args

import polars as pl

from paiid_pipeline.cache import Envelope
from paiid_pipeline.clock import Clock
from paiid_pipeline.ml.signals.engines import engine_arguments
from paiid_pipeline.sentiment import analyzer
from paiid_pipeline.sentiment.analyzer import SentimentResult
from paiid_pipeline.serving.pipeline import require_followed
from paiid_pipeline.settings import CacheKind, Settings
from paiid_pipeline.signals import generator
from paiid_pipeline.signals.generator import Signal, as_news, signals_of
from paiid_pipeline.signals.risk import RiskInputs, risk_lookback
from paiid_pipeline.trading_calendar import HORIZONS, Horizon
from paiid_pipeline.warehouse import Warehouse
from paiid_pipeline.wiring import Components

_RECENT = timedelta(days=14)
"""Longer than any exchange is closed: no decision before that still holds."""


class SentimentAnalyzer(analyzer.SentimentAnalyzer):
    """Scores texts with every model that is installed where the settings say, for the names of their universe.

    Without one it is VADER alone; each result names the missing members, and ``route.unavailable`` the reasons.
    """

    def __init__(self, settings: Settings | None = None, *, budget_ms: float | None = None) -> None:
        """``budget_ms``: models that cost more a text are left out."""
        found = Components(settings).analyzer(budget_ms=budget_ms)
        super().__init__(found.route, found.blend, found.names)


class CacheManager:
    """Results in Redis by key and kind (market, signals, sentiment or news), each for the TTL of its kind.

    It shares its keys with the hot results of the graph: the key of a symbol holds what the graph publishes. Raises
    `cache.CacheError` where Redis does not answer, ValueError for another kind.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Clock | None = None) -> None:
        """Raises LookupError with the remedy where no address of Redis is set."""
        opened = Components(settings)
        self._clock = clock or opened.clock
        self._hot = opened.cache

    async def get_cached_result(self, key: str, cache_type: str) -> Any:
        """What is cached under ``key``, as JSON has it; None where nothing is, or where it is past its TTL."""
        kind, now = _kind(cache_type), self._clock.now()
        found = await asyncio.to_thread(self._hot.get_cached_result, kind, key, now)
        return None if found is None else found.data

    async def cache_result(self, key: str, data: Any, cache_type: str) -> None:
        """Cache ``data`` under ``key``. Raises TypeError for what JSON cannot hold."""
        now = self._clock.now()
        envelope = Envelope(_kind(cache_type), key, now, now, None, data)
        await asyncio.to_thread(self._hot.cache_results, [envelope])


class SignalGenerator(generator.SignalGenerator):
    """The rule engine of the settings, on the indicators that the warehouse has unless it is given others."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        indicators: Callable[[str], pl.DataFrame] | pl.DataFrame | None = None,
        warehouse: Warehouse | None = None,
        clock: Clock | None = None,
    ) -> None:
        opened = Components(settings)
        self._settings = opened.settings
        super().__init__(**engine_arguments(self._settings), indicators=indicators)
        self._opened, self._given, self._clock = opened, warehouse, clock or opened.clock

    def generate_signals(
        self, symbol: str, sentiment: SentimentResult | pl.DataFrame, risk_inputs: RiskInputs | None = None
    ) -> list[Signal]:
        """The signals of one symbol, oldest first; none of them is stored.

        ``sentiment``: the scores of one text, or `schemas.SYMBOL_SENTIMENT`. For a text the newest decision of
        each horizon is made again with it as all the news on the symbol, where that decision still holds; for a frame
        those decisions that it has rows of. Its peers share the risk budget, on their stored sentiment.
        ``risk_inputs``: by default what the graph reads. Raises LookupError, with the reasons, where no signal can be
        made, and for a symbol that is not followed.
        """
        if self._indicators is not None:
            return super().generate_signals(symbol, sentiment, risk_inputs)
        symbol = require_followed(symbol, self._settings)
        signals, reasons = list[Signal](), list[str]()
        for horizon in HORIZONS:
            moments = self._moments(symbol, horizon, sentiment)
            if not moments:
                reasons.append(f"{horizon}: no decision with indicators that still holds")
            for moment in moments:
                made, withheld = self._decide_at(symbol, horizon, moment, sentiment, risk_inputs)
                signals += made
                reasons += withheld
        if not signals:
            raise LookupError(f"no signal on {symbol}: {'; '.join(reasons)}")
        return sorted(signals, key=lambda signal: (signal.as_of, signal.horizon))

    @property
    def _warehouse(self) -> Warehouse:
        return self._given or self._opened.warehouse

    def _moments(self, symbol: str, horizon: Horizon, sentiment: SentimentResult | pl.DataFrame) -> list[datetime]:
        if isinstance(sentiment, pl.DataFrame):
            rows = sentiment.filter((pl.col("symbol") == symbol) & (pl.col("horizon") == horizon))
            return rows["as_of"].unique().sort().to_list()
        now = self._clock.now()
        stored = self._warehouse.indicators.read([symbol], horizon, now - _RECENT, now)["as_of"]
        newest = cast("datetime | None", stored.max())
        return [newest] if newest is not None and self._validity(horizon, newest) > now else []

    def _decide_at(
        self,
        symbol: str,
        horizon: Horizon,
        moment: datetime,
        sentiment: SentimentResult | pl.DataFrame,
        risk_inputs: RiskInputs | None,
    ) -> tuple[list[Signal], list[str]]:
        peers = self._settings.universe.peers([symbol])
        indicators = self._warehouse.indicators.read(peers, horizon, moment, moment)
        own = pl.col("symbol") == symbol
        given = (
            sentiment.filter(own & (pl.col("horizon") == horizon) & (pl.col("as_of") == moment))
            if isinstance(sentiment, pl.DataFrame)
            else as_news(sentiment, indicators.filter(own))
        )
        stored = self._warehouse.symbol_sentiment.read(peers, horizon, moment, moment).filter(~own)
        news = pl.concat([stored, given.select(stored.columns)])
        signals, withheld = self.decide(indicators, news, risk_inputs or self._risk_inputs(peers, horizon, moment))
        if indicators.filter(own).is_empty():
            return [], [f"{horizon}: no indicators for {moment.isoformat()}"]
        return signals_of(symbol, signals), [f"{horizon}: {why}" for why in withheld.filter(own)["reason"]]

    def _risk_inputs(self, peers: list[str], horizon: Horizon, moment: datetime) -> RiskInputs:
        after = moment - risk_lookback(self.rulebook.limits, horizon)
        return RiskInputs(
            self._warehouse.signals.prior_positions(peers, horizon, self.engine, after, moment),
            self._warehouse.corporate_actions.versions(peers, moment + self._settings.decision_lag),
            self._warehouse.quarantine.bars(peers, after, moment),
        )


def _kind(cache_type: str) -> CacheKind:
    kinds = get_args(CacheKind)
    if cache_type not in kinds:
        raise ValueError(f"cache_type={cache_type!r} is none of {', '.join(kinds)}")
    return cast("CacheKind", cache_type)
