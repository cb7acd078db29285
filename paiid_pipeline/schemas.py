"""The frames that pass between the stages: one polars schema a table, in the order of its columns.

Moments are UTC to the microsecond. ``known_at`` is when a row became known to us; where ``nominal`` is
true it was loaded afterwards and the moment is when it would have been available.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import polars as pl

from paiid_pipeline.indicator_catalogue import schema

MOMENT = pl.Datetime("us", "UTC")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every stored moment."""
DataKind = Literal["1Min", "1Day", "news", "actions"]
"""The kinds of data of a source: bars of a timeframe, news, corporate actions."""
ColumnType = pl.DataType | type[pl.DataType]
Schema = dict[str, ColumnType]

BARS: Schema = {
    "symbol": pl.String,
    "timeframe": pl.String,  # 1Min | 1Day
    "bar_start": MOMENT,
    "bar_end": MOMENT,  # a daily bar: its session's close
    "open": pl.Float64,  # prices raw as traded; null where what came as open lies outside low..high
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Float64,
    "vwap": pl.Float64,  # null where the vendor gives none
    "trade_count": pl.Int64,  # null where the vendor gives none
    "source": pl.String,
}
"""Validated bars that have ended, one per (symbol, timeframe, bar_start)."""

KNOWN: Schema = {"known_at": MOMENT, "nominal": pl.Boolean}
STORED_BARS: Schema = {**BARS, **KNOWN}

CORPORATE_ACTIONS: Schema = {
    "action_id": pl.String,
    "symbol": pl.String,
    # split | cash_dividend | stock_dividend | name_change | withdrawn | rebased | or the vendor's for another
    "kind": pl.String,
    "ex_date": pl.Date,
    "effective_at": MOMENT,  # local midnight of ex_date: bars that end at or before it are adjusted
    "ratio": pl.Float64,  # new shares per old share (7.0 for a 7:1 split, 0.05 for 1:20); null otherwise
    "amount": pl.Float64,  # cash per old share; null otherwise
    "source": pl.String,
}
STORED_CORPORATE_ACTIONS: Schema = {**CORPORATE_ACTIONS, **KNOWN}

NEWS: Schema = {
    "article_id": pl.String,  # "<source>:<vendor's id>", or "sha256:<hash of canonical content>"
    "published_at": MOMENT,
    "updated_at": MOMENT,  # when this version became public
    "source": pl.String,
    "headline": pl.String,
    "summary": pl.String,
    "url": pl.String,
    "symbols": pl.List(pl.String),
    "content_hash": pl.String,  # sha256 of headline, summary and symbols
}
STORED_NEWS: Schema = {**NEWS, **KNOWN}

REFUSALS: Schema = {"source": pl.String, "reason": pl.String, "payload": pl.String}
"""What was quarantined: the reason in snake_case, and the payload as JSON text."""

ARTICLE_SENTIMENT: Schema = {
    "article_id": pl.String,
    "content_hash": pl.String,  # the version of the article that was scored
    "symbol": pl.String,
    "model": pl.String,
    "model_version": pl.String,
    "published_at": MOMENT,
    "score": pl.Float64,  # p_positive - p_negative, in [-1, 1]
    "p_negative": pl.Float64,
    "p_neutral": pl.Float64,
    "p_positive": pl.Float64,
    "confidence": pl.Float64,  # in [0, 1]
    "flags": pl.List(pl.String),
    "fingerprint": pl.String,  # MinHash of the text, for near-duplicates; null in rows from before
}
_SCORED = {name: kind for name, kind in ARTICLE_SENTIMENT.items() if name != "fingerprint"}
STORED_ARTICLE_SENTIMENT: Schema = {**_SCORED, **KNOWN, "fingerprint": pl.String}

ARTICLE_STANDINGS: Schema = {
    "symbol": pl.String,
    "article_id": pl.String,
    "published_at": MOMENT,
    "standing": pl.String,  # counts | copy | replaced | withdrawn: by all that is known now
    "instead": pl.String,  # the article because of which it does not count
}

DECISION_KEY = ("symbol", "horizon", "as_of")

