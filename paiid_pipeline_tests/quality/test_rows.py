"""Each rule is broken by the row that it is there to find, and by nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from paiid_pipeline import quality
from paiid_pipeline.quality.bars import BARS

T = datetime(2014, 6, 9, 19, tzinfo=UTC)
BAR = {
    "open": 93.0, "high": 94.0, "low": 92.0, "close": 93.5, "volume": 10.0,
    "bar_start": T - timedelta(minutes=1), "bar_end": T, "known_at": T, "timeframe": "1Min",
}  # fmt: skip
NEWS = {"headline": "AAPL splits", "symbols": ["AAPL"], "known_at": T, "updated_at": T, "published_at": T}
SCORE = {"p_negative": 0.25, "p_neutral": 0.25, "p_positive": 0.5, "score": 0.25, "confidence": 0.5}
SENTIMENT = {"score": 0.2, "article_count": 3, "novelty": 0.5, "newest_published_at": T, "as_of": T}
INDICATORS = {
    "rsi_14": 55.0, "macd": 0.1, "macd_signal": 0.1, "bb_lower": 92.0, "bb_middle": 93.0, "bb_upper": 94.0,
    "bars": 250, "bar_end": T, "as_of": T, "close": 93.5, "adx_14": 20.0, "atr_14": 0.1, "volatility_20": 0.01,
    "volatility_ratio": 1.0, "volume_ratio": 1.0, "turnover_20": 1e6, "obv_share": -0.2, "regime": "range",
}  # fmt: skip
SIGNAL = {
    "signal": "BUY", "strength": 0.3, "confidence": 0.5, "price": 93.5,
    "as_of": T, "valid_until": T + timedelta(minutes=5), "stop_loss": 92.0, "take_profit": 96.0,
    "position_fraction": 0.05,
}  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "row"),
    [
        (BARS, BAR),
        (quality.NEWS, NEWS),
        (quality.ARTICLE_SENTIMENT, SCORE),
        (quality.SYMBOL_SENTIMENT, SENTIMENT),
        (quality.SYMBOL_SENTIMENT, {**SENTIMENT, "score": None, "article_count": 0, "newest_published_at": None}),
        (quality.INDICATORS, INDICATORS),
        (quality.SIGNALS, SIGNAL),
    ],
)
def test_a_sound_row_breaks_nothing(rules: quality.Rules, row: dict[str, Any]) -> None:
    assert set(quality.broken(frame([row]), rules).values()) == {0}
    assert set(quality.broken(frame([row]).clear(), rules).values()) == {0}


@pytest.mark.parametrize(
    ("rules", "row", "change", "rule"),
    [
        (BARS, BAR, {"close": -1.0, "low": -1.0}, "prices are positive and finite"),
        (BARS, BAR, {"open": float("nan")}, "prices are positive and finite"),
        (BARS, BAR, {"close": None}, "prices are positive and finite"),
        (BARS, BAR, {"high": 93.2}, "high and low contain open and close"),
        (BARS, BAR, {"volume": -1.0}, "volume is not negative"),
        (BARS, BAR, {"known_at": T - timedelta(seconds=1)}, "a bar is known no earlier than it ends"),
        (BARS, BAR, {"bar_start": T}, "a bar ends after it starts"),
        (BARS, BAR, {"bar_start": T - timedelta(minutes=2)}, "a bar is no longer than its timeframe allows"),
        (quality.NEWS, NEWS, {"headline": "  "}, "the headline is not blank"),
        (quality.NEWS, NEWS, {"symbols": []}, "an article names a symbol"),
        (quality.NEWS, NEWS, {"known_at": T - timedelta(1)}, "an article is known no earlier than it was updated"),
        (quality.ARTICLE_SENTIMENT, SCORE, {"p_neutral": 0.3}, "probabilities add up to one"),
        (quality.ARTICLE_SENTIMENT, SCORE, {"score": 0.26}, "the score is p_positive - p_negative"),
        (quality.SYMBOL_SENTIMENT, SENTIMENT, {"score": 1.1}, "the score lies in [-1, 1]"),
        (
            quality.SYMBOL_SENTIMENT,
            SENTIMENT,
            {"article_count": 0},
            "a score rests on articles, and articles give a score",
        ),
        (quality.INDICATORS, INDICATORS, {"rsi_14": 101.0}, "RSI lies in [0, 100]"),
        (quality.INDICATORS, INDICATORS, {"bb_lower": 95.0}, "the bands are in order"),
        (quality.INDICATORS, INDICATORS, {"bars": 249}, "at least 250 bars"),
        (quality.INDICATORS, INDICATORS, {"adx_14": -1.0}, "ADX lies in [0, 100]"),
        (quality.INDICATORS, INDICATORS, {"atr_14": -1.0}, "ranges, volatility and volumes are not negative"),
        (quality.INDICATORS, INDICATORS, {"obv_share": 1.5}, "the share of OBV lies in [-1, 1]"),
        (quality.INDICATORS, INDICATORS, {"regime": "calm"}, "the regime is one of the three"),
        (quality.INDICATORS, INDICATORS, {"bar_end": T + timedelta(1)}, "no bar ends after the decision"),
        (quality.SIGNALS, SIGNAL, {"signal": "MAYBE"}, "the class is one of the five"),
        (quality.SIGNALS, SIGNAL, {"signal": "STRONG_SELL"}, "a buy is never weak, a sell never strong"),
        (quality.SIGNALS, SIGNAL, {"price": 0.0, "stop_loss": -1.0}, "the price is positive"),
        (
            quality.SIGNALS,
            SIGNAL,
            {"stop_loss": 95.0},
            "a stop lies where the price hurts, a take-profit where it pays",
        ),
        (quality.SIGNALS, SIGNAL, {"position_fraction": 1.5}, "the position lies in [0, 1]"),
    ],
)
def test_a_broken_row_is_counted_under_its_rule(
    rules: quality.Rules, row: dict[str, Any], change: dict[str, Any], rule: str
) -> None:
    rows = frame([row, {**row, **change}, row])
    assert quality.broken(rows, rules)[rule] == 1


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with the types of the sound one, so that a column of nulls keeps its own."""
    nullable = {"score": pl.Float64, "newest_published_at": pl.Datetime("us", "UTC")}
    overrides = {name: kind for name, kind in nullable.items() if name in rows[0]}
    return pl.DataFrame(rows, schema_overrides=overrides, infer_schema_length=None)


def test_a_fault_names_the_first_rule_that_a_row_breaks_and_a_sound_row_has_none() -> None:
    rows = frame([INDICATORS, {**INDICATORS, "turnover_20": -1e-9}, {**INDICATORS, "close": None}])
    assert rows.select(quality.fault(quality.INDICATORS)).to_series().to_list() == [
        None,
        "it breaks the rule 'ranges, volatility and volumes are not negative'",
        "it breaks the rule 'the price is positive'",
    ]
