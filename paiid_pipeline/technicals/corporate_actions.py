"""Which corporate actions count: each event once, under whichever ids, and none that the prices contradict.

An event is identified by symbol, family (shares: split and stock dividend; cash: dividend), day and size.
Two actions are one event where their days lie within ``NEIGHBOURING`` and their sizes within ``ROUNDED`` of each other;
two splits of one day are one event whatever their ratios, as a correction is. Of these the one counts that agrees
best with the overnight return, then the one known last, the later one, the one with more digits. Two dividends of
different amounts on one day, a regular one and a special one, are two events, and both count.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

NEIGHBOURING = timedelta(days=4)
ROUNDED = 0.01
SHARES = ("split", "stock_dividend")
CASH = "cash_dividend"
WITHDRAWN = "withdrawn"
"""The kind of an action that its source no longer lists: a new version, without ratio and amount."""

TOO_LARGE, WIDENS = "dividend_of_the_whole_price", "action_widens_the_gap"
_CLEAR = 0.2
"""As a logarithm: smaller price factors are not tested against the overnight return."""
_GRAIN = 0.1


def judged(actions: pl.DataFrame, bars: pl.DataFrame, keys: Sequence[str] = ("symbol",)) -> pl.DataFrame:
    """The actions that move prices, with ``_before`` (the last close before), ``_price`` (what earlier prices are
    multiplied by; null without a price before), ``_misfit`` (how far, as a logarithm, the night is from what the action
    would do; null where unknown) and ``reason`` (why one cannot be, or null).

    ``actions``: `schemas.CORPORATE_ACTIONS` with ``keys``; ``bars``: with ``keys``, ``bar_end`` and raw ``close``.
    """
    moving = actions.filter(pl.col("kind").is_in([*SHARES, CASH])).sort("effective_at", "action_id")
    closes = bars.select(*keys, "bar_end", "close").drop_nulls().sort("bar_end")
    priced = moving
    for name, strategy in (("_before", "backward"), ("_after", "forward")):
        priced = priced.join_asof(
            closes.rename({"close": name}),
            left_on="effective_at",
            right_on="bar_end",
            by=list(keys),
            strategy=strategy,  # type: ignore[arg-type]
            allow_exact_matches=name == "_before",
            check_sortedness=False,
        ).drop("bar_end", strict=False)
    cash = pl.col("kind") == CASH
    price = pl.when(cash).then(1.0 - pl.col("amount") / pl.col("_before")).otherwise(1.0 / pl.col("ratio"))
    priced = priced.with_columns(pl.when(pl.col("_before").is_not_null()).then(price).alias("_price"))
    night = (pl.col("_after") / pl.col("_before")).log()
    misfit = pl.when((pl.col("_price") > 0) & (pl.col("_price").log().abs() > _CLEAR)).then(
        (night - pl.col("_price").log()).abs()
    )
    return priced.with_columns(
        misfit.alias("_misfit"),
        pl.when(cash & (pl.col("_price") <= 0))
        .then(pl.lit(TOO_LARGE))
        .when(misfit > night.abs() + _CLEAR - 1e-9)
        .then(pl.lit(WIDENS))
        .alias("reason"),
    )


def counted(actions: pl.DataFrame, bars: pl.DataFrame, keys: Sequence[str] = ("symbol",)) -> pl.DataFrame:
    """The actions of :func:`judged` that can be, each event once."""
    known = pl.col("known_at") if "known_at" in actions.columns else pl.col("effective_at")
    size = pl.coalesce("ratio", "amount")
    possible = judged(actions, bars, keys).filter(
        pl.col("reason").is_null() & pl.col("_price").is_finite() & (pl.col("_price") > 0)
    )
    ranked = (
        possible.sort(
            (pl.col("_misfit").fill_null(0.0) / _GRAIN).floor().neg(),
            known,
            "effective_at",
            size.cast(pl.String).str.len_chars(),
            "action_id",
        )
        .with_row_index("_rank")
        .with_columns(size.alias("_size"), (pl.col("kind") == CASH).alias("_cash"))
    )
    sides = ranked.select(*keys, "_cash", "_rank", "_size", "kind", "effective_at")
    pairs = sides.join(sides, on=[*keys, "_cash"], suffix="_other").filter(
        (pl.col("_rank_other") > pl.col("_rank"))
        & ((pl.col("effective_at") - pl.col("effective_at_other")).abs() <= NEIGHBOURING)
        & (
            ((pl.col("_size") / pl.col("_size_other") - 1.0).abs() <= ROUNDED)
            | (
                (pl.col("kind") == "split")
                & (pl.col("kind_other") == "split")
                & (pl.col("effective_at") == pl.col("effective_at_other"))
            )
        )
    )
    return ranked.join(pairs, on="_rank", how="anti").drop("_rank", "_size", "_cash")
