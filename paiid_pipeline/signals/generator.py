"""From the indicators and sentiment of decisions to signals with reasons; a decision without a signal is withheld."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from paiid_pipeline import quality
from paiid_pipeline.schemas import DECISION_KEY, SIGNALS, SYMBOL_SENTIMENT, WITHHELD, SignalClass, empty
from paiid_pipeline.signals.features import joined
from paiid_pipeline.signals.risk import RiskInputs, RiskManager
from paiid_pipeline.signals.rules import Classes, Row, Rule, Rulebook, is_news, load_rules
from paiid_pipeline.signals.validation import SignalValidator
from paiid_pipeline.trading_calendar import INTRADAY_STEP, Horizon

if TYPE_CHECKING:
    from paiid_pipeline.sentiment.analyzer import SentimentResult

ENGINE = "rules"

Validity = Callable[[Horizon, datetime], datetime]
"""``valid_until`` by horizon and decision time."""

_STEPS: Mapping[Horizon, timedelta] = {"intraday": INTRADAY_STEP, "daily": timedelta(days=1)}
_NO_STATE = RiskInputs()
_OF_A_MOVE = ("rsi_14", "sma_50", "sma_200", "adx_14", "macd_cross", "macd_divergence", "rsi_divergence")

Reason = dict[str, Any]
"""rule, contribution (its part of the strength) and text."""


def until_the_next(horizon: Horizon, as_of: datetime) -> datetime:
    """The next decision time of a market that never closes."""
    return as_of + _STEPS[horizon]


@dataclass(frozen=True)
class Signal:
    """One signal; the fields are the columns of `schemas.SIGNALS`."""

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
    """The rule engine (see `rules`), its risk manager and its validator.

    Strength is the weighted mean of the scores of the rules that have an input; the weight of news is multiplied by its
    confidence. Confidence is the share of the level rules' weight that is present, times (1 + agreement) / 2; agreement
    is |net| / gross of the weighted scores, 1 where all have one sign. Where news and technicals both exceed the
    conflict thresholds with opposite signs, the signal is HOLD with strength 0. STRONG classes need strength,
    confidence and agreement.
    """

    engine = ENGINE

    def __init__(
        self,
        rulebook: Rulebook | None = None,
        segments: Mapping[str, str] | None = None,
        validity: Validity = until_the_next,
        max_bar_age: Mapping[Horizon, timedelta] | None = None,
        indicators: Callable[[str], pl.DataFrame] | pl.DataFrame | None = None,
    ) -> None:
        """``rulebook``: by default the shipped one. ``segments``: segment by symbol; a segment shares a budget.

        ``max_bar_age``: the greatest age of the newest bar, by horizon; unlimited by default. ``indicators``:
        `schemas.INDICATORS`, or a function that returns them for a symbol and its segment, for
        :meth:`generate_signals`.
        """
        self.rulebook = rulebook or load_rules()
        self._validity, self._indicators = validity, indicators
        self._risk = RiskManager(self.rulebook.limits, segments)
        self._validator = SignalValidator(self.rulebook, max_bar_age)
        self._rules = self.rulebook.rules
        self._full = sum(rule.weight for rule in self._rules if rule.level)

    @property
    def version(self) -> str:
        """``model_version`` of the signals: identifies all that decides besides the inputs."""
        return self.rulebook.version

    def decide(
        self, indicators: pl.DataFrame, sentiment: pl.DataFrame, risk_inputs: RiskInputs = _NO_STATE
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(`schemas.SIGNALS`, `schemas.WITHHELD`): each row of ``indicators`` gives one row in one of them.

        ``indicators``: `schemas.INDICATORS`; ``sentiment``: `schemas.SYMBOL_SENTIMENT`, joined by symbol, horizon and
        as_of; a missing row, or one without articles, is "no news"; ``risk_inputs``: the state of the risk manager.
        Pass a whole segment at once: it shares a budget. Rows that fail `validation` are withheld before scoring, and
        signals before publication; neither becomes a HOLD. ``reasons`` is a JSON list of rule, contribution and text,
        the largest contribution first; the contributions add up to the strength (but for rounding to four decimals).
        """
        judged = sentiment.with_columns(quality.fault(quality.SYMBOL_SENTIMENT).alias("fault"))
        inputs = joined(indicators, sentiment).join(judged.select(*DECISION_KEY, "fault"), on=DECISION_KEY, how="left")
        inputs = inputs.with_columns(
            pl.coalesce(self._validator.inputs, pl.format("of its news, {}", "fault")).alias("reason")
        )
        unfit = inputs.filter(pl.col("reason").is_not_null())
        scored = self._scored(inputs.filter(pl.col("reason").is_null()))
        sized = self._risk.size(self._dated(scored), risk_inputs)
        rows = sized.to_dicts()
        signals = sized.with_columns(
            pl.lit(self.engine).alias("engine"),
            pl.lit(self.version).alias("model_version"),
            pl.Series("reasons", [self._reasons(row) for row in rows], dtype=pl.String),
            pl.Series("inputs_hash", [self._inputs_hash(row) for row in rows], dtype=pl.String),
        ).with_columns(self._validator.signals.alias("reason"))
        unsound = signals.filter(pl.col("reason").is_not_null()).with_columns(
            pl.format("refused by the validator: {}", "reason").alias("reason")
        )
        withheld = pl.concat(frame.select(WITHHELD.keys()) for frame in (unfit, unsound))
        return signals.filter(pl.col("reason").is_null()).select(SIGNALS.keys()), withheld

    def generate_signals(
        self, symbol: str, sentiment: SentimentResult | pl.DataFrame, risk_inputs: RiskInputs | None = None
    ) -> list[Signal]:
        """The signals of one symbol, oldest first, by the same code as :meth:`decide`.

        ``sentiment``: `schemas.SYMBOL_SENTIMENT`, of any symbols, or the result for one text, which is then the
        only news on the symbol. Indicators come from the constructor's ``indicators``; other symbols in them share
        the segment's budget. Raises LookupError without them.
        """
        if self._indicators is None:
            raise LookupError("no indicators to decide on: give SignalGenerator(indicators=…) a frame or a function")
        indicators = self._indicators(symbol) if callable(self._indicators) else self._indicators
        if not isinstance(sentiment, pl.DataFrame):
            sentiment = as_news(sentiment, indicators.filter(pl.col("symbol") == symbol))
        signals, _ = self.decide(indicators, sentiment, risk_inputs or _NO_STATE)
        return signals_of(symbol, signals)

    def _dated(self, scored: pl.DataFrame) -> pl.DataFrame:
        """With ``valid_until``."""
        moments = scored.select("horizon", "as_of").unique()
        ends = [self._validity(horizon, as_of) for horizon, as_of in moments.iter_rows()]
        until = moments.with_columns(pl.Series("valid_until", ends, dtype=SIGNALS["valid_until"]))
        return scored.join(until, on=["horizon", "as_of"], how="left", maintain_order="left")

    def _scored(self, inputs: pl.DataFrame) -> pl.DataFrame:
        """Add value, score and weight (0 without an input) of each rule, then agreement, coverage and strength."""
        rules, limit = self._rules, self.rulebook.conflict
        scored = _moving(inputs).with_columns(
            column
            for rule in rules
            for column in (rule.value.alias(f"{rule.name}|value"), rule.score.alias(f"{rule.name}|score"))
        )
        scored = scored.with_columns(
            pl.when(_score(rule).is_not_null())
            .then(rule.weight * rule.trust)
            .otherwise(0.0)
            .alias(f"{rule.name}|present")
            for rule in rules
        ).with_columns((_present(rule) * rule.emphasis).alias(f"{rule.name}|weight") for rule in rules)
        technical = [rule for rule in rules if not is_news(rule)]
        net, gross = _sum([_pull(rule) for rule in rules]), _sum([_pull(rule).abs() for rule in rules])
        coverage = _sum([_present(rule) for rule in rules if rule.level])
        scored = scored.with_columns(
            pl.when(gross > 0).then(net.abs() / gross).otherwise(1.0).alias("agreement"),
            _sum([_weight(rule) for rule in rules]).alias("weight"),
            net.alias("net"),
            (coverage * (1 / self._full)).clip(0.0, 1.0).alias("coverage"),
            _mean(technical).alias("technical"),
        ).with_columns(
            pl.when(pl.col("weight") > 0)
            .then(pl.col("net") / pl.col("weight"))
            .otherwise(0.0)
            .clip(-1.0, 1.0)
            .alias("mean"),
            (pl.col("coverage") * (1 + pl.col("agreement")) * 0.5).alias("confidence"),
        )
        news = pl.col("sentiment_score") * pl.col("sentiment_confidence")
        conflict = (
            (news.abs() >= limit.news)
            & (pl.col("technical").abs() >= limit.technicals)
            & (news.sign() * pl.col("technical").sign() < 0)
        )
        scored = scored.with_columns(conflict.fill_null(False).alias("conflict"))
        scored = scored.with_columns(pl.when("conflict").then(0.0).otherwise("mean").alias("strength"))
        return scored.with_columns(class_of(self.rulebook.classes).alias("signal"))

    def _reasons(self, row: Row) -> str:
        reasons = [*self._why(row), *(reason("risk", 0.0, text) for text in row["adjustments"])]
        reasons.sort(key=lambda each: -abs(each["contribution"]))
        return orjson.dumps(reasons).decode()

    def _why(self, row: Row) -> list[Reason]:
        """The reasons of a scored row, one for each rule with a score."""
        reasons = [
            reason(rule.name, _share(row, rule), rule.describe(row[f"{rule.name}|value"], row))
            for rule in self._rules
            if row[f"{rule.name}|score"] is not None
        ]
        if row["conflict"]:
            text = f"News ({row['sentiment_score']:+.2f}) contradicts the technicals ({row['technical']:+.2f}): hold"
            reasons.append(reason("conflict", -row["mean"], text))
        reasons += [
            reason(rule.name, 0.0, rule.missing or f"No reading of {rule.reads}: confidence lowered")
            for rule in self._rules
            if rule.level and row[f"{rule.name}|score"] is None
        ]
        return reasons

    def _inputs_hash(self, row: Row) -> str:
        # Earlier signals enter by their effect alone: else each hash would depend on all signals before it.
        history = (row["position_fraction"], *row["adjustments"])
        inputs = (row["inputs_hash"], row["sentiment_inputs_hash"], self.version, history)
        return hashlib.sha256(repr(inputs).encode()).hexdigest()


