"""The indicators of each decision, or the reason why it is withheld.

The row for a decision (symbol, horizon, T) is a pure function of the rows known by then: bit-identical
whether computed alone from what was stored at that moment, or for a whole day at once from all that is stored now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from paiid_pipeline import quality
from paiid_pipeline.arrays import Indices
from paiid_pipeline.indicator_catalogue import MINIMUM_BARS
from paiid_pipeline.schemas import DECISIONS, INDICATORS, WITHHELD, empty
from paiid_pipeline.technicals.derived import Prices, in_words
from paiid_pipeline.technicals.indicators import VALUES, VERSION, series_values, with_row_functions
from paiid_pipeline.technicals.panel import COMPUTED, PREVIOUS, computed, prices_of
from paiid_pipeline.technicals.point_in_time import ONE_HISTORY, Snapshots, take_snapshots
from paiid_pipeline.technicals.suspect_bars import doubts
from paiid_pipeline.trading_calendar import Horizon

_HASHED = ("bar_start", "bar_end", "close", "price", "high", "low", "vwap", "volume")


def decide_indicators(
    versions: pl.DataFrame,
    actions: pl.DataFrame,
    decisions: pl.DataFrame,
    max_bar_age: Mapping[Horizon, timedelta],
    without_actions: Collection[str] = (),
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Indicators as of each decision: (`schemas.INDICATORS`, `schemas.WITHHELD`), a row in one of them.

    ``versions``: `schemas.STORED_BARS`, all versions that may matter, in any order; ``actions``:
    `schemas.STORED_CORPORATE_ACTIONS`, likewise; ``decisions``: `schemas.DECISIONS`. What a decision may read is
    defined in :func:`take_snapshots`; prices are adjusted as of it. A decision is withheld, with the reason in words,
    where it sees no bars, where its newest bar ended more than ``max_bar_age`` of its horizon before it, where a bar is
    suspect (see `suspect_bars`), with fewer than ``MINIMUM_BARS`` bars, where the price never moved, and where a value
    breaks a rule of `quality.INDICATORS`. ``without_actions``: the sources of bars without corporate actions; a gap in
    theirs that looks like a split is suspect too.
    """
    read, withheld = [empty(INDICATORS)], [empty(WITHHELD)]
    keys = [*ONE_HISTORY, "_settle"]
    unique = decisions.select(DECISIONS.keys()).unique(maintain_order=True)
    for part in unique.with_columns(pl.col("known_by").sub(pl.col("as_of")).alias("_settle")).partition_by(
        keys, maintain_order=True
    ):
        values = _values(part, take_snapshots(versions, actions, part, without_actions))
        values = values.with_columns(_reason(max_bar_age[part["horizon"][0]]).alias("reason"))
        read.append(values.filter(pl.col("reason").is_null()).select(INDICATORS.keys()))
        withheld.append(values.filter(pl.col("reason").is_not_null()).select(WITHHELD.keys()))
    return pl.concat(read), pl.concat(withheld)


def _reason(max_bar_age: timedelta) -> pl.Expr:
    def minute(moment: str) -> pl.Expr:
        return pl.col(moment).dt.strftime("%Y-%m-%d %H:%M:%S UTC")

    age = pl.col("as_of") - pl.col("bar_end")
    seconds = age.dt.total_seconds().cast(pl.String)
    limit = int(max_bar_age.total_seconds())
    limited = f"at most {limit} s is allowed" if limit else "the bar that ends with it is missing"
    stale = pl.format(f"newest bar ended {{}}, {{}} s before the decision; {limited}", minute("bar_end"), seconds)
    few = pl.format("only {} of {} bars since {}", pl.col("bars"), pl.lit(MINIMUM_BARS), minute("anchor"))
    flat = pl.format("the price has not moved in {} bars since {}", pl.col("bars"), minute("anchor"))
    return (
        pl.when(pl.col("bars") == 0)
        .then(pl.format("no bars since {}", minute("anchor")))
        .when(age > max_bar_age)
        .then(stale)
        .when(pl.col("doubt").is_not_null())
        .then("doubt")
        .when(pl.col("bars") < MINIMUM_BARS)
        .then(few)
        .when(pl.col("rsi_14").is_null())
        .then(flat)
        .otherwise(quality.fault(quality.INDICATORS))
    )


