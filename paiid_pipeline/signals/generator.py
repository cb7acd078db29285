"""Indicators and sentiment of the same decisions in; signals with reasons, or why there are none, out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import reduce
from operator import add
from typing import Any, Literal

import orjson
import polars as pl

from paiid_pipeline.contracts import INDICATORS, SIGNALS, SYMBOL_SENTIMENT, WITHHELD
from paiid_pipeline.signals.rules import RULES, SENTIMENT, Row, Rule
from paiid_pipeline.universe import INTRADAY_STEP, Horizon

ENGINE = "rules"
MODEL_VERSION = "rules-1"

SignalClass = Literal["STRONG_BUY", "BUY", "HOLD", "SELL", "STRONG_SELL"]

BUY_STRENGTH = 0.15
"""From here on a signal is BUY (or, below its negative, SELL)."""
STRONG_STRENGTH = 0.3
"""From here on it is STRONG, if it is also this sure:"""
STRONG_CONFIDENCE = 0.6
MATERIAL_SENTIMENT = 0.1
"""Sentiment (score x confidence) that is strong enough to contradict the technicals."""

VALIDITY: Mapping[Horizon, timedelta] = {"intraday": INTRADAY_STEP, "daily": timedelta(days=1)}
"""How long after its decision a signal holds: until the next one. A calendar day stands for a session."""

_KEY = ("symbol", "horizon", "as_of")
_FINITE = (
    "close",
    "rsi_14",
    "macd",
    "macd_signal",
    "macd_histogram",
    "bb_upper",
    "bb_middle",
    "bb_lower",
    "bb_bandwidth",
)
_SHARE = 1 / sum(rule.weight for rule in RULES if rule.level)


@dataclass(frozen=True)
class Signal:
    """One signal; the fields are the columns of `contracts.SIGNALS`."""

    symbol: str
    horizon: str
    as_of: datetime
    engine: str
    signal: SignalClass
    strength: float
    confidence: float
    reasons: str
    price: float
    stop_loss: float | None
    take_profit: float | None
    position_fraction: float | None
    inputs_hash: str
    model_version: str
    valid_until: datetime


class SignalGenerator:
    """The rule engine (see `rules.RULES`).

    Strength is the mean of the rules that have a reading, weighted; the news weighs as much as it is
    sure. Confidence is the share of the level rules' full weight that is present, times (1 + agreement) /
    2, where agreement is the net over the gross of the weighted scores: 1 where all point one way. So
    missing or thin news lowers it, and so does quarrel. Where the news and the technicals each speak
    clearly and contradict each other, the signal is HOLD and its strength 0, whichever is louder.
    STRONG classes need strength and confidence.
    """

    def __init__(self, validity: Mapping[Horizon, timedelta] = VALIDITY) -> None:
        """``validity``: how long a signal of each horizon holds after its decision."""
        self._validity = dict(validity)

    def decide(self, indicators: pl.DataFrame, sentiment: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(`contracts.SIGNALS`, `contracts.WITHHELD`): each row of ``indicators`` gives one row in one of them.

        ``indicators``: `contracts.INDICATORS`; ``sentiment``: `contracts.SYMBOL_SENTIMENT`, joined by
        symbol, horizon and as_of; a missing row, or one without articles, is "no news". A row with a
        value that is null or not finite, or a price not above 0, is withheld, and never becomes a HOLD.
        ``reasons`` is a JSON list of rule, contribution and text, the largest contribution first; the
        contributions add up to the strength (but for rounding to four decimals).
        """
        inputs = _joined(indicators, sentiment).with_columns(_fault().alias("reason"))
        withheld = inputs.filter(pl.col("reason").is_not_null()).select(WITHHELD.keys())
        sound = _scored(inputs.filter(pl.col("reason").is_null()))
        rows = sound.to_dicts()
        until = pl.col("as_of") + pl.col("horizon").replace_strict(self._validity, return_dtype=pl.Duration("us"))
        signals = sound.with_columns(
            pl.lit(ENGINE).alias("engine"),
            pl.lit(MODEL_VERSION).alias("model_version"),
            pl.col("close").alias("price"),
            pl.Series("reasons", [_reasons(row) for row in rows], dtype=pl.String),
            pl.Series("inputs_hash", [_inputs_hash(row) for row in rows], dtype=pl.String),
            *(pl.lit(None, dtype=pl.Float64).alias(n) for n in ("stop_loss", "take_profit", "position_fraction")),
            until.alias("valid_until"),
        )
        return signals.select(SIGNALS.keys()), withheld

    def generate_signals(self, symbol: str, indicators: pl.DataFrame, sentiment: pl.DataFrame) -> list[Signal]:
        """The signals of one symbol, oldest first; frames as in :meth:`decide`, of any symbols."""
        signals, _ = self.decide(indicators.filter(pl.col("symbol") == symbol), sentiment)
        names = [field.name for field in fields(Signal)]
        return [Signal(**row) for row in signals.sort("as_of", "horizon").select(names).iter_rows(named=True)]


def _joined(indicators: pl.DataFrame, sentiment: pl.DataFrame) -> pl.DataFrame:
    heard = sentiment.select(SYMBOL_SENTIMENT.keys()).rename(
        {name: f"sentiment_{name}" for name in SYMBOL_SENTIMENT if name not in _KEY}
    )
    return indicators.select(INDICATORS.keys()).join(
        heard, on=list(_KEY), how="left", maintain_order="left", validate="m:1"
    )


