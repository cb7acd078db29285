"""Suspect bars, implausible beside their neighbours: decisions wait for later bars, which confirm or exclude them.

Each bar that is stored is sound by itself (`quality.bars`). Beside the others of its series it may still be out of
line: a price of many times that before, a low or high that nothing else came near, a VWAP outside its range.
No rule can tell a bad print from a crash at that moment; later bars can. So a decision that reads such
a bar is withheld, with the reason, until ``LATER_BARS`` more are known, and then

- a price that has come back makes the bars in between bad: they are left out, as holes are;
- a price that has stayed is real, and so is a low or high that was reached again; but a price of ``UNREAL`` times or
  more is another unit, and no bar before it is read with those after it;
- any other low, high or mean price is left out of its bar: the range ends at open and close.

While a daily bar would be waited for, the minutes of its session confirm or refute its low, high or VWAP at once, where
they are known: a price that some of them reached is kept, and one that none came near is replaced by their own lowest
or highest. A minute that is itself out of line neither confirms nor refutes. Once later bars are there they alone
decide, so that minutes of long ago, loaded afterwards, change nothing that was decided without them.

Where the source has no corporate actions, a gap that looks like a split (see `split_gaps`) is waited for until the
action is known or the bars before have been fetched anew, at most until ``MINIMUM_BARS`` bars have come after it: then
no bar before it is read. One that has gone back by such a gap leaves out the bars in between.

Everything is a function of the bars that the decision itself may see, in the order of time: a decision made later
from the same bars comes to the same. A jump is one both as traded and adjusted: an action that is known explains the
first, and one that is wrong would make the second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats
from paiid_pipeline.indicator_catalogue import MINIMUM_BARS
from paiid_pipeline.quality.bars import VWAP_SLACK, WICK
from paiid_pipeline.technicals.minute_bars import MINUTE_RANGE
from paiid_pipeline.technicals.point_in_time import Snapshots
from paiid_pipeline.technicals.split_gaps import LEAST, gaps, is_inverse

JUMP, UNREAL = 4.0, 20.0
"""A close of so many times the last, or a part of it: in doubt (AIG fell to 0.42 of itself), and never real."""
REACHED = 1.5
"""Within this factor of a price it has been reached again."""
NEAR = 1.05
"""Within this factor of a price the minutes of its own session have reached it."""
LATER_BARS = 3

_COLUMNS = ("price", "close", "open", "high", "low", "vwap", "volume", "unexplained")


@dataclass
class _Verdict:
    """The verdict on a series, as far as it is known: a reason to wait, or what to exclude or replace."""

    reason: str | None = None
    out: set[int] = field(default_factory=set)
    """Bars that are left out."""
    changed: dict[tuple[int, str], float] = field(default_factory=dict)
    """Replacements for the high, low or vwap of some bars."""


def doubts(snapshots: Snapshots) -> tuple[Snapshots, list[str | None]]:
    """The snapshots without excluded bars, and the reason to withhold each decision, if any."""
    reasons: list[str | None] = [None] * snapshots.prefix.height
    suspects = _suspects(snapshots.rows)
    if not suspects:
        return snapshots, reasons
    series, bars = (snapshots.prefix[name].to_numpy().copy() for name in ("series", "bars"))
    rows, offsets = [snapshots.rows], snapshots.offsets.tolist()
    for suspect in suspects:
        start, stop = snapshots.offsets[suspect : suspect + 2].tolist()
        mine = snapshots.rows[start:stop]
        columns = _columns(mine, snapshots.minutes)
        places = np.flatnonzero(series == suspect)
        lengths = bars[places]
        placed: dict[object, int] = {}
        for length in np.unique(lengths)[::-1].tolist():
            verdict = _judged({name: column[:length] for name, column in columns.items()}, mine["bar_end"])
            here = places[lengths == length]
            if verdict.reason is not None:
                for decision in here.tolist():
                    reasons[decision] = verdict.reason
                continue
            if not verdict.out and not verdict.changed:
                continue
            signature = (frozenset(verdict.out), frozenset(verdict.changed.items()))
            if signature not in placed:  # the longest comes first, and the others are prefixes of it
                placed[signature] = len(offsets) - 1
                rows.append(_read(mine[:length], verdict, placed[signature]))
                offsets.append(offsets[-1] + rows[-1].height)
            series[here], bars[here] = placed[signature], length - len(verdict.out)
    prefix = pl.DataFrame({"series": series, "bars": bars})
    return replace(snapshots, rows=pl.concat(rows), offsets=np.array(offsets, dtype=np.int64), prefix=prefix), reasons


def _columns(rows: pl.DataFrame, minutes: pl.DataFrame) -> dict[str, Floats]:
    """The columns of one series, NaN for null, with the range of the minutes on the same price basis."""
    joined = rows.join(minutes, on=["code", "bar_end"], how="left", maintain_order="left")
    joined = joined.with_columns(pl.col(*MINUTE_RANGE) * (pl.col("price") / pl.col("close")))
    moments = {name: joined[f"bar_{name}"].to_physical() for name in ("start", "end")}
    columns = moments | {name: joined[name] for name in (*_COLUMNS, *MINUTE_RANGE)}
    return {name: column.cast(pl.Float64).fill_null(math.nan).to_numpy() for name, column in columns.items()}


def _suspects(rows: pl.DataFrame) -> list[int]:
    """The series with a bar that may be out of line."""
    same = pl.col("series") == pl.col("series").shift()
    before, raw = (pl.when(same).then(pl.col(name).shift()) for name in ("price", "close"))
    body = [pl.col("open"), pl.col("price")]
    flagged = rows.lazy().filter(
        ((_factor(pl.col("price"), before) >= JUMP) & (_factor(pl.col("close"), raw) >= JUMP))
        | (pl.col("unexplained") & (_factor(pl.coalesce("open", "price"), before) >= LEAST))
        | (pl.col("low") * WICK < pl.min_horizontal(*body))
        | (pl.col("high") > pl.max_horizontal(*body) * WICK)
        | (pl.col("low") * JUMP < pl.min_horizontal("price", before))
        | (pl.col("high") > pl.max_horizontal("price", before) * JUMP)
        | (pl.col("vwap") > pl.col("high") * (1 + VWAP_SLACK))
        | ((pl.col("vwap") > 0) & (pl.col("vwap") < pl.col("low") * (1 - VWAP_SLACK)))
    )
    found: list[int] = flagged.select(pl.col("series").unique().sort()).collect()["series"].to_list()
    return found


def _factor(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    return pl.max_horizontal(one / other, other / one)


def _read(rows: pl.DataFrame, verdict: _Verdict, series: int) -> pl.DataFrame:
    changed = [
        pl.Series(name, [verdict.changed.get((bar, name), value) for bar, value in enumerate(rows[name])], pl.Float64)
        for name in sorted({name for _, name in verdict.changed})
    ]
    kept = pl.Series([bar not in verdict.out for bar in range(rows.height)], dtype=pl.Boolean)
    numbered = pl.lit(series, dtype=rows.schema["series"]).alias("series")
    return rows.with_columns(*changed, numbered).filter(kept)


def _judged(bars: dict[str, Floats], ends: pl.Series) -> _Verdict:
    """A series as it is known, oldest bar first; ``ends``: of each bar."""
    verdict = _Verdict()
    for bar, before, stays in _jumps(np.stack([bars["price"], bars["close"]]), verdict):
        ratio = bars["price"][bar] / bars["price"][before]
        jump = f"the price of the bar that ended {ends[bar]:%Y-%m-%d %H:%M} UTC is {ratio:.3g} times the one before"
        if stays < LATER_BARS:
            verdict.reason = f"{jump}: waiting for later bars to confirm it"
        elif len(bars["price"]) - bar < MINIMUM_BARS:
            verdict.reason = f"{jump}, in another unit or after an action that is not known, and has stayed there"
        else:
            verdict.out |= set(range(bar))
    _judge_gaps(bars, verdict)
    if verdict.reason is None:
        _judge_ranges(bars, verdict, ends)
    return verdict


def _judge_gaps(bars: dict[str, Floats], verdict: _Verdict) -> None:
    """Gaps like splits; reported before jumps, since a person can resolve them."""
    read = np.array([bar for bar in range(len(bars["price"])) if bar not in verdict.out], dtype=np.int64)
    left: list[tuple[int, float, str]] = []
    for bar, factor, words in gaps({name: column[read] for name, column in bars.items()}):
        if left and is_inverse(left[-1][1], factor):
            verdict.out |= set(read[left.pop()[0] : bar].tolist())
        else:
            left.append((bar, factor, words))
    if not left:
        return
    bar, _, words = left[-1]
    if len(set(read[bar:].tolist()) - verdict.out) < MINIMUM_BARS:
        verdict.reason = words
    else:
        verdict.out |= set(range(int(read[bar])))


def _jumps(prices: Floats, verdict: _Verdict) -> Iterator[tuple[int, int, int]]:
    """Jumps that the bars after them do not resolve: the bar, the last one before that is trusted, and how many bars
    have stayed since. Of those that have come back the bars in between are left out. ``prices``: (2, bars)."""
    trusted, bar, count = 0, 1, prices.shape[1]
    while bar < count:
        factor = float(_apart(prices[:, bar : bar + 1], prices[:, trusted])[0])
        if factor < JUMP:
            trusted, bar = bar, bar + 1
            continue
        after = prices[:, bar + 1 :]
        near = np.flatnonzero(_apart(after, prices[:, trusted]) < JUMP**0.5)
        back = int(near[0]) if len(near) else None
        if back is not None and (factor >= UNREAL or back < LATER_BARS):
            verdict.out |= set(range(bar, bar + 1 + back))
            trusted = bar = bar + 1 + back
            bar += 1
            continue
        if after.shape[1] < LATER_BARS or factor >= UNREAL:
            yield bar, trusted, after.shape[1]
        trusted, bar = bar, bar + 1


def _judge_ranges(bars: dict[str, Floats], verdict: _Verdict, ends: pl.Series) -> None:
    price, high, low, vwap = (bars[name] for name in ("price", "high", "low", "vwap"))
    count = len(price)
    previous = np.concatenate([price[:1], price[:-1]])
    opens = np.where(np.isfinite(bars["open"]), bars["open"], price)
    bottom, top = np.minimum(opens, price), np.maximum(opens, price)
    low_out = (low * WICK < bottom) | (low * JUMP < np.minimum(price, previous))
    high_out = (high > top * WICK) | (high > np.maximum(price, previous) * JUMP)
    # An open that lies where nothing else does is no end of the range.
    bottom = np.where(bottom * JUMP < np.minimum(price, previous), price, bottom)
    top = np.where(top > np.maximum(price, previous) * JUMP, price, top)
    vwap_out = (vwap > high * (1 + VWAP_SLACK)) | ((vwap > 0) & (vwap < low * (1 - VWAP_SLACK)))
    out = {"low": low_out, "high": high_out, "vwap": vwap_out}
    for bar in np.flatnonzero(low_out | high_out | vwap_out).tolist():
        if bar in verdict.out:
            continue
        first = max(bar - LATER_BARS, 0)
        lows, highs = (np.delete(side[first : bar + 1 + LATER_BARS], bar - first) for side in (low, high))
        waited = count - 1 - bar < LATER_BARS
        by_minutes = _by_minutes(bars, bar, bottom[bar], top[bar]) if waited else {}
        found = {
            "low": (low_out[bar] and not (lows <= low[bar] * REACHED).any(), bottom[bar]),
            "high": (high_out[bar] and not (highs * REACHED >= high[bar]).any(), top[bar]),
            "vwap": (vwap_out[bar], math.nan),
        }
        wrong = {name: instead for name, (is_wrong, instead) in found.items() if is_wrong and name not in by_minutes}
        if wrong and waited:
            shown = ", ".join(f"a {name} of {bars[name][bar]:.8g}" for name in wrong)
            verdict.reason = (
                f"the bar that ended {ends[bar]:%Y-%m-%d %H:%M} UTC has {shown} and a close of {price[bar]:.8g}: "
                "waiting for later bars to confirm it"
            )
            return
        confirmed = {name: instead for name, instead in by_minutes.items() if instead is not None and out[name][bar]}
        verdict.changed |= {(bar, name): float(instead) for name, instead in (wrong | confirmed).items()}


def _by_minutes(bars: dict[str, Floats], at: int, bottom: float, top: float) -> dict[str, float | None]:
    """Of a bar's low, high and vwap those that its minutes decide: None where confirmed, else the replacement. Minutes
    whose range excludes the close are on another price basis and decide nothing."""
    bar = {name: float(column[at]) for name, column in bars.items()}
    lowest, highest = bar["lowest"], bar["highest"]
    decided: dict[str, float | None] = {}
    if not lowest <= bar["price"] * NEAR or not highest * NEAR >= bar["price"]:
        return decided
    if bar["sound_low"] <= bar["low"] * NEAR:
        decided["low"] = None
    elif lowest > bar["low"] * NEAR:
        decided["low"] = min(lowest, bottom)
    if bar["sound_high"] * NEAR >= bar["high"]:
        decided["high"] = None
    elif highest * NEAR < bar["high"]:
        decided["high"] = max(highest, top)
    return decided | {"vwap": None if lowest <= bar["vwap"] * NEAR and bar["vwap"] <= highest * NEAR else math.nan}


def _apart(prices: Floats, other: Floats) -> Floats:
    """The factor between prices and another, both (2, …), raw and adjusted: the lesser of the two."""
    ratios = prices / other[:, None]
    factors: Floats = np.min(np.maximum(ratios, 1.0 / ratios), axis=0)
    return factors
