"""What a sound price bar is: one table of rules for ingestion, for the asset check and for the database.

A rule that the database enforces names its CHECK constraint; a migration holds a frozen copy of its SQL, which a test
compares with the table. A price outside the range of its own bar is a fault; one far from its neighbours is not (see
`technicals.suspect_bars`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from operator import or_

import polars as pl

from paiid_pipeline.quality.rows import Rules

_c = pl.col

ROUNDING = 1e-6
"""Relative tolerance of price comparisons: vendors round adjusted prices."""
WICK = 2.0
"""A low (high) beyond this factor of open and close is out of line."""
VWAP_SLACK = 0.05
"""How far a VWAP may lie outside the range of its bar, as a share of the price."""
LONGEST: Mapping[str, timedelta] = {"1Min": timedelta(minutes=1), "1Day": timedelta(hours=48)}
"""The longest bar of each timeframe."""


def in_range(name: str) -> pl.Expr:
    """Whether a price lies in [low, high] within ``ROUNDING``; null for a null price."""
    return (_c(name) >= _c("low") * (1 - ROUNDING)) & (_c(name) <= _c("high") * (1 + ROUNDING))


def _in_range_sql(name: str) -> str:
    return f"{name} >= low * {1 - ROUNDING!r}::float8 AND {name} <= high * {1 + ROUNDING!r}::float8"


@dataclass(frozen=True)
class BarRule:
    """One rule in four forms."""

    name: str
    """In words: shown by the asset check."""
    sound: pl.Expr
    """Over `schemas.STORED_BARS`: true of a sound bar; null counts as broken."""
    sql: str
    """The same over the columns of ``market_bars``."""
    refusals: Mapping[str, pl.Expr] = field(default_factory=dict)
    """What ingestion quarantines: the reason, and the expression that is true of such a row as delivered, with all
    required fields present."""
    constraint: str | None = None
    """The CHECK constraint of ``market_bars`` that enforces it."""


_REQUIRED = ("high", "low", "close")
_PRICES = ("open", *_REQUIRED)
_OPTIONAL = ("vwap", "trade_count")


BAR_RULES: Sequence[BarRule] = (
    BarRule(
        "prices are positive and finite",
        sound=pl.all_horizontal(_c(_REQUIRED).is_finite() & (_c(_REQUIRED) > 0))
        & (_c("open").is_finite() & (_c("open") > 0)).fill_null(True),
        sql=" AND ".join(f"{name} > 0 AND {name} < 'infinity'" for name in _REQUIRED)
        + " AND coalesce(open > 0 AND open < 'infinity', true)",
        refusals={
            "not_finite": ~pl.all_horizontal(_c(_PRICES).is_finite()),
            "non_positive_price": pl.min_horizontal(_PRICES) <= 0,
        },
    ),
    BarRule(
        "volume is not negative",
        sound=_c("volume") >= 0,
        sql="volume >= 0",
        refusals={
            "not_finite": ~(_c("volume").is_finite() & pl.all_horizontal(_c(_OPTIONAL).is_finite().fill_null(True))),
            "negative_volume": pl.min_horizontal("volume", *_OPTIONAL) < 0,
        },
    ),
    BarRule(
        "high and low contain open and close",
        sound=in_range("close") & in_range("open").fill_null(True),
        sql=f"{_in_range_sql('close')} AND coalesce({_in_range_sql('open')}, true)",
        refusals={
            "high_below_low": _c("high") < _c("low") * (1 - ROUNDING),
            "close_outside_range": ~in_range("close"),
        },
    ),
    BarRule(
        "a bar is known no earlier than it ends",
        sound=_c("known_at") >= _c("bar_end"),
        sql="known_at >= bar_end",
        constraint="market_bars_known_in_time",
    ),
    BarRule(
        "a bar ends after it starts",
        sound=_c("bar_end") > _c("bar_start"),
        sql="bar_end > bar_start",
        constraint="market_bars_check",
    ),
    BarRule(
        "a bar is no longer than its timeframe allows",
        sound=_c("bar_end") - _c("bar_start")
        <= pl.when(_c("timeframe") == "1Min").then(LONGEST["1Min"]).otherwise(LONGEST["1Day"]),
        sql="bar_end - bar_start <= CASE timeframe WHEN '1Min' THEN interval '1 minute' ELSE interval '48 hours' END",
        constraint="market_bars_check",
    ),
)

BARS: Rules = {rule.name: rule.sound for rule in BAR_RULES}
"""What the asset check holds stored bars to."""

OUT_OF_LINE: Rules = {
    "low_out_of_line": _c("low") * WICK < pl.min_horizontal(pl.when(in_range("open")).then("open"), "close"),
    "high_out_of_line": _c("high") > pl.max_horizontal(pl.when(in_range("open")).then("open"), "close") * WICK,
    "vwap_out_of_line": (_c("vwap") > 0)
    & ((_c("vwap") > _c("high") * (1 + VWAP_SLACK)) | (_c("vwap") < _c("low") * (1 - VWAP_SLACK))).fill_null(False),
}
"""Implausible within one bar, and yet possible (the flash crashes of 2010 and 2015): a low under half of open and
close, a high of more than twice both, a VWAP outside low..high. True of such a bar; null where undefined."""


def refusals(rules: Sequence[BarRule] = BAR_RULES) -> dict[str, pl.Expr]:
    """The reasons of ingestion in order of precedence: of a row that breaks several, the first is given."""
    broken: dict[str, list[pl.Expr]] = {}
    for rule in rules:
        for reason, expression in rule.refusals.items():
            broken.setdefault(reason, []).append(expression)
    return {reason: reduce(or_, expressions) for reason, expressions in broken.items()}


def constraints(rules: Sequence[BarRule] = BAR_RULES) -> dict[str, str]:
    """The CHECK constraints of ``market_bars``: name and condition."""
    conditions: dict[str, list[str]] = {}
    for rule in rules:
        if rule.constraint is not None:
            conditions.setdefault(rule.constraint, []).append(rule.sql)
    return {name: " AND ".join(parts) for name, parts in conditions.items()}