def _fault() -> pl.Expr:
    """Why a row cannot be decided on; null for a sound one."""
    fault: pl.Expr = pl.lit(None, dtype=pl.String)
    for name in reversed(_FINITE):
        broken = ~pl.col(name).is_finite().fill_null(False)
        fault = (
            pl.when(broken)
            .then(pl.format(f"{name} is {{}}", pl.col(name).cast(pl.String).fill_null("null")))
            .otherwise(fault)
        )
    for name in ("sentiment_score", "sentiment_confidence"):
        fault = pl.when(~pl.col(name).is_finite()).then(pl.format(f"{name} is {{}}", pl.col(name))).otherwise(fault)
    return pl.when(pl.col("close") <= 0).then(pl.format("the price is {}", pl.col("close"))).otherwise(fault)


def _scored(inputs: pl.DataFrame) -> pl.DataFrame:
    """Add ``…_score`` and ``…_weight`` (0 without a reading) a rule, and what follows from them."""
    scored = inputs.with_columns(rule.score.alias(f"{rule.name}_score") for rule in RULES).with_columns(
        pl.when(_score(rule).is_not_null())
        .then(rule.weight * (pl.lit(1.0) if rule.trust is None else rule.trust.fill_null(0.0)))
        .otherwise(0.0)
        .alias(f"{rule.name}_weight")
        for rule in RULES
    )
    technical = [rule for rule in RULES if rule.name != SENTIMENT]
    net, gross = _sum([_pull(rule) for rule in RULES]), _sum([_pull(rule).abs() for rule in RULES])
    agreement = pl.when(gross > 0).then(net.abs() / gross).otherwise(1.0)
    weight, coverage = _sum([_weight(rule) for rule in RULES]), _sum([_weight(rule) for rule in RULES if rule.level])
    scored = scored.with_columns(
        weight.alias("weight"),
        (net / weight).alias("mean"),
        (_sum([_pull(rule) for rule in technical]) / _sum([_weight(rule) for rule in technical])).alias("technical"),
        (coverage * _SHARE * (1 + agreement) * 0.5).alias("confidence"),
    )
    sentiment = pl.col("sentiment_score") * pl.col("sentiment_confidence")
    conflict = (
        (sentiment.abs() >= MATERIAL_SENTIMENT)
        & (pl.col("technical").abs() >= BUY_STRENGTH)
        & (sentiment.sign() != pl.col("technical").sign())
    )
    scored = scored.with_columns(conflict.fill_null(False).alias("conflict"))
    scored = scored.with_columns(pl.when("conflict").then(0.0).otherwise("mean").alias("strength"))
    return scored.with_columns(_class().alias("signal"))


def _score(rule: Rule) -> pl.Expr:
    return pl.col(f"{rule.name}_score")


def _weight(rule: Rule) -> pl.Expr:
    return pl.col(f"{rule.name}_weight")


def _pull(rule: Rule) -> pl.Expr:
    return (_score(rule) * _weight(rule)).fill_null(0.0)


def _sum(terms: Sequence[pl.Expr]) -> pl.Expr:
    # One after the other, so that the bits are those of this order whatever stands beside.
    return reduce(add, terms)


def _class() -> pl.Expr:
    size = pl.col("strength").abs()
    side = pl.when(pl.col("strength") > 0).then(pl.lit("BUY")).otherwise(pl.lit("SELL"))
    strong = (size >= STRONG_STRENGTH) & (pl.col("confidence") >= STRONG_CONFIDENCE)
    return (
        pl.when(size < BUY_STRENGTH)
        .then(pl.lit("HOLD"))
        .when(strong)
        .then(pl.format("STRONG_{}", side))
        .otherwise(side)
    )


def _reasons(row: Row) -> str:
    reasons: list[dict[str, Any]] = [
        {
            "rule": rule.name,
            "contribution": _share(row[f"{rule.name}_score"] * row[f"{rule.name}_weight"] / row["weight"]),
            "text": rule.text(row),
        }
        for rule in RULES
        if row[f"{rule.name}_score"] is not None
    ]
    if row["conflict"]:
        text = f"News ({row['sentiment_score']:+.2f}) contradicts the technicals ({row['technical']:+.2f}): hold"
        reasons.append({"rule": "conflict", "contribution": _share(-row["mean"]), "text": text})
    if row["sentiment_score"] is None:
        reasons.append({"rule": SENTIMENT, "contribution": 0.0, "text": "No news on this symbol: confidence lowered"})
    if row["bollinger_score"] is None:
        text = "Bollinger bands are flat: no band or momentum reading"
        reasons.append({"rule": "bollinger", "contribution": 0.0, "text": text})
    reasons.sort(key=lambda reason: -abs(reason["contribution"]))
    return orjson.dumps(reasons).decode()


def _share(contribution: float) -> float:
    return round(contribution, 4) + 0.0  # never "-0.0"


def _inputs_hash(row: Row) -> str:
    inputs = (row["inputs_hash"], row["sentiment_inputs_hash"], MODEL_VERSION)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()
