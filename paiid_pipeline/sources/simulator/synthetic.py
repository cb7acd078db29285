"""A synthetic exchange that never closes: bars, headlines and corporate actions for any symbol and any moment.

Pure, with random access: every value is a function of the symbol and of the moment alone, through a 64-bit integer
hash (splitmix64), so that every process generates the same bits for every range. A day is generated whole, as a row of
1,440 minutes, and cut afterwards.

The log price at midnight is value noise in octaves of 1 to 1,024 days; within a day it is a Brownian bridge whose
volatility changes by five-day regimes, now and then with a jump. A daily bar is the aggregate of its minutes.
splitmix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

MINUTES = 1440
_EPOCH = date(1970, 1, 1)
_OCTAVES = 11
_DAILY_VOLATILITY = 0.015
_REGIME_DAYS = 5
_REGIMES = np.array([0.5, 1.0, 1.0, 2.0])
_CHUNK_DAYS = 64  # rows of minutes made at once: fits the cache of a small machine

_SPLIT_BLOCK = 1024  # days: a split forward in the first half, its reverse in the second
_SPLIT_RATIOS = (2.0, 3.0, 4.0, 7.0)
_DIVIDEND_PERIOD = 91  # days

# Streams of the hash, one a use, so that uses are independent.
(_BASE, _OCTAVE, _REGIME, _STEP, _OPEN, _HIGH, _LOW, _VOLUME, _GAP, _HALT, _JUMP, _SPLIT, _DIVIDEND, _ARTICLE) = range(
    14
)


@dataclass(frozen=True)
class Minutes:
    """Whole days of minutes, one row a (symbol, day): prices in dollars, and which minutes had no trade."""

    open: F64
    high: F64
    low: F64
    close: F64
    volume: F64
    traded: npt.NDArray[np.bool_]


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def symbol_key(symbol: str) -> int:
    """64 bits that stand for a symbol, the same in every process."""
    return int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8], "big")


def minutes(keys: U64, days: I64) -> Minutes:
    """Every minute of each (symbol key, day), shape (n, 1440), prices rounded to 1/100 of a cent."""
    path = _path(keys, days)
    opens, closes = path[:, :-1], path[:, 1:]
    volatility = (_volatility(keys, days) / np.sqrt(MINUTES))[:, None]
    slots = days[:, None] * MINUTES + np.arange(MINUTES)
    keyed = keys[:, None]
    opens = opens * (1.0 + 0.2 * volatility * (_uniform(keyed, _OPEN, slots) - 0.5))
    highs = np.maximum(opens, closes) * (1.0 + volatility * _uniform(keyed, _HIGH, slots))
    lows = np.minimum(opens, closes) * (1.0 - volatility * _uniform(keyed, _LOW, slots))
    ratio = _price_factor(keys, days)
    raw = ratio[:, None]
    activity = 1.0 + 40.0 * np.abs(np.diff(path, axis=1)) / path[:, :-1] / volatility / 40.0
    volume = np.floor(200.0 * activity * (0.2 + _uniform(keyed, _VOLUME, slots)) ** 3 / raw) + 1.0
    return Minutes(
        np.round(opens * raw, 4), np.round(highs * raw, 4), np.round(lows * raw, 4), np.round(closes * raw, 4),
        volume, _traded(keys, days, slots),
    )  # fmt: skip


def daily(symbol: str, first: int, last: int) -> dict[str, npt.NDArray[Any]]:
    """Daily bars of the days from ``first`` to ``last``, both included: day, open, high, low, close, volume, ...

    The open is the first traded minute's, the close the last's, high and low the extremes; ``vwap`` is the
    volume-weighted mean of the minutes' typical prices, ``trade_count`` their sum.
    """
    parts = []
    for begin in range(first, last + 1, _CHUNK_DAYS):
        days = np.arange(begin, min(begin + _CHUNK_DAYS, last + 1), dtype=np.int64)
        parts.append(_aggregate(days, minutes(np.full(days.size, symbol_key(symbol), np.uint64), days)))
    names = ("day", "open", "high", "low", "close", "volume", "vwap", "trade_count")
    if not parts:
        return {name: np.empty(0) for name in names}
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def typical(opens: F64, highs: F64, lows: F64, closes: F64) -> F64:
    """A minute's vwap: the mean of its open, high, low and close."""
    return np.round((opens + highs + lows + closes) / 4.0, 4)


def trades(volume: F64) -> I64:
    """A minute's number of trades."""
    return (volume / 40.0).astype(np.int64) + 1


