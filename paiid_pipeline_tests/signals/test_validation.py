"""The validator: each unsound signal is withheld by its own fault, and what the engine makes passes."""

from __future__ import annotations

import re
from datetime import timedelta

import polars as pl
import pytest

from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.rules import load_rules
from paiid_pipeline.signals.validation import unsound_signal
from paiid_pipeline_tests.signals.test_generator import NO_NEWS, OVERBOUGHT, OVERSOLD, T, indicators

RULES = load_rules()
NAN = float("nan")


def faults(signals: pl.DataFrame) -> list[str | None]:
    return signals.select(unsound_signal(RULES.limits, RULES.classes).alias("fault"))["fault"].to_list()


def made(changes: dict[str, object]) -> pl.DataFrame:
    return SignalGenerator(RULES).decide(indicators(**changes), NO_NEWS)[0]


@pytest.mark.parametrize("changes", [{}, OVERSOLD, OVERBOUGHT])
def test_what_the_engine_makes_is_sound(changes: dict[str, object]) -> None:
    assert faults(made(changes)) == [None]


@pytest.mark.parametrize(
    ("base", "change", "said"),
    [
        (OVERSOLD, {"price": NAN}, "the price is NaN"),
        (OVERSOLD, {"price": None}, "the price is null"),
        (OVERSOLD, {"strength": NAN}, "the strength is NaN"),
        (OVERSOLD, {"strength": 1.5}, "the strength is 1.5"),
        (OVERSOLD, {"confidence": -0.1}, "the confidence is -0.1"),
        (OVERSOLD, {"confidence": None}, "the confidence is null"),
        (OVERSOLD, {"signal": "MAYBE"}, "the class is MAYBE"),
        (OVERSOLD, {"signal": None}, "the class is null"),
        (OVERSOLD, {"strength": -0.5}, "STRONG_BUY does not go with the strength -0.5"),
        (OVERSOLD, {"strength": 0.2}, "STRONG_BUY does not go with the strength 0.2"),
        (OVERSOLD, {"confidence": 0.3}, "STRONG_BUY does not go with the confidence 0.3"),
        (OVERSOLD, {"signal": "BUY", "strength": 0.1}, "BUY does not go with the strength 0.1"),
        ({}, {"strength": 0.5}, "HOLD does not go with the strength 0.5"),
        (OVERSOLD, {"valid_until": T}, "it expires before it is given"),
        (OVERSOLD, {"reasons": "[]"}, "it has no reasons"),
        (OVERSOLD, {"stop_loss": 98.0}, "stop 98.0 and take-profit .* do not fit STRONG_BUY at 97.2"),
        (OVERSOLD, {"stop_loss": None}, "stop null and take-profit"),
        (OVERSOLD, {"take_profit": 90.0}, "do not fit STRONG_BUY"),
        (OVERBOUGHT, {"stop_loss": 90.0}, "do not fit STRONG_SELL"),
        (OVERBOUGHT, {"take_profit": -1.0}, "do not fit STRONG_SELL"),
        (OVERSOLD, {"position_fraction": 0.11}, "the position is 0.11"),
        (OVERSOLD, {"position_fraction": -0.01}, "the position is -0.01"),
        ({}, {"position_fraction": 0.1}, "a HOLD has a stop, a take-profit or a position"),
    ],
)
def test_each_fault_is_found_and_named(base: dict[str, object], change: dict[str, object], said: str) -> None:
    sound = made(base)
    spoilt = sound.with_columns(pl.lit(value, dtype=sound.schema[name]).alias(name) for name, value in change.items())
    [fault] = faults(spoilt)
    assert fault is not None
    assert re.search(said, fault), fault


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bars": 249}, "only 249 of 250 bars"),
        ({"bar_end": T + timedelta(seconds=1)}, "its newest bar ended after the decision"),
        ({"bar_end": T - timedelta(minutes=16)}, "its newest bar ended more than 0:15:00 before the decision"),
        ({"atr_14": None}, "atr_14 is null"),
        ({"price": 0.0}, "the price is 0.0"),
    ],
)
def test_inputs_that_no_signal_may_rest_on_are_withheld(change: dict[str, object], said: str) -> None:
    engine = SignalGenerator(RULES, max_bar_age={"intraday": timedelta(minutes=15)})
    signals, withheld = engine.decide(indicators(**change), NO_NEWS)
    assert signals.is_empty()
    assert withheld["reason"].to_list() == [said]


def test_a_refused_signal_is_withheld_and_says_who_refused_it() -> None:
    """A validity that ends before it begins makes one through the whole engine."""
    engine = SignalGenerator(RULES, validity=lambda _, as_of: as_of)
    signals, withheld = engine.decide(indicators(), NO_NEWS)
    assert signals.is_empty()
    assert withheld["reason"].to_list() == ["refused by the validator: it expires before it is given"]
