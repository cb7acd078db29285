"""From everything stored about some decisions to those decisions again: the pure path, as the assets wire it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from paiid_pipeline.schemas import HALTS, STAKES, empty
from paiid_pipeline.sentiment.aggregate import aggregate
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.features import features
from paiid_pipeline.signals.risk import Book
from paiid_pipeline.sources import WITHOUT_ACTIONS
from paiid_pipeline.technicals.decision_indicators import decide_indicators

KEY = ("symbol", "horizon", "as_of")


Key = tuple[Any, ...]


Output = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class History:
    """Everything that is stored about some decisions, and the decisions.

    ``bars``, ``actions``, ``scores``: `contracts.STORED_BARS`, `STORED_CORPORATE_ACTIONS` and
    `STORED_ARTICLE_SENTIMENT`, every version; ``decisions``: `contracts.DECISIONS`, of whole segments, which
    share a budget; ``stakes``: `contracts.STAKES` of the decisions before these; ``halts``: `contracts.HALTS`.
    """

    bars: pl.DataFrame
    actions: pl.DataFrame
    scores: pl.DataFrame
    decisions: pl.DataFrame
    stakes: pl.DataFrame = field(default_factory=lambda: empty(STAKES))
    halts: pl.DataFrame = field(default_factory=lambda: empty(HALTS))

    def known_by(self, moment: datetime, signals: pl.DataFrame) -> History:
        """What was known by ``moment``, the decisions that were made then, and of ``signals`` those made before."""
        known = pl.col("known_at") <= moment
        decisions = self.decisions.filter(pl.col("known_by") == moment)
        earlier = pl.concat([self.stakes, signals.select(STAKES.keys())])
        return History(
            bars=self.bars.filter(known),
            actions=self.actions.filter(known),
            scores=self.scores.filter(known),
            decisions=decisions,
            stakes=earlier.filter(pl.col("as_of") < decisions["as_of"].min()),
            halts=self.halts.filter(known),
        )


Pipeline = Callable[[History], Output]
"""From a history to frames by table, each with ``KEY`` and at most one row a decision; one is ``signals``."""


class SignalEngine(Protocol):
    """Decides signals from indicators and sentiment."""

    def decide(
        self, indicators: pl.DataFrame, sentiment: pl.DataFrame, book: Book
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """SIGNALS, and WITHHELD with the reason of each decision without one."""


def pipeline_of(settings: Settings, engine: SignalEngine) -> Pipeline:
    """The pure part of the path, as the assets wire it: indicators, sentiment, model features, the engine's signals
    and the decisions that are withheld."""
    ages = {horizon: lookback.max_bar_age for horizon, lookback in settings.lookback.items()}

    def decide(history: History) -> Output:
        indicators, withheld = decide_indicators(
            history.bars, history.actions, history.decisions, ages, WITHOUT_ACTIONS
        )
        sentiment = aggregate(history.scores, history.decisions, settings.news_lookback, settings.news_half_life)
        book = Book(history.stakes, history.actions, history.halts)
        signals, undecided = engine.decide(indicators, sentiment, book)
        return {
            "technical_indicators": indicators,
            "symbol_sentiment": sentiment,
            "features": features(indicators, sentiment),
            "signals": signals,
            "withheld": pl.concat([withheld, undecided]),
        }

    return decide
