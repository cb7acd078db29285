"""The technical indicators: one entry each, of which all else that the package states about an indicator is made.

From an entry follow the column of `schemas.INDICATORS`, the computation (`technicals.derived`), the rule of the asset
check (`quality.rows`), the features of signal models and their texts (`signals.features`), the vocabulary of event
rules (`signals.rule_inputs`), and the comment of the database column, of which migrations hold frozen copies.

To add an indicator, append one entry to ``COLUMNS`` and write a migration that adds the column with its comment. Where
no TA-Lib function fits, `technicals.derived.FUNCTIONS` gets one more. Raise `technicals.indicators.VERSION` only when
stored values change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

MINIMUM_BARS = 250
"""No indicator is given for fewer bars: the start of RSI and MACD weighs less than 1e-6 of a point by then."""

_c = pl.col
_MOMENT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Feature:
    """A scale-free model input, computed within one row of `schemas.INDICATORS`."""

    place: int
    """Its position among all features, fixed for good: models are fitted on columns in this order."""
    name: str
    value: pl.Expr
    text: str
    """Its value in words, as a format string over the columns of the row."""


@dataclass(frozen=True)
class Column:
    """A column of the table of indicators."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    meaning: str
    """The comment of the database column."""


@dataclass(frozen=True)
class Indicator(Column):
    """A computed column. ``function``: TA-Lib's in capitals, of `derived.FUNCTIONS` or `indicators.ROW_FUNCTIONS`."""

    function: str
    inputs: tuple[str, ...]
    """Other indicators, columns of `derived.inputs` or of `derived.INTERMEDIATE`."""
    parameters: tuple[float, ...] = ()
    unit: str = "ratio"
    low: float | None = None
    """The least possible value; None without one."""
    high: float | None = None
    words: tuple[str, ...] = ()
    """The values of a text column."""
    codes: Mapping[int, str] | None = None
    """The words of a function that returns numbers."""
    warm_up: int = MINIMUM_BARS
    """The first bar, counted from 1, that has a value."""
    check: str = ""
    """The rule of the asset check that holds values to bounds or words, or else to being finite; empty for none."""
    features: tuple[Feature, ...] = ()

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The values of a text column."""
        return tuple(self.codes.values()) if self.codes else self.words

    @property
    def sound(self) -> pl.Expr:
        """True of a value within bounds or words, finite where there are neither; null is sound."""
        value = _c(self.name)
        if self.vocabulary:
            expression = value.is_in(list(self.vocabulary))
        elif self.low is not None and self.high is not None:
            expression = value.is_between(self.low, self.high)
        elif self.low is not None:
            expression = value >= self.low
        else:
            expression = value.is_finite()
        return expression.fill_null(True)


def _distance(name: str, other: str) -> pl.Expr:
    return _c(name) / _c(other) - 1.0


def _sign(name: str) -> pl.Expr:
    signs = {"bullish": 1.0, "none": 0.0, "bearish": -1.0}
    return _c(name).replace_strict(signs, default=None, return_dtype=pl.Float64)


def _is(name: str, word: str) -> pl.Expr:
    return (_c(name) == word).cast(pl.Float64)


def _price(name: str, function: str, inputs: tuple[str, ...], meaning: str, **more: Any) -> Indicator:
    return Indicator(name, pl.Float64, meaning, function, inputs, unit="price", **more)


def _ratio(name: str, function: str, inputs: tuple[str, ...], meaning: str, **more: Any) -> Indicator:
    return Indicator(name, pl.Float64, meaning, function, inputs, **more)


def _text(name: str, function: str, inputs: tuple[str, ...], meaning: str, **more: Any) -> Indicator:
    return Indicator(name, pl.String, meaning, function, inputs, unit="word", **more)


_FINITE = "the values are finite"
_NOT_NEGATIVE = "ranges, volatility and volumes are not negative"
_MACD = (12, 26, 9)
_BANDS = (20, 2.0, 2.0, 0)
"""Bars, deviations up and down, and TA-Lib's number of a simple moving average."""
_SIDES = {-1: "bearish", 0: "none", 1: "bullish"}
_BAND_PLACES = ("above", "upper", "lower", "below")
_BAND_CROSSES = ("crossed_above_lower", "crossed_below_upper", "crossed_above_upper", "crossed_below_lower", "none")

