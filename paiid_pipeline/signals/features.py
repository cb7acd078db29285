"""What a model sees of a decision: scale-free numbers from the decision's own row, and nothing else.

Every feature is computed within one row, from indicators and sentiment that were themselves made as of
that decision. So no feature can look ahead of its inputs, and none depends on the rows beside it: there is no
scaler, no ranking over dates, no filling from neighbours. What is not known stays null.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from paiid_pipeline.schemas import DECISION_KEY, INDICATORS, SYMBOL_SENTIMENT

_c = pl.col


def _above(name: str, other: str) -> pl.Expr:
    return _c(name) / _c(other) - 1.0


def _sign(name: str) -> pl.Expr:
    signs = {"bullish": 1.0, "none": 0.0, "bearish": -1.0}
    return _c(name).replace_strict(signs, default=None, return_dtype=pl.Float64)


FEATURES: Mapping[str, pl.Expr] = {
    # Multiplied, never divided by a constant: polars rounds that otherwise in a frame of one row.
    "rsi": (_c("rsi_14") - 50.0) * 0.02,
    "macd_histogram": _c("macd_histogram") / _c("atr_14"),
    "macd": _c("macd") / _c("atr_14"),
    "macd_cross": _sign("macd_cross"),
    "macd_divergence": _sign("macd_divergence"),
    "rsi_divergence": _sign("rsi_divergence"),
    "band_position": _c("bb_percent_b") - 0.5,
    "bandwidth": _c("bb_bandwidth"),
    "squeeze": _c("bb_squeeze").cast(pl.Float64),
    "above_sma_20": _above("price", "sma_20"),
    "above_sma_50": _above("price", "sma_50"),
    "above_sma_200": _above("price", "sma_200"),
    "sma_20_above_50": _above("sma_20", "sma_50"),
    "ema_20_above_50": _above("ema_20", "ema_50"),
    "range": _c("atr_percent"),
    "trend_strength": _c("adx_14") * 0.01,
    "volume_flow": _c("obv_share"),
    "volume": _c("volume_ratio"),
    "volatility": _c("volatility_20"),
    "volatility_change": _c("volatility_ratio"),
    "above_vwap": _c("vwap_distance"),
    "trending": (_c("regime") == "trend").cast(pl.Float64),
    "stormy": (_c("regime") == "high_volatility").cast(pl.Float64),
    "sentiment": _c("sentiment_score") * _c("sentiment_confidence"),
    "sentiment_disagreement": _c("sentiment_disagreement"),
    "heard": (_c("sentiment_article_count") > 0).fill_null(False).cast(pl.Float64),
}
"""By name, over the columns of INDICATORS and, with the prefix ``sentiment_``, of SYMBOL_SENTIMENT."""


def features(indicators: pl.DataFrame, sentiment: pl.DataFrame) -> pl.DataFrame:
    """`schemas.DECISION_KEY` and ``FEATURES``, Float64: one row an indicators row, in their order.

    ``indicators``: `schemas.INDICATORS`; ``sentiment``: `schemas.SYMBOL_SENTIMENT`, at most one row a
    decision; a decision without news has null sentiment and ``heard`` 0. A value that is not finite becomes null.
    """
    return computed(joined(indicators, sentiment)).select(*DECISION_KEY, *FEATURES)


def joined(indicators: pl.DataFrame, sentiment: pl.DataFrame) -> pl.DataFrame:
    """Each indicators row with the sentiment of its decision, whose columns get the prefix ``sentiment_``."""
    renamed = {name: f"sentiment_{name}" for name in SYMBOL_SENTIMENT if name not in DECISION_KEY}
    heard = sentiment.select(SYMBOL_SENTIMENT.keys()).rename(renamed)
    return indicators.select(INDICATORS.keys()).join(
        heard, on=DECISION_KEY, how="left", maintain_order="left", validate="m:1"
    )


def computed(inputs: pl.DataFrame, columns: Mapping[str, pl.Expr] = FEATURES) -> pl.DataFrame:
    """``columns`` by `schemas.DECISION_KEY`, Float64, of :func:`joined`; values that are not finite are null."""
    found = inputs.select(*DECISION_KEY, **columns)
    return found.with_columns(pl.when(pl.col(name).is_finite()).then(name).alias(name) for name in columns)