def signals_of(symbol: str, signals: pl.DataFrame) -> list[Signal]:
    """The signals of one symbol in a frame (`schemas.SIGNALS`), oldest first."""
    own = signals.filter(pl.col("symbol") == symbol).sort("as_of", "horizon")
    names = [field.name for field in fields(Signal)]
    return [Signal(**row) for row in own.select(names).iter_rows(named=True)]


def as_news(result: SentimentResult, decisions: pl.DataFrame) -> pl.DataFrame:
    """`schemas.SYMBOL_SENTIMENT`: the result for one text as the only article of each decision.

    A text with confidence 0 is no news, as in `sentiment.aggregate`.
    """
    if result.confidence <= 0:
        return empty(SYMBOL_SENTIMENT)
    digest = hashlib.sha256(repr((result.model_version, result.text, result.score, result.confidence)).encode())
    return decisions.select(
        *DECISION_KEY,
        score=pl.lit(result.score),
        confidence=pl.lit(result.confidence),
        article_count=pl.lit(1, pl.Int64),
        disagreement=pl.lit(0.0),
        newest_published_at="as_of",
        model=pl.lit(result.model),
        model_version=pl.lit(result.model_version),
        inputs_hash=pl.lit(digest.hexdigest()),
        novelty=pl.lit(1.0),
    ).select(SYMBOL_SENTIMENT.keys())  # fmt: skip


