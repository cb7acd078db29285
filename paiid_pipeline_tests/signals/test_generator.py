"""The rule engine: classes, reasons, conflict, missing news, bad rows, and bits that do not depend on company."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.schemas import INDICATORS, SIGNALS, SYMBOL_SENTIMENT, WITHHELD, empty
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.rules import load_rules

T = datetime(2014, 6, 9, 19, tzinfo=UTC)


def indicators(symbol: str = "S0", **changes: object) -> pl.DataFrame:
    """A calm row: price in the middle of its bands, RSI 50, no momentum, no crossing."""
    row = {
        "symbol": symbol,
        "horizon": "intraday",
        "as_of": T,
        "bar_start": T - timedelta(minutes=1),
        "bar_end": T,
        "bars": 300,
        "close": 100.0,
        "rsi_14": 50.0,
        "macd": 0.0,
        "macd_signal": 0.0,
        "macd_histogram": 0.0,
        "macd_cross": "none",
        "bb_upper": 102.0,
        "bb_middle": 100.0,
        "bb_lower": 98.0,
        "bb_percent_b": 0.5,
        "bb_bandwidth": 0.04,
        "bb_position": "upper",
        "bb_cross": "none",
        "inputs_hash": "i",
        "price": changes.get("close", 100.0),
        "sma_50": 100.0,
        "atr_14": 0.5,
        "atr_percent": 0.005,
        "adx_14": 18.0,
        "obv_share": 0.0,
        "turnover_20": 1e6,
        "macd_divergence": "none",
        "rsi_divergence": "none",
        "regime": "range",
    }
    return pl.DataFrame([row | changes], schema=INDICATORS)


def news(score: float | None, confidence: float | None = 0.6, symbol: str = "S0", count: int = 12) -> pl.DataFrame:
    row = (symbol, "intraday", T, score, confidence, count, 0.1, T, "ensemble", "1", "s", 1.0)
    return pl.DataFrame([row], schema=SYMBOL_SENTIMENT, orient="row")


NO_NEWS = empty(SYMBOL_SENTIMENT)
OVERSOLD = {
    "rsi_14": 18.0,
    "bb_percent_b": -0.2,
    "bb_position": "below",
    "macd_histogram": 0.4,
    "macd_cross": "bullish",
    "close": 97.2,
}
OVERBOUGHT = {
    "rsi_14": 82.0,
    "bb_percent_b": 1.2,
    "bb_position": "above",
    "macd_histogram": -0.4,
    "macd_cross": "bearish",
    "close": 102.8,
}


def signal(frame: pl.DataFrame, sentiment: pl.DataFrame = NO_NEWS) -> dict[str, object]:
    signals, withheld = SignalGenerator().decide(frame, sentiment)
    assert signals.schema == pl.Schema(SIGNALS)
    assert withheld.is_empty()
    return signals.row(0, named=True)


def reasons(row: dict[str, object]) -> list[dict[str, object]]:
    return json.loads(str(row["reasons"]))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("changes", "score", "expected"),
    [
        ({}, None, "HOLD"),
        (OVERSOLD, 0.6, "STRONG_BUY"),
        (OVERSOLD, None, "STRONG_BUY"),
        (OVERBOUGHT, -0.6, "STRONG_SELL"),
        (OVERBOUGHT, None, "STRONG_SELL"),
        ({"rsi_14": 28.4}, 0.2, "BUY"),
        ({"rsi_14": 71.6}, -0.2, "SELL"),
        ({}, 0.8, "BUY"),
        ({}, -0.8, "SELL"),
    ],
)
def test_the_five_classes(changes: dict[str, object], score: float | None, expected: str) -> None:
    row = signal(indicators(**changes), NO_NEWS if score is None else news(score))
    assert row["signal"] == expected
    assert -1 <= row["strength"] <= 1  # type: ignore[operator]
    assert 0 <= row["confidence"] <= 1  # type: ignore[operator]
    assert math.copysign(1, row["strength"]) == (-1 if "SELL" in expected else 1)  # type: ignore[arg-type]


def test_news_against_technicals_is_a_hold_that_says_so() -> None:
    row = signal(indicators(**OVERSOLD), news(-0.7, 0.7))
    assert (row["signal"], row["strength"]) == ("HOLD", 0.0)
    conflict = [reason for reason in reasons(row) if reason["rule"] == "conflict"]
    assert conflict[0]["text"] == "News (-0.70) contradicts the technicals (+0.77): hold"
    assert signal(indicators(**OVERSOLD), news(-0.7, 0.05))["signal"] != "HOLD"


def test_missing_news_lowers_confidence_and_is_reported() -> None:
    without, empty_row, with_news = (
        signal(indicators(**OVERSOLD), sentiment) for sentiment in (NO_NEWS, news(None, None, count=0), news(0.6))
    )
    assert without["confidence"] == empty_row["confidence"] < with_news["confidence"]  # type: ignore[operator]
    for row in (without, empty_row):
        assert "No news on this symbol: confidence lowered" in [reason["text"] for reason in reasons(row)]


def test_reasons_are_words_ordered_by_weight_and_add_up() -> None:
    row = signal(indicators(**OVERSOLD), news(0.6))
    told = reasons(row)
    assert [sorted(reason) for reason in told] == [["contribution", "rule", "text"]] * len(told)
    sizes = [abs(float(str(reason["contribution"]))) for reason in told]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(float(str(reason["contribution"])) for reason in told) == pytest.approx(row["strength"], abs=5e-4)
    assert {
        "RSI 14 at 18.0: oversold",
        "MACD crossed above its signal line: bullish",
        "News sentiment +0.60 from 12 articles: positive",
        "Price at -20% of its Bollinger bands: stretched downwards",
        "MACD histogram at +0.4: upward momentum",
        "Price -5.6 ATR from its 50-bar mean, ADX 18: downtrend",
        "+0% of the volume of 20 bars on rising less falling closes: balanced",
    } == {reason["text"] for reason in told if reason["rule"] != "risk"}
    assert "-0.0," not in str(signal(indicators())["reasons"])


def test_flat_bands_leave_the_rules_that_need_them_out() -> None:
    flat = indicators(bb_percent_b=None, bb_position=None, bb_upper=100.0, bb_lower=100.0, bb_bandwidth=0.0)
    row = signal(flat)
    assert row["signal"] == "HOLD"
    assert {"Bollinger bands are flat: no band reading", "Prices are flat: no momentum reading"} <= {
        str(reason["text"]) for reason in reasons(row)
    }
    assert row["confidence"] < signal(indicators())["confidence"]  # type: ignore[operator]


@pytest.mark.parametrize(
    "before",
    [
        {"rsi_14": 8.0, "adx_14": 99.0, "sma_50": 140.0, "macd_cross": "bearish", "regime": "trend"},
        {"rsi_14": 93.0, "adx_14": 99.0, "sma_50": 60.0, "macd_cross": "bullish", "regime": "trend"},
        {"rsi_14": 8.0, "macd_divergence": "bullish", "rsi_divergence": "bullish", "atr_14": 1e-6, "sma_50": 99.0},
    ],
)
def test_a_price_that_stands_still_is_no_trend_whatever_it_did_before(before: dict[str, object]) -> None:
    flat = {"bb_percent_b": None, "bb_position": None, "bb_upper": 100.0, "bb_lower": 100.0, "bb_bandwidth": 0.0}
    row = signal(indicators(**(before | flat)))
    assert (row["signal"], row["strength"]) == ("HOLD", 0.0)
    assert {"Prices are flat: no RSI reading", "Prices are flat: no trend"} <= {
        str(reason["text"]) for reason in reasons(row)
    }


def test_news_that_break_a_rule_cost_their_own_symbol_its_signal() -> None:
    both = pl.concat([indicators(), indicators("S1")])
    signals, withheld = SignalGenerator().decide(both, pl.concat([news(1.5), news(0.5, symbol="S1")]))
    assert signals["symbol"].to_list() == ["S1"]
    assert withheld["reason"].to_list() == ["of its news, it breaks the rule 'the score lies in [-1, 1]'"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rsi_14": None}, "rsi_14 is null"),
        ({"macd": float("nan")}, "macd is NaN"),
        ({"bb_upper": float("inf")}, "bb_upper is inf"),
        ({"close": 0.0}, "the price is 0.0"),
        ({"close": -1.0}, "the price is -1.0"),
        ({"close": None}, "close is null"),
    ],
)
def test_a_row_with_bad_values_is_withheld_and_never_a_hold(changes: dict[str, object], reason: str) -> None:
    signals, withheld = SignalGenerator().decide(pl.concat([indicators(**changes), indicators("S1")]), NO_NEWS)
    assert withheld.schema == pl.Schema(WITHHELD)
    assert withheld["reason"].to_list() == [reason]
    assert signals["symbol"].to_list() == ["S1"]


def test_bad_news_values_are_withheld_too() -> None:
    _, withheld = SignalGenerator().decide(indicators(), news(float("nan")))
    assert withheld["reason"].to_list() == ["sentiment_score is NaN"]


def test_two_sentiments_of_one_decision_are_refused() -> None:
    """They would make two signals of it."""
    with pytest.raises(pl.exceptions.ComputeError):
        SignalGenerator().decide(indicators(), pl.concat([news(0.1), news(0.2)]))


def test_nothing_in_nothing_out() -> None:
    signals, withheld = SignalGenerator().decide(empty(INDICATORS), NO_NEWS)
    assert (signals.schema, withheld.schema) == (pl.Schema(SIGNALS), pl.Schema(WITHHELD))
    assert signals.is_empty()


def test_the_row_carries_its_origin_and_validity() -> None:
    row = signal(indicators(), news(0.1))
    assert (row["engine"], row["model_version"], row["price"]) == ("rules", load_rules().version, 100.0)
    assert row["valid_until"] == T + timedelta(minutes=5)
    assert row["stop_loss"] is row["take_profit"] is row["position_fraction"] is None
    daily = pl.DataFrame(indicators()).with_columns(horizon=pl.lit("daily"))
    assert signal(daily)["valid_until"] == T + timedelta(days=1)
    other = SignalGenerator(validity=lambda _, as_of: as_of + timedelta(hours=72))
    assert other.decide(daily, NO_NEWS)[0]["valid_until"].to_list() == [T + timedelta(hours=72)]


def test_the_hash_follows_the_inputs() -> None:
    hashes = [
        signal(frame, sentiment)["inputs_hash"]
        for frame, sentiment in (
            (indicators(), news(0.1)),
            (indicators(inputs_hash="j"), news(0.1)),
            (indicators(), news(0.1).with_columns(inputs_hash=pl.lit("t"))),
            (indicators(), NO_NEWS),
        )
    ]
    assert len(set(hashes)) == 4


def test_the_seeds_way_in_gives_the_same_signals() -> None:
    frame, sentiment = pl.concat([indicators("S1"), indicators(**OVERSOLD)]), news(0.6)
    for given in (frame, lambda _: frame):
        [one] = SignalGenerator(indicators=given).generate_signals("S0", sentiment)
        row = signal(indicators(**OVERSOLD), sentiment)
        assert {name: getattr(one, name) for name in SIGNALS} == row
        assert SignalGenerator(indicators=given).generate_signals("none", sentiment) == []
    with pytest.raises(LookupError, match="give SignalGenerator"):
        SignalGenerator().generate_signals("S0", sentiment)


def test_a_signal_has_the_same_bits_alone_and_among_five_hundred() -> None:
    rng = np.random.default_rng(5)
    frames, sentiments = [], []
    for i in range(500):
        middle, half, share = rng.uniform(1, 900), rng.uniform(0.001, 0.1), rng.uniform(-0.4, 1.4)
        changes = {
            "rsi_14": rng.uniform(0, 100),
            "macd_histogram": rng.normal(0, middle * half / 4),
            "bb_middle": middle,
            "bb_upper": middle * (1 + half),
            "bb_lower": middle * (1 - half),
            "bb_percent_b": share,
            "bb_bandwidth": 2 * half,
            "bb_position": "upper" if share > 0.5 else "lower",
            "bb_cross": str(rng.choice(["none", "crossed_above_lower", "crossed_below_upper"])),
            "macd_cross": str(rng.choice(["none", "bullish", "bearish"])),
        }
        frames.append(indicators(f"S{i}", **changes))
        sentiments.append(news(float(rng.uniform(-1, 1)), float(rng.uniform(0, 1)), symbol=f"S{i}"))
    given = SignalGenerator(segments={f"S{i}": f"own {i}" for i in range(500)})
    together, _ = given.decide(pl.concat(frames), pl.concat(sentiments))
    alone = [given.decide(f, s)[0] for f, s in zip(frames, sentiments, strict=True)]
    assert [repr(row) for row in together.rows()] == [repr(frame.row(0)) for frame in alone]
    assert set(together["signal"]) == {"STRONG_BUY", "BUY", "HOLD", "SELL", "STRONG_SELL"}
