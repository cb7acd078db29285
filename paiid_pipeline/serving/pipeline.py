"""The sentiment of one symbol on demand, over any look-back: from the cache, or from the warehouse."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from paiid_pipeline.cache import CacheError, CacheManager, Envelope
from paiid_pipeline.clock import Clock
from paiid_pipeline.did_you_mean import did_you_mean
from paiid_pipeline.schemas import DECISIONS, STORED_ARTICLE_SENTIMENT
from paiid_pipeline.sentiment.aggregate import aggregate
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.settings import Settings
from paiid_pipeline.symbols import read_symbol
from paiid_pipeline.warehouse import Warehouse
from paiid_pipeline.wiring import Components

LONGEST_DAYS = 365
_MOMENTS = ("as_of", "newest_published_at", "price_at")


@dataclass(frozen=True)
class SentimentAnalysis:
    """The time-decayed mean sentiment of a symbol's articles in a look-back window, and its newest price.

    The numbers are those of `schemas.SYMBOL_SENTIMENT` at ``as_of``, the moment of the request; without articles
    score, confidence, disagreement and novelty are None. ``price`` is the newest close known, raw, and
    ``price_at`` when its bar ended.
    """

    symbol: str
    lookback_days: int
    as_of: datetime
    score: float | None
    confidence: float | None
    article_count: int
    disagreement: float | None
    novelty: float | None
    newest_published_at: datetime | None
    model_version: str
    missing_members: tuple[str, ...]
    price: float | None
    price_at: datetime | None
    cached: bool = False
    """Whether it comes from the cache, computed at ``as_of``."""


class MLDataPipeline:
    """Sentiment on demand, computed as the graph does from what it has stored. Only the cache is written."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        warehouse: Warehouse | None = None,
        cache: CacheManager | None = None,
        analyzer: SentimentAnalyzer | None = None,
    ) -> None:
        """Whatever is not given is opened from the settings, by default those of the environment."""
        opened = Components(settings)
        self._settings = opened.settings
        self._clock = clock or opened.clock
        self._warehouse = warehouse or opened.warehouse
        self._cache = cache or opened.cache
        self._analyzer = analyzer or opened.analyzer()

    async def get_sentiment_analysis(self, symbol: str, lookback_days: int = 3) -> SentimentAnalysis:
        """As :meth:`get_sentiment_analysis_sync`, in a thread, so that an event loop goes on meanwhile."""
        return await asyncio.to_thread(self.get_sentiment_analysis_sync, symbol, lookback_days)

    def get_sentiment_analysis_sync(self, symbol: str, lookback_days: int = 3) -> SentimentAnalysis:
        """The sentiment on ``symbol`` now, over the articles of the last ``lookback_days`` (1 to 365).

        A fresh answer of the same models in the cache is given as it is; else it is made from the articles known
        now, scoring those that these models have not scored, and cached for the TTL of sentiment. Redis out
        of reach costs only time. Raises LookupError for a symbol that is not followed, ValueError for another
        look-back.
        """
        symbol = self._followed(symbol, lookback_days)
        now = self._clock.now()
        key = f"{symbol}:{lookback_days}d"
        known = self._cached(key, now)
        if known is not None:
            return known
        made = self._analyse(symbol, lookback_days, now)
        document = {name: value for name, value in asdict(made).items() if name != "cached"}
        with suppress(CacheError):
            self._cache.cache_results([Envelope("sentiment", key, now, now, made.model_version, document)])
        return made

    def _followed(self, symbol: str, lookback_days: int) -> str:
        if not 1 <= lookback_days <= LONGEST_DAYS:
            raise ValueError(f"lookback_days={lookback_days} is not from 1 to {LONGEST_DAYS}")
        return require_followed(symbol, self._settings)

    def _cached(self, key: str, now: datetime) -> SentimentAnalysis | None:
        try:
            found = self._cache.get_cached_result("sentiment", key, now)
        except (CacheError, ValueError):
            return None
        if found is None or found.model_version != self._analyzer.model_version:
            return None
        return _read(found.data)

    def _analyse(self, symbol: str, lookback_days: int, now: datetime) -> SentimentAnalysis:
        lookback = timedelta(days=lookback_days)
        bar = self._newest_bar(symbol, now)
        scores = self._scores(symbol, now - lookback, now)
        decision = pl.DataFrame(
            [(symbol, "intraday", now, now, now.date(), now, now - lookback)], schema=DECISIONS, orient="row"
        )
        row = aggregate(scores, decision, lookback, self._settings.news_half_life).row(0, named=True)
        return SentimentAnalysis(
            symbol=symbol,
            lookback_days=lookback_days,
            as_of=now,
            score=row["score"],
            confidence=row["confidence"],
            article_count=row["article_count"],
            disagreement=row["disagreement"],
            novelty=row["novelty"],
            newest_published_at=row["newest_published_at"],
            model_version=self._analyzer.model_version,
            missing_members=tuple(sorted(self._analyzer.route.unavailable)),
            price=bar["close"] if bar else None,
            price_at=bar["bar_end"] if bar else None,
        )

    def _newest_bar(self, symbol: str, now: datetime) -> dict[str, Any] | None:
        bars = [self._warehouse.bars.newest([symbol], timeframe, now, now) for timeframe in ("1Day", "1Min")]
        newest = pl.concat(bars).sort("bar_end")
        return newest.row(-1, named=True) if newest.height else None

    def _scores(self, symbol: str, start: datetime, now: datetime) -> pl.DataFrame:
        """The ensemble's score of every article on the symbol, in the version known now."""
        end, version = now + timedelta(microseconds=1), ["article_id", "content_hash"]
        news = self._warehouse.news.read([symbol], start, end, now)
        stored = self._warehouse.article_sentiment.read([symbol], self._analyzer.model, start, end, now)
        stored = stored.filter(pl.col("model_version") == self._analyzer.model_version).join(
            news, on=version, how="semi"
        )
        scored = self._analyzer.score_articles(news.join(stored, on=version, how="anti"))
        moments = news.select(*version, "known_at", "nominal").unique(version)
        fresh = scored.filter((pl.col("symbol") == symbol) & (pl.col("model") == self._analyzer.model))
        fresh = fresh.join(moments, on=version).select(STORED_ARTICLE_SENTIMENT.keys())
        return pl.concat([stored.select(STORED_ARTICLE_SENTIMENT.keys()), fresh])


def require_followed(symbol: str, settings: Settings) -> str:
    """The symbol as it is spelled inside. Raises LookupError with the remedy where the universe does not have it."""
    symbols, spelled = settings.universe.symbols, read_symbol(symbol)
    if spelled not in symbols:
        hint = did_you_mean(spelled, symbols, otherwise=f"add it to {settings.universe_path}", cutoff=0.5)
        raise LookupError(f"{symbol!r} is not followed: {hint}")
    return spelled


def _read(document: dict[str, Any]) -> SentimentAnalysis | None:
    """What was cached, or None where it has another form."""
    if {"cached", *document} != {field.name for field in fields(SentimentAnalysis)}:
        return None
    moments = {name: datetime.fromisoformat(document[name]) for name in _MOMENTS if document[name] is not None}
    made = SentimentAnalysis(**{**document, **moments})
    return replace(made, missing_members=tuple(made.missing_members), cached=True)
