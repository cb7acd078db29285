"""The rules: what each reading says about the next move, how much it weighs, and in which words.

A rule reads a score in [-1, 1] off the inputs, positive to buy. Level rules always speak; event rules
speak at the bar where something happens, and otherwise have no reading and no weight.

Scores are scaled by multiplication: polars divides a long column by a constant as a product with its
reciprocal, but a column of one row truly, and a signal must not depend on how many are made at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """One line of the table. ``score``: over the columns of INDICATORS and, with the prefix ``sentiment_``,
    SYMBOL_SENTIMENT; null without a reading. ``text``: one row in an analyst's words. ``trust`` in [0, 1]
    scales the weight, where a reading can be more or less sure."""

    name: str
    weight: float
    score: pl.Expr
    text: Callable[[Row], str]
    level: bool = True
    trust: pl.Expr | None = None


def _clip(score: pl.Expr) -> pl.Expr:
    return score.clip(-1.0, 1.0)


def _beyond(score: pl.Expr, dead: float) -> pl.Expr:
    """0 within ``dead`` of 0, then straight on to 1 at 1, so that small wobbles do not count."""
    return score.sign() * ((score.abs() - dead) * (1.0 / (1.0 - dead))).clip(0.0, 1.0)


_SIGMA = pl.col("bb_bandwidth") * pl.col("bb_middle") * 0.25
_MACD_FULL = 0.5
"""The MACD histogram counts in full at half a standard deviation of the last 20 closes."""
_MACD = pl.when(pl.col("bb_percent_b").is_not_null()).then(_clip(pl.col("macd_histogram") / (_SIGMA * _MACD_FULL)))

_CROSS_SCORES = {
    "crossed_above_lower": 1.0,
    "crossed_below_upper": -1.0,
    "crossed_above_upper": 0.5,
    "crossed_below_lower": -0.5,
}
_CROSS_WORDS = {
    "crossed_above_lower": "Price came back above the lower Bollinger band: rebound",
    "crossed_below_upper": "Price fell back below the upper Bollinger band: pull-back",
    "crossed_above_upper": "Price broke above the upper Bollinger band: break-out",
    "crossed_below_lower": "Price broke below the lower Bollinger band: break-down",
}


def _rsi_text(row: Row) -> str:
    rsi = row["rsi_14"]
    levels = ((70, "overbought"), (60, "strong"), (40, "neutral"), (30, "weak"))
    word = next((name for above, name in levels if rsi > above), "oversold")
    return f"RSI 14 at {rsi:.1f}: {word}"


def _macd_text(row: Row) -> str:
    histogram = row["macd_histogram"]
    side, trend = ("above", "upward") if histogram > 0 else ("below", "downward") if histogram < 0 else ("on", "no")
    return f"MACD {side} its signal by {abs(histogram):.3g}: {trend} momentum"


def _macd_cross_text(row: Row) -> str:
    return f"MACD crossed {'above' if row['macd_cross'] == 'bullish' else 'below'} its signal line: {row['macd_cross']}"


def _band_text(row: Row) -> str:
    share = row["bb_percent_b"]
    stretched = {"above": "stretched upwards", "below": "stretched downwards"}
    word = stretched.get(row["bb_position"], f"in the {row['bb_position']} half")
    return f"Price at {share:.0%} of its Bollinger bands: {word}"


def _sentiment_text(row: Row) -> str:
    score, count = row["sentiment_score"], row["sentiment_article_count"]
    word = "positive" if score > 0.05 else "negative" if score < -0.05 else "neutral"
    return f"News sentiment {score:+.2f} from {count} article{'s' if count != 1 else ''}: {word}"


SENTIMENT = "sentiment"

RULES: tuple[Rule, ...] = (
    Rule("rsi", 1.0, _beyond(_clip((50 - pl.col("rsi_14")) * (1 / 30)), 1 / 3), _rsi_text),
    Rule("macd", 1.0, _MACD, _macd_text),
    Rule("bollinger", 1.0, _beyond(_clip((0.5 - pl.col("bb_percent_b")) * (4 / 3)), 1 / 3), _band_text),
    Rule(
        "macd_cross",
        1.0,
        pl.col("macd_cross").replace_strict({"bullish": 1.0, "bearish": -1.0}, default=None, return_dtype=pl.Float64),
        _macd_cross_text,
        level=False,
    ),
    Rule(
        "bollinger_cross",
        1.0,
        pl.col("bb_cross").replace_strict(_CROSS_SCORES, default=None, return_dtype=pl.Float64),
        lambda row: _CROSS_WORDS[row["bb_cross"]],
        level=False,
    ),
    Rule(SENTIMENT, 1.5, pl.col("sentiment_score"), _sentiment_text, trust=pl.col("sentiment_confidence")),
)
"""The table that decides. RSI and Bollinger bet on reversal, MACD and break-outs on continuation."""
