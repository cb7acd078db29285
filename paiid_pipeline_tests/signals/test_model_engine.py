"""The ML engine: the model's odds as signals with reasons, under the same manager and validator as the rules."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.arrays import Floats
from paiid_pipeline.schemas import SIGNALS, SYMBOL_SENTIMENT, empty
from paiid_pipeline.signals.features import FEATURES
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.model_engine import ModelGenerator
from paiid_pipeline.signals.rules import load_rules
from paiid_pipeline_tests.signals.test_generator import indicators, news

NO_NEWS = empty(SYMBOL_SENTIMENT)


class Fixed:
    """Odds that are a sum over features, so that the attributions are plain."""

    version = "signal_model-1-0123456789ab"

    def __init__(self, **weights: float) -> None:
        self.features = tuple(weights)
        self._weights = np.array(list(weights.values()))

    def logits(self, values: Floats) -> Floats:
        up = sum(np.nan_to_num(values[:, place]) * weight for place, weight in enumerate(self._weights))
        return np.stack([0 * up, 0 * up, up + 0.01], axis=1)

    def attributions(self, values: Floats) -> Floats:
        return np.concatenate([np.nan_to_num(values) * self._weights, np.full((len(values), 1), 0.01)], axis=1)


def signal(model: Fixed, frame: pl.DataFrame, sentiment: pl.DataFrame = NO_NEWS) -> dict[str, object]:
    signals, withheld = ModelGenerator(model).decide(frame, sentiment)
    assert signals.schema == pl.Schema(SIGNALS)
    assert withheld.is_empty()
    return signals.row(0, named=True)


def test_strength_and_confidence_are_what_the_odds_say() -> None:
    row = signal(Fixed(rsi=-1.5, heard=1.0), indicators(rsi_14=20.0))
    logits = 1.5 * 0.6 + 0.01
    up = 1 / (1 + math.exp(-logits))
    assert row["engine"] == "ml"
    assert row["strength"] == pytest.approx(2 * up - 1)
    assert row["confidence"] == pytest.approx(up)
    assert row["signal"] == "STRONG_BUY"
    assert row["model_version"] == f"signal_model-1-0123456789ab+{load_rules().version}"
    assert row["stop_loss"] < row["price"] < row["take_profit"]  # type: ignore[operator]
    assert row["position_fraction"] > 0  # type: ignore[operator]


@pytest.mark.parametrize(("weight", "expected"), [(0.0, "HOLD"), (0.6, "BUY"), (-0.7, "SELL"), (-3.0, "STRONG_SELL")])
def test_the_classes_are_those_of_the_rules(weight: float, expected: str) -> None:
    assert signal(Fixed(rsi=weight), indicators(rsi_14=80.0))["signal"] == expected


def test_reasons_add_up_to_the_strength_in_words_and_what_quarrels_is_not_strong() -> None:
    names = dict.fromkeys(list(FEATURES)[:12], 0.1) | {"rsi": -2.0, "sentiment": 1.8}
    row = signal(Fixed(**names), indicators(rsi_14=20.0), news(-0.7, 0.9))
    reasons = json.loads(str(row["reasons"]))
    assert sum(each["contribution"] for each in reasons) == pytest.approx(row["strength"], abs=2e-3)
    texts = [each["text"] for each in reasons]
    assert "RSI 14 at 20.0" in texts
    assert "News sentiment -0.70, confidence 0.90" in texts
    assert any("other readings together" in text for text in texts)
    assert [abs(each["contribution"]) for each in reasons] == sorted(
        (abs(each["contribution"]) for each in reasons), reverse=True
    )
    assert not str(row["signal"]).startswith("STRONG")


def test_every_feature_has_words_also_where_it_is_not_known() -> None:
    row = signal(Fixed(**dict.fromkeys(FEATURES, 0.1)), indicators(sma_50=None))
    assert len(json.loads(str(row["reasons"]))) >= 10


def test_a_row_has_the_same_bits_alone_and_in_company() -> None:
    model = Fixed(rsi=-1.5, volume_flow=2.0)
    frame = pl.concat(indicators(f"S{i}", rsi_14=20.0 + i, obv_share=0.01 * i) for i in range(30))
    each = {f"S{i}": f"G{i}" for i in range(30)}
    generator = ModelGenerator(model, segments=each)
    whole, _ = generator.decide(frame, NO_NEWS)
    alone = pl.concat(generator.decide(frame[place], NO_NEWS)[0] for place in range(frame.height))
    assert whole.equals(alone)


def test_unsound_inputs_are_withheld_as_with_the_rules() -> None:
    broken = pl.concat([indicators("S0", price=None), indicators("S1", rsi_14=float("nan")), indicators("S2")])
    mine, theirs = ModelGenerator(Fixed(rsi=1.0)).decide(broken, NO_NEWS), SignalGenerator().decide(broken, NO_NEWS)
    assert mine[1].equals(theirs[1])
    assert mine[0]["symbol"].to_list() == ["S2"]


def test_a_model_that_reads_what_is_not_made_is_refused() -> None:
    with pytest.raises(LookupError, match="signal_model-1-0123456789ab reads moon, which this code does not make"):
        ModelGenerator(Fixed(moon=1.0))
