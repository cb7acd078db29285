"""Each table that frames are written to: its columns, its key, and how it is partitioned."""

from __future__ import annotations

from dataclasses import dataclass

from paiid_pipeline import schemas
from paiid_pipeline.schemas import Schema


@dataclass(frozen=True)
class Table:
    """A table that frames are written to. ``schema`` is that of the frames, in the table's order."""

    name: str
    schema: Schema
    key: tuple[str, ...]
    partition: str | None = None
    """The moment by whose month (UTC) the table is partitioned."""
    ignored: frozenset[str] = frozenset()
    """Columns in which a row may differ without being another version: where it came from."""

    @property
    def never_null(self) -> tuple[str, ...]:
        """The key, and the column that selects the partition."""
        return tuple({*self.key, *([self.partition] if self.partition else [])})

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of a frame, in order."""
        return tuple(self.schema)

    @property
    def values(self) -> tuple[str, ...]:
        """The columns whose change makes a row another version."""
        return tuple(name for name in self.schema if name not in self.key and name not in self.ignored)


_ORIGIN = frozenset({"source"})

MARKET_BARS = Table("market_bars", schemas.BARS, ("symbol", "timeframe", "bar_start"), "bar_start", _ORIGIN)
NEWS_ARTICLES = Table("news_articles", schemas.NEWS, ("article_id", "updated_at"), "published_at", _ORIGIN)
CORPORATE_ACTIONS = Table("corporate_actions", schemas.CORPORATE_ACTIONS, ("action_id",), None, _ORIGIN)
ARTICLE_SENTIMENT = Table(
    "article_sentiment",
    schemas.ARTICLE_SENTIMENT,
    ("article_id", "content_hash", "symbol", "model", "model_version", "published_at"),
    "published_at",
)
ARTICLE_STANDINGS = Table(
    "article_standings", schemas.ARTICLE_STANDINGS, ("symbol", "article_id", "published_at"), "published_at"
)
SYMBOL_SENTIMENT = Table("symbol_sentiment", schemas.SYMBOL_SENTIMENT, schemas.DECISION_KEY, "as_of")
TECHNICAL_INDICATORS = Table("technical_indicators", schemas.INDICATORS, schemas.DECISION_KEY, "as_of")
SIGNALS = Table("signals", schemas.STORED_SIGNALS, ("symbol", "horizon", "engine", "as_of", "inputs_hash"), "as_of")
MODEL_EVALUATIONS = Table(
    "model_evaluations", schemas.MODEL_EVALUATIONS, ("model", "version", "metric", "evaluated_at")
)


@dataclass(frozen=True)
class WriteResult:
    """How many rows of a batch were new, differed from what was stored, or were stored already."""

    inserted: int
    restated: int
    unchanged: int

    def __add__(self, other: WriteResult) -> WriteResult:
        return WriteResult(
            self.inserted + other.inserted, self.restated + other.restated, self.unchanged + other.unchanged
        )


NO_ROWS = WriteResult(0, 0, 0)
