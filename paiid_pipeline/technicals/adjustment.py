"""Back-adjustment of raw prices for splits, stock dividends and cash dividends, as of a moment."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from paiid_pipeline.technicals.corporate_actions import SHARES, counted

PRICES = ("open", "high", "low", "close", "vwap")
NAME_CHANGE = "name_change"
REBASED = "rebased"
"""The kind of an action that records: from ``effective_at`` on the source delivers its history on another basis."""


def owned(bars: pl.DataFrame, actions: pl.DataFrame, keys: Sequence[str] = ("symbol",)) -> pl.DataFrame:
    """``bars`` without those of another company that used the same ticker before.

    ``bars``: with ``keys``, ``bar_end`` and ``known_at``, in any order; ``actions``: as for :func:`adjust`. A ticker
    that was given up or taken over by a change of name means its new company from ``effective_at`` on. The bars
    of that company from before, under the ticker that it had then, are known under this one from
    ``effective_at`` at the earliest; whatever was known earlier is another company's.
    """
    changes = actions.filter(pl.col("kind") == NAME_CHANGE)
    if changes.is_empty():
        return bars
    since = changes.group_by(keys).agg(pl.col("effective_at").max().alias("_since"))
    ours = (pl.col("bar_end") > pl.col("_since")) | (pl.col("known_at") >= pl.col("_since"))
    dated = bars.join(since, on=list(keys), how="left", maintain_order="left")
    return dated.filter(pl.col("_since").is_null() | ours).drop("_since")


def on_one_price_basis(bars: pl.DataFrame, actions: pl.DataFrame, keys: Sequence[str] = ("symbol",)) -> pl.DataFrame:
    """``bars`` without those known before their source rebased its history (``REBASED``); as :func:`owned`."""
    changes = actions.filter(pl.col("kind") == REBASED)
    if changes.is_empty():
        return bars
    since = changes.group_by(keys).agg(pl.col("effective_at").max().alias("_since"))
    dated = bars.join(since, on=list(keys), how="left", maintain_order="left")
    return dated.filter(pl.col("_since").is_null() | (pl.col("known_at") >= pl.col("_since"))).drop("_since")


def adjust(bars: pl.DataFrame, actions: pl.DataFrame, keys: Sequence[str] = ("symbol",)) -> pl.DataFrame:
    """Adjust every series to the price basis of its newest bar, so that no corporate action looks like a move.

    ``bars``: sorted by time within each series, with ``keys``, ``bar_end``, ``close`` and any other of
    open, high, low, vwap (all raw, per share) and volume (shares). ``actions``: `schemas.CORPORATE_ACTIONS`
    with ``keys``, one row an action, restricted by the caller to what applies and was known at the moment.

    A bar that ended at or before an action's ``effective_at`` is adjusted by it; later bars are left as they are, and
    so is the whole of a series without actions. A split or stock dividend divides prices by ``ratio`` and multiplies
    volume by it; a cash dividend multiplies prices by 1 - amount / (last raw close before it in the series given), the
    CRSP way. Several multiply, the newest first, so the bits do not depend on what lies further back. An event counts
    once, and one that the prices contradict is ignored: see :func:`corporate_actions.counted`, whose result may be
    passed instead. An action without a usable factor (no ratio or amount, nothing before it) moves nothing either.
    """
    factors = _factors(bars, actions, keys)
    if factors.is_empty():
        return bars
    prices = [name for name in PRICES if name in bars.columns]
    volumes = [name for name in ("volume",) if name in bars.columns]
    ordered = bars.with_row_index("_row").sort("bar_end", maintain_order=True)
    matched = ordered.join_asof(
        factors, left_on="bar_end", right_on="_effective_at", by=list(keys), strategy="forward", check_sortedness=False
    )
    adjusted = matched.sort("_row").with_columns(
        *(pl.col(name) * pl.col("_price").fill_null(1.0) for name in prices),
        *(pl.col(name) * pl.col("_volume").fill_null(1.0) for name in volumes),
    )
    return adjusted.select(bars.columns)


def _factors(bars: pl.DataFrame, actions: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """One row a series and effective moment: the product of the factors at and after it."""
    if "_price" not in actions.columns:
        actions = counted(actions, bars, keys)
    if actions.is_empty():
        return pl.DataFrame()
    volume = pl.when(pl.col("kind").is_in(SHARES)).then(pl.col("ratio")).otherwise(1.0)
    return (
        actions.with_columns(volume.alias("_volume"), pl.col("effective_at").alias("_effective_at"))
        .sort(*keys, "_effective_at", "action_id")
        .select(
            *keys,
            "_effective_at",
            *(pl.col(name).cum_prod(reverse=True).over(list(keys)) for name in ("_price", "_volume")),
        )
        .unique([*keys, "_effective_at"], keep="first", maintain_order=True)
        .sort("_effective_at")
    )