def _moving(inputs: pl.DataFrame) -> pl.DataFrame:
    """``inputs`` with null for values that describe an earlier move, where the price has not moved for 20 bars."""
    still = pl.col("bb_percent_b").is_null()  # 20 bars without a width
    return inputs.with_columns(pl.when(~still).then(name).alias(name) for name in _OF_A_MOVE)


def class_of(classes: Classes) -> pl.Expr:
    """The class of a row with strength, confidence and agreement."""
    size = pl.col("strength").abs()
    side = pl.when(pl.col("strength") > 0).then(pl.lit("BUY")).otherwise(pl.lit("SELL"))
    strong = (
        (size >= classes.strong)
        & (pl.col("confidence") >= classes.strong_confidence)
        & (pl.col("agreement") >= classes.strong_agreement)
    )
    kind = pl.when(strong).then(pl.format("STRONG_{}", side)).otherwise(side)
    return pl.when(size < classes.buy).then(pl.lit("HOLD")).otherwise(kind)


def _score(rule: Rule) -> pl.Expr:
    return pl.col(f"{rule.name}|score")


def _present(rule: Rule) -> pl.Expr:
    return pl.col(f"{rule.name}|present")


def _weight(rule: Rule) -> pl.Expr:
    return pl.col(f"{rule.name}|weight")


def _pull(rule: Rule) -> pl.Expr:
    return (_score(rule) * _weight(rule)).fill_null(0.0)


def _mean(rules: Sequence[Rule]) -> pl.Expr:
    """The weighted mean of some rules' scores; null where none has a weight."""
    if not rules:
        return pl.lit(None, dtype=pl.Float64)
    weight = _sum([_weight(rule) for rule in rules])
    return pl.when(weight > 0).then(_sum([_pull(rule) for rule in rules]) / weight)


def _sum(terms: Sequence[pl.Expr]) -> pl.Expr:
    # One after the other, so that the bits are those of this order whatever stands beside.
    return reduce(add, terms)


def _share(row: Row, rule: Rule) -> float:
    weight = row[f"{rule.name}|weight"]
    return float(row[f"{rule.name}|score"] * weight / row["weight"]) if weight else 0.0


def reason(rule: str, contribution: float, text: str) -> Reason:
    """One reason of a signal."""
    return {"rule": rule, "contribution": round(contribution, 4) + 0.0, "text": text}  # never "-0.0"
