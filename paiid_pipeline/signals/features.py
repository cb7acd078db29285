"""The features of signal models: scale-free numbers of the decision's own row.

Every feature is computed within one row, from indicators and sentiment that were themselves made as of
that decision. So no feature can look ahead of its inputs, and none depends on other rows: there is no scaler,
no cross-sectional rank, no imputation. Unknown values stay null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from paiid_pipeline.indicator_catalogue import COLUMNS, Column, Feature
from paiid_pipeline.indicator_catalogue import features as indicator_features
from paiid_pipeline.schemas import DECISION_KEY, INDICATORS, SYMBOL_SENTIMENT

_c = pl.col

_SENTIMENT = (
    Feature(24, "sentiment", _c("sentiment_score") * _c("sentiment_confidence"),
            "News sentiment {sentiment_score:+.2f}, confidence {sentiment_confidence:.2f}"),
    Feature(25, "sentiment_disagreement", _c("sentiment_disagreement"),
            "Articles disagree by {sentiment_disagreement:.2f}"),
    Feature(26, "heard", (_c("sentiment_article_count") > 0).fill_null(False).cast(pl.Float64),
            "Articles heard: {sentiment_article_count}"),
)  # fmt: skip


def model_features(columns: Iterable[Column] = COLUMNS) -> tuple[Feature, ...]:
    """The features of the indicators among ``columns`` and of the sentiment, in the order that models read them."""
    return tuple(sorted((*indicator_features(columns), *_SENTIMENT), key=lambda feature: feature.place))


FEATURES: Mapping[str, pl.Expr] = {feature.name: feature.value for feature in model_features()}
"""By name, over the columns of INDICATORS and, with the prefix ``sentiment_``, of SYMBOL_SENTIMENT."""

TEXTS: Mapping[str, str] = {feature.name: feature.text for feature in model_features()}
"""Each of ``FEATURES`` in words: format strings over the same columns."""


def features(indicators: pl.DataFrame, sentiment: pl.DataFrame) -> pl.DataFrame:
    """`schemas.DECISION_KEY` and ``FEATURES``, Float64: one row an indicators row, in their order.

    ``indicators``: `schemas.INDICATORS`; ``sentiment``: `schemas.SYMBOL_SENTIMENT`, at most one row a
    decision; a decision without news has null sentiment and ``heard`` 0. A value that is not finite becomes null.
    """
    return computed(joined(indicators, sentiment)).select(*DECISION_KEY, *FEATURES)


def joined(indicators: pl.DataFrame, sentiment: pl.DataFrame) -> pl.DataFrame:
    """Each indicators row with the sentiment of its decision, whose columns get the prefix ``sentiment_``."""
    renamed = {name: f"sentiment_{name}" for name in SYMBOL_SENTIMENT if name not in DECISION_KEY}
    news = sentiment.select(SYMBOL_SENTIMENT.keys()).rename(renamed)
    return indicators.select(INDICATORS.keys()).join(
        news, on=DECISION_KEY, how="left", maintain_order="left", validate="m:1"
    )


def computed(inputs: pl.DataFrame, columns: Mapping[str, pl.Expr] = FEATURES) -> pl.DataFrame:
    """``columns`` by `schemas.DECISION_KEY`, Float64, of :func:`joined`; values that are not finite are null."""
    found = inputs.select(*DECISION_KEY, **columns)
    return found.with_columns(pl.when(pl.col(name).is_finite()).then(name).alias(name) for name in columns)
