"""The signal engines as the settings have them, for the graph, the audit and anyone who asks."""

from __future__ import annotations

from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.rules import load_rules


def rule_engine(settings: Settings) -> SignalGenerator:
    """The rule engine on the rules, segments, calendar and patience of the settings."""
    universe = settings.universe
    return SignalGenerator(
        load_rules(settings.rules_path),
        segments={symbol: segment for segment, members in universe.segments.items() for symbol in members},
        validity=universe.calendar.next_decision,
        max_bar_age={horizon: lookback.max_bar_age for horizon, lookback in settings.lookback.items()},
    )
