"""Detects that a source has rebased its history, as some do after a split that they do not report."""

from __future__ import annotations

import polars as pl

LEAST_BARS = 5
LEAST = 0.04
"""As a logarithm: a smaller ratio is a dividend or a correction, and no split (21 for 20 is 0.049)."""
_PRICES = ("open", "high", "low", "close")
_STEP = 0.01
"""Prices are rounded to so much at most."""
_AGREE = 0.8


def rebased(stored: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    """symbol and ratio (new shares per old one) of each symbol whose bars came on another price basis.

    ``stored``, ``came``: `schemas.BARS` of one timeframe, a version a bar. A symbol is rebased where the oldest bars
    that are in both, ``LEAST_BARS`` or more, have all prices at one ratio that is no 1, within what rounding does; the
    newest may be as they were. One bar in five may deviate, as corrected. Volumes are not looked at: not
    every source restates them.
    """
    pairs = came.join(stored, on=["symbol", "bar_start"], suffix="_stored").sort("symbol", "bar_start")
    moved = {name: (pl.col(name) / pl.col(f"{name}_stored")).log() for name in _PRICES}
    least = pl.min_horizontal("low", "low_stored")
    measured = pairs.filter(least > 0).with_columns(
        **{name: moved[name] for name in _PRICES}, slack=0.002 + _STEP / least
    )
    sized = measured.with_columns(size=pl.col("close").head(LEAST_BARS).median().over("symbol"))
    same = pl.all_horizontal(
        (pl.col(name) - pl.col("size")).abs().fill_null(0.0) <= pl.col("slack") for name in _PRICES
    )
    place = pl.int_range(1, pl.len() + 1)
    return (
        sized.with_columns(same=same)
        .group_by("symbol", maintain_order=True)
        .agg(
            pl.col("size").first(),
            pl.col("slack").max(),
            pl.col("same").sum().alias("bars"),
            place.filter(pl.col("same")).max().alias("of"),
        )
        .filter(
            (pl.col("bars") >= LEAST_BARS)
            & (pl.col("bars") >= _AGREE * pl.col("of"))
            & (pl.col("size").abs() >= LEAST + 2 * pl.col("slack"))
        )
        .select("symbol", ratio=(-pl.col("size")).exp())
    )