def _aggregate(days: I64, bars: Minutes) -> dict[str, npt.NDArray[Any]]:
    rows = np.arange(days.size)
    begin = bars.traded.argmax(axis=1)
    end = MINUTES - 1 - bars.traded[:, ::-1].argmax(axis=1)
    volume = np.where(bars.traded, bars.volume, 0.0)
    total = volume.sum(axis=1)
    prices = typical(bars.open, bars.high, bars.low, bars.close)
    return {
        "day": days,
        "open": bars.open[rows, begin],
        "high": np.where(bars.traded, bars.high, -np.inf).max(axis=1),
        "low": np.where(bars.traded, bars.low, np.inf).min(axis=1),
        "close": bars.close[rows, end],
        "volume": total,
        "vwap": np.round((volume * prices).sum(axis=1) / total, 4),
        "trade_count": np.where(bars.traded, trades(bars.volume), 0).sum(axis=1),
    }


# --- the hash


def _mix(state: U64) -> U64:
    with np.errstate(over="ignore"):
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _bits(keys: U64, stream: int, index: I64) -> U64:
    """64 random bits for each (symbol, stream, index)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        seeds = _mix(keys + np.uint64(stream + 1) * golden)
        return _mix(seeds + (index.astype(np.uint64) + np.uint64(1)) * golden)


def _uniform(keys: U64, stream: int, index: I64) -> F64:
    """Uniform in [0, 1), 53 bits."""
    return (_bits(keys, stream, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _normal(keys: U64, stream: int, index: I64) -> F64:
    """Nearly normal, variance 1: the sum of four 16-bit uniforms (Irwin-Hall), within +-3.5."""
    bits = _bits(keys, stream, index)
    low = np.uint64(0xFFFF)
    total = (bits & low) + ((bits >> np.uint64(16)) & low) + ((bits >> np.uint64(32)) & low) + (bits >> np.uint64(48))
    normal: F64 = (total.astype(np.float64) / 65536.0 - 2.0) * 1.7320508075688772
    return normal


# --- prices


def _path(keys: U64, days: I64) -> F64:
    """The adjusted price at each minute's start and at the day's end, shape (n, 1441)."""
    begin, end = _midnight(keys, days), _midnight(keys, days + 1)
    slots = days[:, None] * MINUTES + np.arange(MINUTES)
    steps = _normal(keys[:, None], _STEP, slots) * (_volatility(keys, days) / np.sqrt(MINUTES))[:, None]
    rows, where, size = _jumps(keys, days)
    steps[rows, where] += size
    walk = np.zeros((days.size, MINUTES + 1))
    np.cumsum(steps, axis=1, out=walk[:, 1:])
    along = np.arange(MINUTES + 1) / MINUTES
    return np.exp(walk + begin[:, None] + (end - begin - walk[:, -1])[:, None] * along)


def _midnight(keys: U64, days: I64) -> F64:
    """The log of the adjusted price at the start of each day."""
    level: F64 = np.log(20.0) + 2.5 * _uniform(keys, _BASE, np.zeros(1, np.int64))
    for octave in range(_OCTAVES):
        period = 1 << octave
        knot, phase = days // period, (days % period) / period
        stream = _OCTAVE + 100 * (octave + 1)
        here, there = _normal(keys, stream, knot), _normal(keys, stream, knot + 1)
        level = level + _DAILY_VOLATILITY * 0.6 * np.sqrt(period) * (here + (there - here) * phase)
    return level


def _volatility(keys: U64, days: I64) -> F64:
    """The standard deviation of a day's log return in its regime."""
    regime = _bits(keys, _REGIME, days // _REGIME_DAYS) >> np.uint64(62)
    return _DAILY_VOLATILITY * _REGIMES[regime.astype(np.int64)]


def _jumps(keys: U64, days: I64) -> tuple[I64, I64, F64]:
    """On one day in sixteen, one minute moves by up to 4 %: the rows, the minutes and the sizes."""
    bits = _bits(keys, _JUMP, days)
    rows = np.flatnonzero((bits & np.uint64(15)) == 0)
    where = ((bits[rows] >> np.uint64(8)) % np.uint64(MINUTES)).astype(np.int64)
    size = ((bits[rows] >> np.uint64(32)).astype(np.float64) / 2.0**32 - 0.5) * 0.08
    return rows, where, size


def _traded(keys: U64, days: I64, slots: I64) -> npt.NDArray[np.bool_]:
    """All but one minute in 128, and on one day in eight a halt of up to half an hour."""
    traded = (_bits(keys[:, None], _GAP, slots) & np.uint64(127)) != 0
    bits = _bits(keys, _HALT, days)
    halted = (bits & np.uint64(7)) == 0
    begin = ((bits >> np.uint64(8)) % np.uint64(MINUTES)).astype(np.int64)
    length = 5 + ((bits >> np.uint64(32)) % np.uint64(26)).astype(np.int64)
    minute = np.arange(MINUTES)
    inside = (minute >= begin[:, None]) & (minute < (begin + length)[:, None])
    traded &= ~(inside & halted[:, None])
    return np.asarray(traded)


# --- corporate actions


def _split_plan(keys: U64, blocks: I64) -> tuple[F64, I64, I64]:
    """For each block of days: the ratio (1 where there is no split), and the days it comes and goes."""
    bits = _bits(keys, _SPLIT, blocks)
    ratios = np.array(_SPLIT_RATIOS)[((bits >> np.uint64(8)) % np.uint64(len(_SPLIT_RATIOS))).astype(np.int64)]
    ratio = np.where((bits & np.uint64(1)) == 0, ratios, 1.0)
    half = np.uint64(_SPLIT_BLOCK // 2)
    comes = blocks * _SPLIT_BLOCK + ((bits >> np.uint64(16)) % half).astype(np.int64)
    goes = blocks * _SPLIT_BLOCK + _SPLIT_BLOCK // 2 + ((bits >> np.uint64(32)) % half).astype(np.int64)
    return ratio, comes, goes


def _yield(keys: U64) -> F64:
    """The dividend of each period as a fraction of the price; 0 for six symbols in ten."""
    draw = _uniform(keys, _DIVIDEND, np.zeros(1, np.int64))
    return np.where(draw < 0.4, 0.002 + draw * 0.02, 0.0)


def _dividend_phase(keys: U64, days: I64) -> I64:
    """Days since the last ex-date."""
    offset = (_bits(keys, _DIVIDEND, np.ones(1, np.int64)) % np.uint64(_DIVIDEND_PERIOD)).astype(np.int64)
    return (days - offset) % _DIVIDEND_PERIOD


def _price_factor(keys: U64, days: I64) -> F64:
    """Raw over adjusted price of a day: divided by splits, raised by dividends until their ex-date."""
    ratio, comes, goes = _split_plan(keys, days // _SPLIT_BLOCK)
    split = np.where((days >= comes) & (days < goes), 1.0 / ratio, 1.0)
    due = _dividend_phase(keys, days) / (_DIVIDEND_PERIOD - 1)
    return split * (1.0 + _yield(keys) * due)


def actions(symbol: str, first: int, last: int) -> dict[str, list[dict[str, Any]]]:
    """Corporate actions with ex-days from ``first`` to ``last``, both included, in Alpaca's shape."""
    key = np.array([symbol_key(symbol)], np.uint64)
    found: dict[str, list[dict[str, Any]]] = {"forward_splits": [], "reverse_splits": [], "cash_dividends": []}
    for block in range(first // _SPLIT_BLOCK, last // _SPLIT_BLOCK + 1):
        ratio, comes, goes = (part[0] for part in _split_plan(key, np.array([block])))
        if ratio == 1.0:
            continue
        for day, kind, new, old in ((comes, "forward_splits", ratio, 1.0), (goes, "reverse_splits", 1.0, ratio)):
            if first <= day <= last:
                rates = {"new_rate": int(new), "old_rate": int(old)}
                found[kind].append({**_action(symbol, kind, int(day)), **rates})
    paid = _yield(key)[0]
    if paid > 0:
        days = np.arange(first, last + 1, dtype=np.int64)
        for day in days[_dividend_phase(key, days) == 0]:
            close = daily(symbol, int(day) - 1, int(day) - 1)["close"][0]
            amount = round(float(close * paid / (1.0 + paid)), 4)
            found["cash_dividends"].append({**_action(symbol, "cash_dividends", int(day)), "rate": amount})
    return found


def _action(symbol: str, kind: str, day: int) -> dict[str, Any]:
    text = (_EPOCH + timedelta(days=day)).isoformat()
    return {"id": f"{symbol}-{kind}-{text}", "symbol": symbol, "ex_date": text, "process_date": text}


# --- headlines

PUBLISHER = "synthetic-wire"

_PAIRS = (("AAPL", "MSFT"), ("NVDA", "GOOG"), ("JPM", "BAC"), ("AMZN", "DIS"), ("KO", "V"))
_TONES = {
    "positive": (
        "{symbol} shares climb {move} as strong demand beats expectations",
        "Analysts upgrade {symbol}, citing impressive growth and improving margins",
        "{symbol} posts record profit and raises its outlook",
        "{symbol} wins major contract; investors cheer the good news",
        "Confidence in {symbol} grows after a solid quarter",
    ),
    "negative": (
        "{symbol} shares drop {move} as weak sales disappoint investors",
        "Analysts downgrade {symbol} on fears of slowing growth",
        "{symbol} warns of losses and cuts its forecast",
        "{symbol} faces lawsuit over alleged fraud; shares under pressure",
        "Trouble at {symbol}: margins shrink and costs rise",
    ),
    "neutral": (
        "{symbol} to present at an industry conference next week",
        "{symbol} names a new head of investor relations",
        "What to know about {symbol} before the next report",
        "{symbol} schedules its annual meeting",
        "{symbol} trades {move} from an hour ago in quiet dealings",
    ),
}
_ABOUT_TWO = (
    "{a} gains ground on {b} as customers switch",
    "{a} and {b} announce a partnership on new products",
    "{a} loses market share to {b}, survey finds",
    "How {a} compares with {b}",
)


def news(symbols: Sequence[str], first: int, last: int) -> list[dict[str, Any]]:
    """Every version of the articles first published from day ``first`` to day ``last``, both included.

    Moments are datetimes. A headline leans, weakly, towards the move of the hour before it, never towards a later one.
    """
    days = np.arange(first, last + 1, dtype=np.int64)
    versions: list[dict[str, Any]] = []
    for symbol in dict.fromkeys(symbols):
        keys = np.full(days.size, symbol_key(symbol), np.uint64)
        paths, volatility = _path(keys, days), _volatility(keys, days)
        counts = 2 + (_bits(keys, _ARTICLE, days) % np.uint64(4)).astype(np.int64)
        for row, day in enumerate(days.tolist()):
            for number in range(int(counts[row])):
                draw = _Draw.of(symbol, day * 16 + number + 1)
                versions += _versions(draw, day, _headline(symbol, draw, paths[row], volatility[row]), [symbol])
    for pair in _PAIRS:
        if not set(pair).isdisjoint(symbols):
            for day in days.tolist():
                draw = _Draw.of("|".join(pair), day)
                a, b = pair if draw.fraction(40) < 0.5 else pair[::-1]
                versions += _versions(draw, day, draw.choice(_ABOUT_TWO, 20).format(a=a, b=b), list(pair))
    return versions


@dataclass(frozen=True)
class _Draw:
    """The 64 bits of one article: fields of twelve bits at an offset."""

    bits: int

    @staticmethod
    def of(about: str, index: int) -> _Draw:
        key = np.array([symbol_key(about)], np.uint64)
        return _Draw(int(_bits(key, _ARTICLE, np.array([index], np.int64))[0]))

    def fraction(self, offset: int) -> float:
        return ((self.bits >> offset) & 0xFFF) / 4096

    def choice(self, options: Sequence[str], offset: int) -> str:
        return options[int(self.fraction(offset) * len(options))]

    @property
    def second(self) -> int:
        """Second of the day."""
        return (self.bits * 86_400) >> 64


def _headline(symbol: str, draw: _Draw, path: F64, volatility: float) -> str:
    minute = draw.second // 60
    before = max(0, minute - 60)
    move = float(np.log(path[minute] / path[before]))
    lean = draw.fraction(0) + 0.25 * float(np.tanh(move / (volatility * 0.2)))
    tone = "positive" if lean > 0.65 else "negative" if lean < 0.35 else "neutral"
    return draw.choice(_TONES[tone], 20).format(symbol=symbol, move=f"{abs(move):.2%}")


def _versions(draw: _Draw, day: int, headline: str, symbols: list[str]) -> list[dict[str, Any]]:
    created = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day, seconds=draw.second)
    first = {
        "id": draw.bits >> 12,
        "headline": headline,
        "author": "Synthetic Newsdesk",
        "created_at": created,
        "updated_at": created,
        "summary": "",
        "content": "",
        "url": f"https://news.invalid/{draw.bits >> 12}",
        "images": [],
        "symbols": symbols,
        "source": PUBLISHER,
    }
    if draw.fraction(32) >= 0.12:
        return [first]
    later = created + timedelta(minutes=5 + int(draw.fraction(8) * 55))
    return [first, {**first, "updated_at": later, "headline": f"UPDATE: {headline}", "summary": "Adds detail."}]
