"""Overnight gaps that look like a split, in bars whose source has no corporate actions.

On the day of a split the open stands within ``NEAR`` of a simple ratio times the last close, and trading is quiet: no
wide range, no more turnover than usual. A crash or a jump on news has one or the other (measured on 21 US tickers from
1998 to 2021: splits have a range of 0.13 at most and up to 2.3 times the usual turnover, AIG's and AAPL's crashes a
range of 0.22 or more, falls on results three times the usual turnover or more). A rise beyond ``NO_RISE`` is a reverse
split however it was traded. Not applied to sources with corporate actions: there a gap
without an action is a real move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from paiid_pipeline.arrays import Floats, Indices

NEAR, WIDEST = 0.025, 0.13
"""As logarithms: how far an open lies from the ratio at most, and the range of the day so far."""
NO_RISE = 5.0
BUSY, BUSY_SMALL = 3.0, 2.0
"""So many times the usual turnover is no day of a split; the second for ratios below 3:2, where news do as much."""
USUAL_SESSIONS = 20

_SPLITS = ((5, 4), (4, 3), (3, 2), (5, 3), (5, 2), (7, 2), *((new, 1) for new in range(2, 101)))
_REVERSE = ((2, 3), *((1, old) for old in range(2, 101)))
_RATIOS = (*_SPLITS, *_REVERSE)
_SIZES = np.array([math.log(old / new) for new, old in _RATIOS])
LEAST_PRICE = 1.0
"""Nobody splits a share that costs less, and one step of its price may look like it."""
LEAST = 1.2
"""No ratio looked for moves the price by less."""
_HOUR = 3_600_000_000.0
_NIGHT = 4 * _HOUR


def gaps(bars: Mapping[str, Floats]) -> list[tuple[int, float, str]]:
    """The gaps, oldest first: at which bar, by what factor, and in words.

    ``bars``: price, open (NaN where unknown), high, low and volume, adjusted for the actions that are known,
    unexplained (whether the source has no corporate actions), and start and end (µs): the bars of a series that are
    read, in order. A session that has only begun is held against as many bars of those before.
    """
    price, start, end = bars["price"], bars["start"], bars["end"]
    opens = np.where(bars["open"] > 0, bars["open"], price)
    begins = (end[1:] - start[1:] > _HOUR) | (start[1:] - end[:-1] >= _NIGHT)
    firsts = np.concatenate([[0], np.flatnonzero(begins) + 1])
    factors = opens[firsts[1:]] / price[firsts[1:] - 1]
    large = np.maximum(factors, 1.0 / factors) >= LEAST
    found = []
    for session in np.flatnonzero(large & (bars["unexplained"][firsts[1:]] > 0)).tolist():
        bar, factor = int(firsts[session + 1]), float(factors[session])
        nearest = int(np.argmin(np.abs(_SIZES - math.log(factor))))
        near = abs(_SIZES[nearest] - math.log(factor)) <= NEAR and (factor > 1 or price[bar - 1] >= LEAST_PRICE)
        if factor >= NO_RISE or (near and _is_quiet(bars, firsts, session + 1, abs(_SIZES[nearest]))):
            new, old = (1, round(factor)) if factor >= NO_RISE else _RATIOS[nearest]
            found.append((bar, factor, _words(float(price[bar - 1]), float(opens[bar]), new, old)))
    return found


def is_inverse(factor: float, other: float) -> bool:
    """Whether the second gap takes the price back to before the first."""
    return abs(math.log(factor * other)) <= 2 * NEAR


def _is_quiet(bars: Mapping[str, Floats], firsts: Indices, session: int, size: float) -> bool:
    """Whether a session (the place of its first bar in ``firsts``) was traded as others are, as far as it has come."""
    bounds = np.append(firsts, len(bars["price"]))
    first, stop = bounds[session : session + 2].tolist()
    if math.log(bars["high"][first:stop].max() / bars["low"][first:stop].min()) > WIDEST:
        return False
    turnover = np.concatenate([[0.0], np.cumsum(bars["price"] * bars["volume"])])
    begun = bounds[max(session - USUAL_SESSIONS, 0) : session]
    ended = np.minimum(begun + (stop - first), bounds[max(session - USUAL_SESSIONS, 0) + 1 : session + 1])
    usual = float(np.median(turnover[ended] - turnover[begun]))
    most = BUSY if size >= math.log(1.5) - NEAR else BUSY_SMALL
    return bool(turnover[stop] - turnover[first] <= most * usual)


def _words(before: float, after: float, new: int, old: int) -> str:
    kind = "split" if new > old else "reverse split"
    shown = [f"{price:.2f}" if price >= 1 else f"{price:.4g}" for price in (before, after)]
    return (
        f"the price went from {shown[0]} to {shown[1]} overnight, as in a {kind} of {new} for {old}, and no corporate "
        "action is known: look at it"
    )
