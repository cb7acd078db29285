"""The inputs of rules: scale-free values over the columns of INDICATORS and, as ``sentiment_…``, of SYMBOL_SENTIMENT.

Scaling is by multiplication: polars divides a long column by a constant as a product with its reciprocal, but a column
of one row truly, and a signal must not depend on the size of its batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from paiid_pipeline.indicator_catalogue import vocabularies

_c = pl.col
_SIGMA = _c("bb_bandwidth") * _c("bb_middle") * 0.25

NUMBERS: Mapping[str, pl.Expr] = {
    "rsi_14": _c("rsi_14"),
    "macd_momentum": pl.when(_c("bb_percent_b").is_not_null()).then(_c("macd_histogram") / _SIGMA),
    "bb_percent_b": _c("bb_percent_b"),
    "bb_bandwidth": _c("bb_bandwidth"),
    "trend_distance": (_c("price") - _c("sma_50")) / _c("atr_14"),
    "long_trend_distance": (_c("price") - _c("sma_200")) / _c("atr_14"),
    "vwap_distance": _c("vwap_distance") / _c("atr_percent"),
    "adx_14": _c("adx_14"),
    "atr_percent": _c("atr_percent"),
    "obv_share": _c("obv_share"),
    "volume_ratio": _c("volume_ratio"),
    "volatility_20": _c("volatility_20"),
    "volatility_ratio": _c("volatility_ratio"),
    "sentiment": _c("sentiment_score"),
}
"""Numeric inputs, of level rules; null or not finite where missing. Distances are in ATRs."""

WORDS: Mapping[str, tuple[pl.Expr, tuple[str, ...]]] = {
    **{name: (_c(name), words) for name, words in vocabularies().items()},
    "bb_squeeze": (pl.when(_c("bb_squeeze")).then(pl.lit("squeezed")), ("squeezed",)),
}
"""Categorical inputs, of event rules, and their values."""

TRUST: Mapping[str, pl.Expr] = {"sentiment": _c("sentiment_confidence")}
"""The confidence of an input, in [0, 1]; 1 for all others."""

SENTIMENT = "sentiment"
"""The input that is news; all others are technical."""
