"""Point-in-time history: which bars each decision reads, in which version, adjusted as of then.

A bar version is *eligible* from the first decision T that has bar_end <= T and known_at <= known_by. Mostly bars
become eligible in the order of their start, and then every decision of a session reads a prefix of one
and the same series. A version that breaks that order (a restatement, a bar that arrives after a later
one, a corporate action that becomes known in session) opens an *epoch* at the first decision that may
see it: decisions before it read a series without it, decisions from it on a series with it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Indices
from paiid_pipeline.technicals.adjustment import REBASED, adjust, on_one_price_basis, owned
from paiid_pipeline.technicals.corporate_actions import counted
from paiid_pipeline.technicals.derived import USABLE
from paiid_pipeline.technicals.minute_bars import session_minutes
from paiid_pipeline.trading_calendar import TIMEFRAME

ONE_HISTORY = ("horizon", "session", "session_open", "anchor")
"""Decisions that agree in these, and in how long they wait for late rows, share their history."""

_READ = ("close", "open", "high", "low", "vwap", "volume")


@dataclass(frozen=True)
class Snapshots:
    """The adjusted series that the decisions of one session read, each decision a prefix of one.

    ``rows``: series (index), code (of the symbol), bar_start, bar_end, close (raw), price (adjusted close), open,
    high, low, vwap and volume (adjusted), unexplained (from a source without corporate actions), eligible (index of the
    first decision that may see the row, never below its epoch's), sorted by series and bar_start.
    ``offsets``: where each series starts in ``rows``, and the end. ``prefix``: one row a decision: series
    (null without any bar) and bars, how many of its series' rows the decision sees.
    ``minutes``: of daily decisions, code (of the symbol, as in ``rows``), bar_end and the columns of `session_minutes`.
    """

    rows: pl.DataFrame
    offsets: Indices
    prefix: pl.DataFrame
    minutes: pl.DataFrame


def take_snapshots(
    versions: pl.DataFrame, actions: pl.DataFrame, decisions: pl.DataFrame, without_actions: Collection[str] = ()
) -> Snapshots:
    """The snapshots for ``decisions`` that share one history (see ``ONE_HISTORY``), in their order.

    ``versions``: `schemas.STORED_BARS`, every version, in any order; a version whose close, high or low
    is null, not finite or not above 0, or whose volume is null, not finite or below 0, is ignored.
    ``actions``: `schemas.STORED_CORPORATE_ACTIONS`, every version. Only rows with known_at <= known_by
    count, bars with anchor < bar_end <= as_of, and actions with effective_at <= session_open; nothing
    that was known before a source rebased its history counts once the rebasing is known.
    ``without_actions``: the sources of bars without corporate actions.
    """
    versions = versions.with_columns(unexplained=pl.col("source").is_in(list(without_actions)))
    moments = decisions.select("as_of", "known_by").unique().sort("as_of", "known_by")
    symbols = decisions.select("symbol").unique().sort("symbol").with_row_index("code")
    bars = _eligible_versions(versions, decisions, moments, symbols)
    known_actions = _known_actions(actions, decisions, moments, symbols)
    opens = [bars.filter("opens"), known_actions, _nights(known_actions, bars)]
    opening = pl.concat(frame.select("code", "eligible") for frame in opens)
    epochs = _epochs(opening, symbols, moments.height)
    rows = _series(bars, epochs)
    rows = _adjusted(rows, epochs, known_actions, decisions["session_open"][0])
    offsets = np.searchsorted(rows["series"].to_numpy(), np.arange(epochs.height + 1)).astype(np.int64)
    prefix = _prefixes(rows, offsets, epochs, decisions, moments, symbols)
    known = known_actions.filter(pl.col("known_at") <= moments["known_by"][0])
    minutes = session_minutes(on_one_price_basis(versions, known), decisions).join(symbols, on="symbol").drop("symbol")
    return Snapshots(rows, offsets, prefix, minutes)


def _microseconds(moments: pl.Series) -> Indices:
    return moments.to_physical().to_numpy().astype(np.int64)


def _first_at(moments: pl.Series, grid: pl.Series) -> Indices:
    """The index of the first moment of a sorted grid at or after each moment; the grid's length past its end."""
    return np.searchsorted(_microseconds(grid), _microseconds(moments), side="left").astype(np.int64)


def _eligible_versions(
    versions: pl.DataFrame, decisions: pl.DataFrame, moments: pl.DataFrame, symbols: pl.DataFrame
) -> pl.DataFrame:
    """The versions that some decision reads: code, bar_start, bar_end, known_at, ``_READ``, eligible, superseded
    (from which decision a newer version stands in its place) and opens (whether an epoch starts at ``eligible``)."""
    last_as_of, last_known_by = moments.row(-1)
    usable = versions.filter(
        (pl.col("timeframe") == TIMEFRAME[decisions["horizon"][0]])
        & (pl.col("bar_end") > decisions["anchor"][0])
        & (pl.col("bar_end") <= last_as_of)
        & (pl.col("known_at") <= last_known_by)
        & USABLE
    )
    found = usable.select("symbol", "bar_start", "bar_end", "known_at", *_READ, "unexplained").join(
        symbols, on="symbol"
    )
    found = found.sort("code", "bar_start", "known_at", *_READ)
    eligible = np.maximum(
        _first_at(found["bar_end"], moments["as_of"]), _first_at(found["known_at"], moments["known_by"])
    )
    bar = found.select(pl.struct("code", "bar_start").rle_id()).to_series().to_numpy().astype(np.int64)
    alive = eligible < _least_after(eligible, bar, moments.height)
    found, eligible, bar = found.filter(alive), eligible[alive], bar[alive]
    code = found["code"].to_numpy().astype(np.int64)
    restated = np.concatenate([[False], bar[1:] == bar[:-1]])[: len(bar)]
    overtaken = eligible > _least_after(eligible, code, moments.height)
    return found.select(
        "code",
        "bar_start",
        "bar_end",
        "known_at",
        *_READ,
        "unexplained",
        pl.Series("eligible", eligible),
        pl.Series("superseded", _least_after(eligible, bar, moments.height)),
        pl.Series("opens", restated | overtaken),
    )


def _least_after(values: Indices, groups: Indices, limit: int) -> Indices:
    """The least of the values (each in [0, limit)) that follow in the same group (sorted); ``limit`` for the last."""
    # A reversed running minimum over all groups at once: a step of more than `limit` a group keeps them apart.
    step = groups * (limit + 1)
    following = np.append((values + step)[1:], np.iinfo(np.int64).max)
    least = np.minimum.accumulate(following[::-1])[::-1][: len(values)]
    return np.minimum(least - step, limit)


def _known_actions(
    actions: pl.DataFrame, decisions: pl.DataFrame, moments: pl.DataFrame, symbols: pl.DataFrame
) -> pl.DataFrame:
    """The versions of corporate actions that some decision knows, with code and eligible, oldest first."""
    known = actions.filter(
        (pl.col("known_at") <= moments["known_by"][-1])
        & (pl.col("effective_at").max().over("action_id") > decisions["anchor"][0])
    )
    known = known.join(symbols, on="symbol").sort("code", "action_id", "known_at", "effective_at", "ratio", "amount")
    return known.with_columns(pl.Series("eligible", _first_at(known["known_at"], moments["known_by"])))


def _nights(known: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """code and eligible: the first decision that sees a bar from after each action, and so can judge it."""
    first = pl.col("eligible").cum_min(reverse=True).over("code")
    seen = bars.sort("code", "bar_end").select("code", "bar_end", first).sort("bar_end")
    return (
        known.select("code", "effective_at")
        .sort("effective_at")
        .join_asof(
            seen, left_on="effective_at", right_on="bar_end", by="code", strategy="forward",
            allow_exact_matches=False, check_sortedness=False,
        )
        .drop_nulls("eligible")
    )  # fmt: skip


def _epochs(opening: pl.DataFrame, symbols: pl.DataFrame, count: int) -> pl.DataFrame:
    """The epochs of every symbol: code, start and end (decisions, half-open), and series, their index."""
    first = symbols.select("code", pl.lit(0, dtype=pl.Int64).alias("start"))
    starts = pl.concat([first, opening.rename({"eligible": "start"})]).unique().sort("code", "start")
    ends = pl.col("start").shift(-1, fill_value=count)
    last = pl.col("code").ne(pl.col("code").shift(-1)).fill_null(True)
    return starts.with_columns(pl.when(last).then(count).otherwise(ends).alias("end")).with_row_index("series")


def _series(bars: pl.DataFrame, epochs: pl.DataFrame) -> pl.DataFrame:
    """The newest version of every bar as each epoch knows it."""
    rows = epochs.join(bars, on="code", maintain_order="left_right").filter(
        (pl.col("eligible") < pl.col("end")) & (pl.col("superseded") >= pl.col("end"))
    )
    # Within an epoch all that came before its start is there from its start.
    return rows.with_columns(pl.max_horizontal("eligible", "start").alias("eligible"))


def _adjusted(rows: pl.DataFrame, epochs: pl.DataFrame, known: pl.DataFrame, session_open: datetime) -> pl.DataFrame:
    """``rows`` of the company itself with ``price``, the adjusted close, and the rest adjusted, by what each epoch
    knows of the actions in effect."""
    applied = (
        epochs.join(known, on="code", maintain_order="left_right")
        .filter(pl.col("eligible") <= pl.col("start"))
        .unique(["series", "action_id"], keep="last", maintain_order=True)
        .filter((pl.col("effective_at") <= session_open) | (pl.col("kind") == REBASED))
    )
    rows = on_one_price_basis(owned(rows, applied, keys=["series"]), applied, keys=["series"])
    events = counted(applied, rows.filter(pl.col("eligible") <= pl.col("start")), keys=["series"])
    adjusted = adjust(rows.select("series", "bar_end", *_READ), events, keys=["series"])
    return rows.with_columns(adjusted.select(pl.col("close").alias("price"), *_READ[1:]))


def _prefixes(
    rows: pl.DataFrame,
    offsets: Indices,
    epochs: pl.DataFrame,
    decisions: pl.DataFrame,
    moments: pl.DataFrame,
    symbols: pl.DataFrame,
) -> pl.DataFrame:
    """series and bars, one row a decision, in the order of ``decisions``."""
    step = moments.height + 1
    placed = decisions.select("symbol", "as_of", "known_by").join(symbols, on="symbol", maintain_order="left")
    index = _first_at(placed["as_of"], moments["as_of"])
    starts = epochs["code"].to_numpy().astype(np.int64) * step + epochs["start"].to_numpy()
    series = np.searchsorted(starts, placed["code"].to_numpy().astype(np.int64) * step + index, side="right") - 1
    reached = rows["series"].to_numpy().astype(np.int64) * step + rows["eligible"].to_numpy()
    bars = np.searchsorted(reached, series * step + index, side="right") - offsets[series]
    return pl.DataFrame({"series": series, "bars": bars})