DECISIONS: Schema = {
    "symbol": pl.String,
    "horizon": pl.String,  # intraday | daily
    "as_of": MOMENT,  # the decision time T on the grid
    "known_by": MOMENT,  # T plus the decision lag, feed delay included: only rows with known_at <= known_by count
    "session": pl.Date,
    "session_open": MOMENT,
    "anchor": MOMENT,  # start of the history that the decision may use
}
"""The decision grid: one row a symbol, horizon and decision time."""

SYMBOL_SENTIMENT: Schema = {
    "symbol": pl.String,
    "horizon": pl.String,
    "as_of": MOMENT,
    "score": pl.Float64,  # decayed mean in [-1, 1]; null without articles
    "confidence": pl.Float64,  # null without articles
    "article_count": pl.Int64,  # near-duplicates count once
    "disagreement": pl.Float64,  # weighted standard deviation of the scores; null without articles
    "newest_published_at": MOMENT,
    "model": pl.String,
    "model_version": pl.String,
    "inputs_hash": pl.String,
    "novelty": pl.Float64,  # distinct articles / articles, in (0, 1]; null without articles
}

INDICATORS: Schema = schema()

WITHHELD: Schema = {"symbol": pl.String, "horizon": pl.String, "as_of": MOMENT, "reason": pl.String}
"""A decision that was not made, and why; counted in metadata, never silently absent."""

SignalClass = Literal["STRONG_BUY", "BUY", "HOLD", "SELL", "STRONG_SELL"]

SIDES: Mapping[SignalClass, float] = {"STRONG_BUY": 1.0, "BUY": 1.0, "HOLD": 0.0, "SELL": -1.0, "STRONG_SELL": -1.0}
"""The side of each class: long 1, flat 0, short -1."""

SIGNALS: Schema = {
    "symbol": pl.String,
    "horizon": pl.String,
    "as_of": MOMENT,
    "engine": pl.String,  # rules | ml
    "signal": pl.String,  # STRONG_BUY | BUY | HOLD | SELL | STRONG_SELL
    "strength": pl.Float64,  # in [-1, 1], negative sells
    "confidence": pl.Float64,  # in [0, 1]
    "reasons": pl.String,  # JSON list of {"rule", "contribution", "text"}
    "price": pl.Float64,
    "stop_loss": pl.Float64,  # null for HOLD; below the price for a buy, above it for a sell
    "take_profit": pl.Float64,  # null for HOLD; on the other side of the price
    "position_fraction": pl.Float64,  # share of the capital, in [0, 1]; null for HOLD
    "inputs_hash": pl.String,
    "model_version": pl.String,
    "valid_until": MOMENT,
}
STORED_SIGNALS: Schema = {**SIGNALS, "run_id": pl.String}

_POSITION = ("symbol", "horizon", "as_of", "signal", "price", "stop_loss", "position_fraction", "valid_until")
PRIOR_POSITIONS: Schema = {name: SIGNALS[name] for name in _POSITION}
"""The position of a signal: all that the sizing of later signals depends on."""

QUARANTINED_BARS: Schema = {"symbol": pl.String, "known_at": MOMENT, "reason": pl.String}
"""Quarantined bars: symbol, receipt and reason."""

MODEL_EVALUATIONS: Schema = {
    "model": pl.String,  # custom_bert | ensemble | signal_model | …
    "version": pl.Int64,  # in the model registry
    "evaluated_at": MOMENT,
    "metric": pl.String,  # accuracy | macro_f1 | ece | rank_ic | …
    "value": pl.Float64,
    "low": pl.Float64,  # of its 95 % interval; null where none was made
    "high": pl.Float64,
    "row_count": pl.Int64,
    "data_sha256": pl.String,
    "promoted": pl.Boolean,
    "verdict": pl.String,  # the reasons of the gate
    "run_id": pl.String,
}
"""Out-of-sample evaluations of model versions: a row a metric."""


def empty(schema: Schema) -> pl.DataFrame:
    """A frame of no rows with the schema given."""
    return pl.DataFrame(schema=schema)
