"""The signal engines with the rules, universe and installed models of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from paiid_pipeline.ml.signals.installed import InstalledModels
from paiid_pipeline.ml.signing import key_of
from paiid_pipeline.schemas import PRIOR_POSITIONS, SIGNALS, WITHHELD, empty
from paiid_pipeline.settings import Settings
from paiid_pipeline.signals.features import FEATURES
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.model_engine import ENGINE, Model, ModelGenerator
from paiid_pipeline.signals.risk import RiskInputs
from paiid_pipeline.signals.rules import load_rules
from paiid_pipeline.universe import DECISION_LAG


def rule_engine(settings: Settings) -> SignalGenerator:
    """The rule engine with the rules, segments, calendar and staleness limits of the settings."""
    return SignalGenerator(**engine_arguments(settings))


def model_engine(settings: Settings, model: Model, columns: Mapping[str, pl.Expr] = FEATURES) -> ModelGenerator:
    """The ML engine with one model; ``columns``: the expressions of its features."""
    return ModelGenerator(model, columns=columns, **engine_arguments(settings))


def open_installed(settings: Settings) -> InstalledModels:
    """The signal models installed under the settings' folder."""
    return InstalledModels(settings.models_dir, lambda: key_of(settings).public)


class MlEngine:
    """The ML engine over all installed models: each decision by the newest model trained by then."""

    engine = ENGINE

    def __init__(self, settings: Settings, installed: InstalledModels | None = None) -> None:
        self._settings, self._installed = settings, installed or open_installed(settings)
        self._made: dict[str, ModelGenerator] = {}

    @property
    def why_none(self) -> str | None:
        """The reason why no model is available; None where one is."""
        return self._installed.why_none

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that have made decisions so far."""
        return tuple(self._made)

    def decide(
        self, indicators: pl.DataFrame, sentiment: pl.DataFrame, risk_inputs: RiskInputs | None = None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """As `SignalGenerator.decide`; decisions from before the first model are in neither frame."""
        risk_inputs = risk_inputs or RiskInputs()
        made, withheld = [empty(SIGNALS)], [empty(WITHHELD)]
        for generator, rows in self._parts(indicators):
            earlier = pl.concat([risk_inputs.earlier, *(frame.select(PRIOR_POSITIONS.keys()) for frame in made)])
            signals, unfit = generator.decide(rows, sentiment, replace(risk_inputs, earlier=earlier))
            made.append(signals)
            withheld.append(unfit)
        return pl.concat(made), pl.concat(withheld)

    def _parts(self, indicators: pl.DataFrame) -> list[tuple[ModelGenerator, pl.DataFrame]]:
        """The rows grouped by the model that decides them, in time order."""
        found: list[tuple[ModelGenerator, list[pl.DataFrame]]] = []
        for rows in indicators.sort("as_of", maintain_order=True).partition_by("horizon", "as_of", maintain_order=True):
            model = self._installed.at(rows["as_of"][0] + self._settings.decision_lag, rows["horizon"][0])
            if model is None:
                continue
            generator = self._made.setdefault(model.version, model_engine(self._settings, model))
            if not found or found[-1][0] is not generator:
                found.append((generator, []))
            found[-1][1].append(rows)
        return [(generator, pl.concat(parts)) for generator, parts in found]


def engine_arguments(settings: Settings) -> dict[str, Any]:
    """The arguments of a signal engine: rules, segments, validity and staleness limits."""
    universe = settings.universe
    return {
        "rulebook": load_rules(settings.rules_path),
        "segments": {symbol: segment for segment, members in universe.segments.items() for symbol in members},
        # A decision holds until the next is made, which a late feed puts off.
        "validity": lambda horizon, moment: (
            universe.calendar.next_decision(horizon, moment) + settings.decision_lag - DECISION_LAG
        ),
        "max_bar_age": settings.max_bar_age,
    }