COLUMNS: tuple[Column, ...] = (
    Column("symbol", pl.String, "Ticker, as the vendor writes it."),
    Column("horizon", pl.String, "intraday (a decision every 5 minutes in session) or daily (at the close)."),
    Column("as_of", _MOMENT, "The decision time on the grid."),
    Column("bar_start", _MOMENT, "Start of the newest bar used."),
    Column("bar_end", _MOMENT, "End of the newest bar used."),
    Column("bars", pl.Int64, f"How many bars the values rest on, at least {MINIMUM_BARS}."),
    Column("close", pl.Float64, "Close of the newest bar, raw as traded."),
    Indicator(
        "rsi_14", pl.Float64, "Relative strength index over 14 bars, 0 to 100.", "RSI", ("close",), (14,),
        unit="points", low=0, high=100, check="RSI lies in [0, 100]",
        # Multiplied, never divided by a constant: polars rounds that otherwise in a frame of one row.
        features=(Feature(1, "rsi", (_c("rsi_14") - 50.0) * 0.02, "RSI 14 at {rsi_14:.1f}"),),
    ),
    _price(
        "macd", "MACD", ("close",), "EMA(12) - EMA(26) of the closes.", parameters=_MACD, check=_FINITE,
        features=(Feature(3, "macd", _c("macd") / _c("atr_14"),
                          "MACD line at {macd:+.3g}, with an ATR of {atr_14:.3g}"),),
    ),
    _price("macd_signal", "MACD", ("close",), "EMA(9) of macd.", parameters=_MACD, check=_FINITE),
    _price(
        "macd_histogram", "MACD", ("close",), "macd - macd_signal.", parameters=_MACD,
        features=(Feature(2, "macd_histogram", _c("macd_histogram") / _c("atr_14"),
                          "MACD histogram at {macd_histogram:+.3g}, with an ATR of {atr_14:.3g}"),),
    ),
    _text(
        "macd_cross", "macd_cross", ("macd_histogram",),
        "bullish, bearish or none: whether macd crossed its signal at the newest bar.",
        words=("bullish", "bearish", "none"),
        features=(Feature(4, "macd_cross", _sign("macd_cross"), "MACD crossing: {macd_cross}"),),
    ),
    _price(
        "bb_upper", "BBANDS", ("close",), "Upper Bollinger band: 20 bars, 2 standard deviations.",
        parameters=_BANDS, check=_FINITE,
    ),
    _price("bb_middle", "BBANDS", ("close",), "Mean of the last 20 closes.", parameters=_BANDS),
    _price("bb_lower", "BBANDS", ("close",), "Lower Bollinger band.", parameters=_BANDS, check=_FINITE),
    _ratio(
        "bb_percent_b", "percent_b", ("price", "bb_lower", "bb_upper"),
        "(close - lower) / (upper - lower); null for flat bands.",
        features=(Feature(7, "band_position", _c("bb_percent_b") - 0.5,
                          "Price at {bb_percent_b:.0%} of its Bollinger bands"),),
    ),
    _ratio(
        "bb_bandwidth", "bandwidth", ("bb_lower", "bb_middle", "bb_upper"), "(upper - lower) / middle.",
        features=(Feature(8, "bandwidth", _c("bb_bandwidth"), "Bollinger bands {bb_bandwidth:.1%} wide"),),
    ),
    _text(
        "bb_position", "band_position", ("price", "bb_lower", "bb_middle", "bb_upper"),
        "above, upper, lower or below: where the close stands in the bands.", words=_BAND_PLACES,
    ),
    _text(
        "bb_cross", "band_cross", ("price", "bb_lower", "bb_upper"),
        "crossed_{above|below}_{upper|lower} or none, at the newest bar.", words=_BAND_CROSSES,
    ),
    Column(
        "inputs_hash", pl.String, "Digest of the bars and corporate actions used: same digest, same values."
    ),
    Column(
        "price", pl.Float64, "Close of the newest bar on the price basis of the values: adjusted for actions since."
    ),
    _price(
        "sma_20", "same", ("bb_middle",), "Mean of the last 20 closes.",
        features=(
            Feature(10, "above_sma_20", _distance("price", "sma_20"), "Price {price:,.6g}, 20-bar mean {sma_20:,.6g}"),
            Feature(13, "sma_20_above_50", _distance("sma_20", "sma_50"),
                    "20-bar mean {sma_20:,.6g}, 50-bar mean {sma_50:,.6g}"),
        ),
    ),
    _price(
        "sma_50", "SMA", ("close",), "Mean of the last 50 closes.", parameters=(50,),
        features=(Feature(11, "above_sma_50", _distance("price", "sma_50"),
                          "Price {price:,.6g}, 50-bar mean {sma_50:,.6g}"),),
    ),
    _price(
        "sma_200", "SMA", ("close",), "Mean of the last 200 closes.", parameters=(200,),
        features=(Feature(12, "above_sma_200", _distance("price", "sma_200"),
                          "Price {price:,.6g}, 200-bar mean {sma_200:,.6g}"),),
    ),
    _price(
        "ema_20", "EMA", ("close",), "Exponential mean of the closes over 20 bars.", parameters=(20,),
        features=(Feature(14, "ema_20_above_50", _distance("ema_20", "ema_50"),
                          "Exponential means of 20 bars {ema_20:,.6g}, of 50 bars {ema_50:,.6g}"),),
    ),
    _price("ema_50", "EMA", ("close",), "Exponential mean of the closes over 50 bars.", parameters=(50,)),
    # From its 431st bar on, the SMA that TA-Lib's EMA starts from weighs less than a tenth in it.
    _price(
        "ema_200", "EMA", ("close",), "Exponential mean of the closes over 200 bars; null before 431 bars.",
        parameters=(200,), warm_up=431,
    ),
    _price(
        "atr_14", "ATR", ("high", "low", "close"),
        "Average true range over 14 bars (Wilder), in the unit of the price.",
        parameters=(14,), low=0, check=_NOT_NEGATIVE,
    ),
    _ratio(
        "atr_percent", "quotient", ("atr_14", "close"), "atr_14 / price.", low=0,
        features=(Feature(15, "range", _c("atr_percent"), "ATR at {atr_percent:.2%} of the price"),),
    ),
    Indicator(
        "adx_14", pl.Float64, "Average directional index over 14 bars (Wilder), 0 to 100; 25 and more is a trend.",
        "while_moving", ("running_adx", "close"), unit="points", low=0, high=100, check="ADX lies in [0, 100]",
        features=(Feature(16, "trend_strength", _c("adx_14") * 0.01, "ADX at {adx_14:.0f}"),),
    ),
    Indicator(
        "obv", pl.Float64, "On-balance volume in shares since the start of the history.", "OBV", ("close", "volume"),
        unit="shares",
    ),
    _ratio(
        "obv_share", "net_share", ("obv", "mean_volume_20"),
        "Change of OBV over 20 bars / volume of 20 bars, in [-1, 1].",
        low=-1, high=1, check="the share of OBV lies in [-1, 1]",
        features=(Feature(17, "volume_flow", _c("obv_share"),
                          "{obv_share:+.0%} of the volume of 20 bars on rising less falling closes"),),
    ),
    _ratio(
        "volume_ratio", "ratio", ("volume", "mean_volume_20"), "Volume of the newest bar / mean volume of 20 bars.",
        low=0, check=_NOT_NEGATIVE,
        features=(Feature(18, "volume", _c("volume_ratio"), "Volume {volume_ratio:.2f} times its 20-bar mean"),),
    ),
    _ratio(
        "volatility_20", "deviation_20", ("running_volatility", "returns", "peak_return"),
        "Standard deviation of the last 20 returns, a bar.", low=0, check=_NOT_NEGATIVE,
        features=(Feature(19, "volatility", _c("volatility_20"), "Volatility {volatility_20:.2%} a bar"),),
    ),
    _ratio(
        "volatility_ratio", "ratio", ("volatility_20", "mean_volatility"), "volatility_20 / its mean over 200 bars.",
        low=0, check=_NOT_NEGATIVE,
        features=(Feature(20, "volatility_change", _c("volatility_ratio"),
                          "Volatility {volatility_ratio:.2f} times its long mean"),),
    ),
    _ratio(
        "vwap_distance", "vwap_distance", ("close", "mean_volume_20", "turnover_20"),
        "price / volume-weighted price of 20 bars - 1.", low=-1,
        features=(Feature(21, "above_vwap", _c("vwap_distance"), "Price {vwap_distance:+.2%} from its 20-bar VWAP"),),
    ),
    Indicator(
        "turnover_20", pl.Float64, "Value traded a bar, mean of 20 bars, in the currency of the exchange.",
        "mean_20", ("mean_value", "value", "peak_value"), unit="currency", low=0, check=_NOT_NEGATIVE,
    ),
    Indicator(
        "bb_squeeze", pl.Boolean, "Whether the Bollinger bands are within a tenth of their narrowest of 125 bars.",
        "squeeze", ("bb_upper", "bb_middle", "bb_lower"), unit="flag",
        features=(Feature(9, "squeeze", _c("bb_squeeze").cast(pl.Float64), "Bollinger squeeze: {bb_squeeze}"),),
    ),
    _text(
        "macd_divergence", "divergence", ("close", "macd", "pivots"),
        "bullish (lower low of the price, higher low of macd), bearish or none; confirmed in the last 10 bars.",
        codes=_SIDES,
        features=(Feature(5, "macd_divergence", _sign("macd_divergence"), "MACD divergence: {macd_divergence}"),),
    ),
    _text(
        "rsi_divergence", "divergence", ("close", "rsi_14", "pivots"), "As macd_divergence, of rsi_14.", codes=_SIDES,
        features=(Feature(6, "rsi_divergence", _sign("rsi_divergence"), "RSI divergence: {rsi_divergence}"),),
    ),
    _text(
        "regime", "regime", ("adx_14", "volatility_ratio"), "trend, range or high_volatility.",
        codes={0: "range", 1: "trend", 2: "high_volatility"}, check="the regime is one of the three",
        features=(
            Feature(22, "trending", _is("regime", "trend"), "Regime: {regime}"),
            Feature(23, "stormy", _is("regime", "high_volatility"), "Regime: {regime}"),
        ),
    ),
    Column(
        "version", pl.String, "Version of the indicators and of TA-Lib that computed the row; null in rows from before."
    ),
)  # fmt: skip
"""In the order of the stored columns."""


