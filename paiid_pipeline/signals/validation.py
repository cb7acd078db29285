"""Validation of the inputs of signals and of signals before publication; a failure is withheld with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import reduce

import polars as pl

from paiid_pipeline import quality
from paiid_pipeline.indicator_catalogue import MINIMUM_BARS
from paiid_pipeline.schemas import SIDES
from paiid_pipeline.signals.risk_limits import RiskLimits
from paiid_pipeline.signals.rules import Classes, Rulebook, load_rules
from paiid_pipeline.trading_calendar import Horizon

Fault = tuple[pl.Expr, pl.Expr]
"""True of an unsound row (null counts as true), and its reason."""

INPUTS = (
    "close", "price", "rsi_14", "macd", "macd_signal", "macd_histogram", "bb_upper", "bb_middle", "bb_lower",
    "bb_bandwidth", "atr_14", "atr_percent",
)  # fmt: skip
"""Required finite inputs."""

_c = pl.col
_NEWS = ("sentiment_score", "sentiment_confidence")


class SignalValidator:
    """Reasons why inputs cannot be decided on, and why a signal must not be published.

    ``rulebook``: the limits and classes that signals must satisfy, by default the shipped ones. ``max_bar_age``: the
    greatest age of the newest bar, by horizon; unlimited by default.
    """

    def __init__(
        self, rulebook: Rulebook | None = None, max_bar_age: Mapping[Horizon, timedelta] | None = None
    ) -> None:
        rules = rulebook or load_rules()
        self.inputs = unsound_inputs(max_bar_age)
        """Over the columns of INDICATORS and the news' as ``sentiment_…``: the reason, null for a sound row."""
        self.signals = pl.coalesce(unsound_signal(rules.limits, rules.classes), quality.fault(quality.SIGNALS))
        """Over the columns of SIGNALS: the reason, null for a sound one."""

    def unsound_inputs(self, rows: pl.DataFrame) -> pl.Series:
        """The reason of each row that cannot be decided on, null for a sound one."""
        return rows.select(reason=self.inputs)["reason"]

    def unsound_signal(self, signals: pl.DataFrame) -> pl.Series:
        """The reason of each signal that must not be published, null for a sound one."""
        return signals.select(reason=self.signals)["reason"]


def unsound_inputs(max_bar_age: Mapping[Horizon, timedelta] | None) -> pl.Expr:
    """Why a row of inputs cannot be decided on; null for a sound one.

    Over the columns of INDICATORS and the news' as ``sentiment_…``: every number of ``INPUTS`` finite and
    the price above 0, the news finite where there is some, enough bars, none that ends after the decision,
    and, with ``max_bar_age``, none older than that of its horizon.
    """
    faults: list[Fault] = [
        *((~_c(name).is_finite(), pl.format(f"{name} is {{}}", _shown(name))) for name in INPUTS),
        *((_c(name) <= 0, pl.format("the price is {}", _shown(name))) for name in ("close", "price")),
        *((_maybe(~_c(name).is_finite()), pl.format(f"{name} is {{}}", _shown(name))) for name in _NEWS),
        (_c("bars") < MINIMUM_BARS, pl.format("only {} of {} bars", _shown("bars"), pl.lit(MINIMUM_BARS))),
        (_c("bar_end") > _c("as_of"), pl.lit("its newest bar ended after the decision")),
    ]
    for horizon, limit in (max_bar_age or {}).items():
        old = (_c("horizon") == horizon) & (_c("as_of") - _c("bar_end") > limit)
        faults.append((old, pl.lit(f"its newest bar ended more than {limit} before the decision")))
    return _first(faults)


def unsound_signal(limits: RiskLimits, classes: Classes) -> pl.Expr:
    """Why a signal must not be published; null for a sound one.

    Over the columns of SIGNALS: numbers finite and within bounds, a class that fits strength and confidence, stops on
    the right sides of the price, none of them for HOLD, and a fraction within the cap.
    """
    buy, sell, hold = (_c("signal").is_in(names) for names in (_BUYS, _SELLS, ["HOLD"]))
    strong = _c("signal").str.starts_with("STRONG_")
    size = _c("strength").abs()
    stop, price, gain = _c("stop_loss"), _c("price"), _c("take_profit")
    coherent = (buy & (stop > 0) & (stop < price) & (price < gain)) | (
        sell & (gain > 0) & (gain < price) & (price < stop)
    )
    sizing = ("stop_loss", "take_profit", "position_fraction")
    bare = pl.all_horizontal(_c(name).is_null() for name in sizing)
    sized = pl.all_horizontal(_c(name).is_finite() for name in sizing)
    return _first(
        [
            (~(price.is_finite() & (price > 0)), pl.format("the price is {}", _shown("price"))),
            (~_c("strength").is_between(-1, 1), pl.format("the strength is {}", _shown("strength"))),
            (~_c("confidence").is_between(0, 1), pl.format("the confidence is {}", _shown("confidence"))),
            (~(buy | sell | hold), pl.format("the class is {}", _shown("signal"))),
            (hold & (size >= classes.buy), _against("strength")),
            (~hold & (size < classes.buy), _against("strength")),
            ((buy & (_c("strength") <= 0)) | (sell & (_c("strength") >= 0)), _against("strength")),
            (strong & (size < classes.strong), _against("strength")),
            (strong & (_c("confidence") < classes.strong_confidence), _against("confidence")),
            (_c("valid_until") <= _c("as_of"), pl.lit("it expires before it is given")),
            (_c("reasons").str.len_bytes() <= len("[]"), pl.lit("it has no reasons")),
            (hold & ~bare, pl.lit("a HOLD has a stop, a take-profit or a position")),
            (~hold & ~(sized & coherent), pl.format("stop {} and take-profit {} do not fit {} at {}", *_stops())),
            (
                ~hold & ~_c("position_fraction").is_between(0, limits.max_symbol),
                pl.format("the position is {}", _shown("position_fraction")),
            ),
        ]
    )


_BUYS, _SELLS = ([name for name, side in SIDES.items() if side == sign] for sign in (1.0, -1.0))


def _stops() -> Sequence[pl.Expr]:
    return [_shown(name) for name in ("stop_loss", "take_profit", "signal", "price")]


def _against(name: str) -> pl.Expr:
    return pl.format(f"{{}} does not go with the {name} {{}}", _shown("signal"), _shown(name))


def _shown(name: str) -> pl.Expr:
    return _c(name).cast(pl.String).fill_null("null")


def _maybe(fault: pl.Expr) -> pl.Expr:
    return fault.fill_null(False)


def _first(faults: Sequence[Fault]) -> pl.Expr:
    """The reason of the first fault that holds."""
    sound: pl.Expr = pl.lit(None, dtype=pl.String)
    return reduce(
        lambda rest, fault: pl.when(fault[0].fill_null(True)).then(fault[1]).otherwise(rest), faults[::-1], sound
    )
