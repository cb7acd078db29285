"""From everything stored about some decisions to those decisions again: the pure path, as the assets wire it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from paiid_pipeline.schemas import PRIOR_POSITIONS, QUARANTINED_BARS, empty
from paiid_pipeline.sentiment.aggregate import aggregate
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.features import features
from paiid_pipeline.signals.risk import RiskInputs
from paiid_pipeline.sources import WITHOUT_ACTIONS
from paiid_pipeline.technicals.decision_indicators import decide_indicators

Key = tuple[Any, ...]


Output = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class History:
    """Everything that is stored about some decisions, and the decisions.

    ``bars``, ``actions``, ``scores``: `schemas.STORED_BARS`, `STORED_CORPORATE_ACTIONS` and
    `STORED_ARTICLE_SENTIMENT`, every version. ``decisions``: `schemas.DECISIONS`, of whole segments, which share a
    budget. ``prior_positions``: `schemas.PRIOR_POSITIONS` of the decisions before these; ``quarantined``:
    `schemas.QUARANTINED_BARS`.
    """

    bars: pl.DataFrame
    actions: pl.DataFrame
    scores: pl.DataFrame
    decisions: pl.DataFrame
    prior_positions: pl.DataFrame = field(default_factory=lambda: empty(PRIOR_POSITIONS))
    quarantined: pl.DataFrame = field(default_factory=lambda: empty(QUARANTINED_BARS))

    def as_known_by(self, moment: datetime, signals: pl.DataFrame) -> History:
        """What was known by ``moment``, the decisions that were made then, and of ``signals`` those made before."""
        known = pl.col("known_at") <= moment
        decisions = self.decisions.filter(pl.col("known_by") == moment)
        earlier = pl.concat([self.prior_positions, signals.select(PRIOR_POSITIONS.keys())])
        return History(
            bars=self.bars.filter(known),
            actions=self.actions.filter(known),
            scores=self.scores.filter(known),
            decisions=decisions,
            prior_positions=earlier.filter(pl.col("as_of") < decisions["as_of"].min()),
            quarantined=self.quarantined.filter(known),
        )


DecisionPath = Callable[[History], Output]
"""From a history to frames by table, by `schemas.DECISION_KEY`, at most one row a decision; one is ``signals``."""


class SignalEngine(Protocol):
    """Decides signals from indicators and sentiment."""

    def decide(
        self, indicators: pl.DataFrame, sentiment: pl.DataFrame, risk_inputs: RiskInputs
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """SIGNALS, and WITHHELD with the reason of each decision without one."""


def decision_path(settings: Settings, engine: SignalEngine) -> DecisionPath:
    """The pure part of the path, as the assets wire it: indicators, sentiment, model features, the engine's signals
    and the decisions that are withheld."""

    def decide(history: History) -> Output:
        indicators, withheld = decide_indicators(
            history.bars, history.actions, history.decisions, settings.max_bar_age, WITHOUT_ACTIONS
        )
        sentiment = aggregate(history.scores, history.decisions, settings.news_lookback, settings.news_half_life)
        risk_inputs = RiskInputs(history.prior_positions, history.actions, history.quarantined)
        signals, undecided = engine.decide(indicators, sentiment, risk_inputs)
        return {
            "technical_indicators": indicators,
            "symbol_sentiment": sentiment,
            "features": features(indicators, sentiment),
            "signals": signals,
            "withheld": pl.concat([withheld, undecided]),
        }

    return decide
