"""The rules: from an input to a score in [-1, 1], a weight and a text.

They are read from a TOML file (`rules.toml` beside this module, or the user's own), which documents its format. A level
rule scores a number at every bar; an event rule scores a word at the bar of the event, and otherwise has no weight.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from string import Formatter
from typing import Any

import polars as pl

from paiid_pipeline.did_you_mean import did_you_mean
from paiid_pipeline.schemas import INDICATORS
from paiid_pipeline.signals.risk_limits import RiskLimits, read_limits
from paiid_pipeline.signals.rule_inputs import NUMBERS, SENTIMENT, TRUST, WORDS
from paiid_pipeline.signals.strict_toml import Section, read_document

Row = Mapping[str, Any]

OWN_RULES = Path(__file__).with_name("rules.toml")
_ENGINE = "3"
"""Part of every version: raise it when the same file gives other signals."""

_COLUMNS = tuple(name for name, kind in INDICATORS.items() if kind == pl.Float64)
_FIELDS = ("value", "word", "articles", *_COLUMNS)
_RULE_KEYS = ("reads", "weight", "regimes", "points", "scores", "text", "words", "missing")


@dataclass(frozen=True)
class Rule:
    """One rule. ``points`` (value, score) make it a level rule, ``scores`` (of words) an event rule."""

    name: str
    reads: str
    weight: float
    regimes: Mapping[str, float]
    points: tuple[tuple[float, float], ...]
    scores: Mapping[str, float]
    text: str
    bounds: tuple[tuple[float, str], ...]
    words: Mapping[str, str]
    missing: str | None

    @property
    def level(self) -> bool:
        """Whether it has a score at every bar."""
        return bool(self.points)

    @property
    def value(self) -> pl.Expr:
        """Its input: a number for a level rule, a word for an event rule."""
        return NUMBERS[self.reads] if self.level else WORDS[self.reads][0]

    @property
    def score(self) -> pl.Expr:
        """In [-1, 1], over :attr:`value`; null without an input."""
        if not self.level:
            return self.value.replace_strict(self.scores, default=None, return_dtype=pl.Float64)
        value = self.value
        (first, start), (_, end) = self.points[0], self.points[-1]
        score: pl.Expr = pl.lit(end)
        for (x0, y0), (x1, y1) in reversed(list(pairwise(self.points))):
            line = (value - x0) * ((y1 - y0) / (x1 - x0)) + y0
            score = pl.when(value < x1).then(line.clip(min(y0, y1), max(y0, y1))).otherwise(score)
        score = pl.when(value <= first).then(pl.lit(start)).otherwise(score)
        return pl.when(value.is_finite()).then(score)

    @property
    def trust(self) -> pl.Expr:
        """The confidence of the input, in [0, 1]."""
        return TRUST[self.reads].fill_null(0.0) if self.reads in TRUST else pl.lit(1.0)

    @property
    def emphasis(self) -> pl.Expr:
        """The factor on the weight in the regime of the market; 1 where that is unknown."""
        if not self.regimes:
            return pl.lit(1.0)
        return pl.col("regime").replace_strict(self.regimes, default=1.0, return_dtype=pl.Float64)

    def describe(self, value: Any, row: Row) -> str:
        """The text for the input ``value`` of one row."""
        count = row.get("sentiment_article_count") or 0
        word = self.words.get(value, value) if not self.level else next((w for b, w in self.bounds if value <= b), "")
        articles = f"{count} article{'s' if count != 1 else ''}"
        return self.text.format_map(Shown({**row, "value": value, "word": word, "articles": articles}))


class Shown(dict[str, Any]):
    """Values for a format string; a missing one is ``n/a`` whatever its format."""

    def __getitem__(self, name: str) -> Any:
        value = super().get(name)
        return _NotAvailable() if value is None else value


class _NotAvailable:
    def __format__(self, spec: str) -> str:
        return "n/a"


@dataclass(frozen=True)
class Classes:
    """The least strength, confidence and agreement of BUY and of STRONG."""

    buy: float
    strong: float
    strong_confidence: float
    strong_agreement: float


@dataclass(frozen=True)
class Conflict:
    """The least absolute values of news (score x confidence) and technicals for a conflict."""

    news: float
    technicals: float


@dataclass(frozen=True)
class Rulebook:
    """The content of a rules file. ``version``: its name, and a digest of its content."""

    version: str
    rules: tuple[Rule, ...]
    classes: Classes
    conflict: Conflict
    limits: RiskLimits


def load_rules(file: Path = OWN_RULES) -> Rulebook:
    """Read a rules file. Raises ValueError naming the file, the key, the value and the remedy."""
    content = read_document(file)
    whole = Section(file, "", content, ("name", "classes", "conflict", "rules", "risk"))
    name = whole.text("name")
    canonical = json.dumps([_ENGINE, content], sort_keys=True, default=str)
    version = f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"
    rules = tuple(_rule(file, rule, table) for rule, table in whole.sections("rules"))
    if not any(rule.level for rule in rules):
        raise whole.refusal("rules", "at least one rule needs points, or there is nothing to be sure of")
    return Rulebook(version, rules, _classes(whole), _conflict(whole), read_limits(whole))


def _classes(whole: Section) -> Classes:
    table = whole.section("classes", Classes.__dataclass_fields__)
    buy = table.number("buy", 0.001, 1)
    return Classes(
        buy,
        table.number("strong", buy, 1),
        table.number("strong_confidence", 0, 1),
        table.number("strong_agreement", 0, 1),
    )


def _conflict(whole: Section) -> Conflict:
    table = whole.section("conflict", Conflict.__dataclass_fields__)
    return Conflict(table.number("news", 0, 1), table.number("technicals", 0, 1))


def _rule(file: Path, name: str, content: Mapping[str, Any]) -> Rule:
    table = Section(file, f"rules.{name}", content, _RULE_KEYS)
    if ("points" in table) == ("scores" in table):
        raise table.refusal("points" if "points" in table else "scores", "give either points or scores")
    level = "points" in table
    reads = _reads(table, level)
    vocabulary = () if level else WORDS[reads][1]
    return Rule(
        name=name,
        reads=reads,
        weight=table.number("weight", 0.001, 100),
        regimes=table.numbers("regimes", WORDS["regime"][1], 0, 10),
        points=_points(table) if level else (),
        scores=table.numbers("scores", vocabulary, -1, 1) if not level else {},
        text=_template(table),
        bounds=_bounds(table) if level and "words" in table else (),
        words=_words(table, vocabulary) if not level else {},
        missing=table.text("missing") if "missing" in table else None,
    )


def _reads(table: Section, level: bool) -> str:
    reads = table.text("reads")
    known, other = (NUMBERS, WORDS) if level else (WORDS, NUMBERS)
    if reads in other:
        remedy = "it is a word: give scores" if level else "it is a number: give points"
        raise table.refusal("reads", f"{remedy} instead of {'points' if level else 'scores'}")
    if reads not in known:
        raise table.refusal("reads", f"unknown input: {did_you_mean(reads, [*known, *other])}")
    return reads


def _points(table: Section) -> tuple[tuple[float, float], ...]:
    points = table.pairs("points")
    sound = all(abs(x) < 1e12 and isinstance(y, int | float) and -1 <= y <= 1 for x, y in points)
    if len(points) < 2 or not sound:
        raise table.refusal("points", "give at least two pairs [value, score], each score from -1 to 1")
    return tuple((float(x), float(y)) for x, y in points)


def _bounds(table: Section) -> tuple[tuple[float, str], ...]:
    bounds = table.pairs("words")
    if not all(isinstance(word, str) for _, word in bounds) or bounds[-1][0] != float("inf"):
        raise table.refusal("words", 'give pairs [up to this value, "word"], the last value being inf')
    return tuple((float(bound), word) for bound, word in bounds)


def _words(table: Section, vocabulary: tuple[str, ...]) -> dict[str, str]:
    inner = table.section("words", vocabulary)
    return {word: inner.text(word) for word in vocabulary if word in inner}


def _template(table: Section) -> str:
    text = table.text("text")
    try:
        fields = [field for _, field, _, _ in Formatter().parse(text) if field is not None]
        unknown = [field for field in fields if field not in _FIELDS]
        if unknown:
            raise table.refusal("text", f"unknown field {{{unknown[0]}}}: {did_you_mean(unknown[0], _FIELDS)}")
        value = 1.0 if "points" in table else "word"
        text.format_map({**dict.fromkeys(_COLUMNS, 1.0), "value": value, "word": "word", "articles": "2 articles"})
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        if str(error).startswith(str(table.file)):
            raise
        raise table.refusal("text", f"{error}: write fields as {{value:.1f}}, and a brace as {{{{") from None
    return text


def is_news(rule: Rule) -> bool:
    """Whether a rule reads news, and not the technicals."""
    return rule.reads == SENTIMENT