def _values(decisions: pl.DataFrame, snapshots: Snapshots) -> pl.DataFrame:
    """``decisions`` with bars, their newest bar, indicators and hash; null where there are too few bars."""
    snapshots, in_doubt = doubts(snapshots)
    series, bars = (snapshots.prefix[name].to_numpy() for name in ("series", "bars"))
    newest = snapshots.offsets[series] + bars - 1
    seen = pl.Series(newest).set(pl.Series(bars == 0), None)
    newest_bar = snapshots.rows.select(pl.col("bar_start", "bar_end", "close", "price").gather(seen))
    reads = _reads(snapshots, series, bars)
    frame = decisions.with_columns(
        *newest_bar,
        pl.Series("bars", bars),
        *reads,
        version=pl.lit(VERSION),
        doubt=pl.Series(in_doubt, dtype=pl.String),
    )
    return in_words(with_row_functions(frame))


def _reads(snapshots: Snapshots, series: Indices, bars: Indices) -> list[pl.Series]:
    """The values at each decision's newest bar and, as ``previous_``, at the bar before; and its inputs' hash."""
    prices = prices_of(snapshots.rows.with_columns(close=pl.col("price")))
    inputs = _packed(snapshots.rows)
    now = np.full((len(COMPUTED), len(bars)), np.nan)
    before = np.full((len(VALUES), len(bars)), np.nan)
    previous_price = np.full(len(bars), np.nan)
    hashes: list[str | None] = [None] * len(bars)
    ready = np.flatnonzero(bars >= MINIMUM_BARS)
    ready = ready[np.lexsort((bars[ready], series[ready]))]
    groups = np.split(ready, np.flatnonzero(np.diff(series[ready])) + 1) if len(ready) else []
    starts = [int(snapshots.offsets[series[group[0]]]) for group in groups]
    bounds = [(start, start + int(bars[group[-1]])) for start, group in zip(starts, groups, strict=True)]
    for group, (start, stop, values) in zip(groups, series_values(prices.close, bounds), strict=True):
        at = bars[group] - 1
        part = Prices(**{name: column[start:stop] for name, column in vars(prices).items()})
        values = computed(part, values)
        for row, value in enumerate(values):
            now[row, group] = value[at]
        for row, value in enumerate(values[: len(VALUES)]):
            before[row, group] = value[at - 1]
        previous_price[group] = part.close[at - 1]
        for decision, digest in zip(group.tolist(), _prefix_digests(inputs[start:stop], bars[group]), strict=True):
            hashes[decision] = digest
    reads = [pl.Series(name, column) for name, column in zip(COMPUTED, now, strict=True)]
    reads += [pl.Series(f"previous_{name}", before[VALUES.index(name)]) for name in PREVIOUS]
    reads.append(pl.Series("previous_price", previous_price))
    # A value that overflowed is null.
    return [read.set(~read.is_finite(), None) for read in reads] + [pl.Series("inputs_hash", hashes, dtype=pl.String)]


def _packed(rows: pl.DataFrame) -> NDArray[np.uint8]:
    """The inputs of the values, little-endian: start, end (µs), raw close, adjusted prices and volume."""
    columns = [rows[name].to_physical().to_numpy() for name in _HASHED]
    packed = np.empty((rows.height, len(_HASHED)), dtype="<i8")
    for place, column in enumerate(columns):
        packed[:, place] = column if column.dtype == np.int64 else np.ascontiguousarray(column).view(np.int64)
    return packed.view(np.uint8)


def _prefix_digests(packed: NDArray[np.uint8], lengths: Indices) -> Iterator[str]:
    """The SHA-256 of the version and the first n rows, for each n of an ascending list, hashing each row once."""
    running, done = hashlib.sha256(VERSION.encode()), 0
    for length in lengths.tolist():
        running.update(packed[done:length].data)
        done = length
        yield running.copy().hexdigest()