def indicators(columns: Iterable[Column] = COLUMNS) -> tuple[Indicator, ...]:
    """The computed ones of some columns."""
    return tuple(column for column in columns if isinstance(column, Indicator))


def indicator(name: str) -> Indicator:
    """The entry of an indicator. Raises StopIteration for an unknown name."""
    return next(entry for entry in indicators() if entry.name == name)


def schema(columns: Iterable[Column] = COLUMNS) -> dict[str, pl.DataType | type[pl.DataType]]:
    """The polars schema of some columns."""
    return {column.name: column.dtype for column in columns}


def comments(columns: Iterable[Column] = COLUMNS) -> dict[str, str]:
    """The comments of the database columns."""
    return {column.name: column.meaning for column in columns}


def checks(columns: Iterable[Column] = COLUMNS) -> dict[str, pl.Expr]:
    """The rules that hold each indicator to its bounds or words; entries that name the same rule share one."""
    members: dict[str, list[pl.Expr]] = {}
    for entry in indicators(columns):
        if entry.check:
            members.setdefault(entry.check, []).append(entry.sound)
    return {check: pl.all_horizontal(expressions) for check, expressions in members.items()}


def features(columns: Iterable[Column] = COLUMNS) -> tuple[Feature, ...]:
    """The features made of some columns, by place."""
    return tuple(sorted((each for entry in indicators(columns) for each in entry.features), key=lambda f: f.place))


def vocabularies(columns: Iterable[Column] = COLUMNS) -> dict[str, tuple[str, ...]]:
    """The events of each text column: its words without ``none``."""
    return {
        entry.name: tuple(word for word in entry.vocabulary if word != "none")
        for entry in indicators(columns)
        if entry.vocabulary
    }
