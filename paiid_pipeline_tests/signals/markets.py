"""Daily bars and signals to backtest: sessions from 14:30 to 21:00 UTC, decisions at the close."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from paiid_pipeline.schemas import MOMENT, SIGNALS, STORED_BARS, STORED_CORPORATE_ACTIONS

FIRST = datetime(2012, 1, 2, 14, 30, tzinfo=UTC)
SESSION = timedelta(hours=6, minutes=30)
DAY = timedelta(days=1)


def daily_bars(symbol: str, opens: Sequence[float | None], closes: Sequence[float | None]) -> pl.DataFrame:
    """One bar a day from FIRST on; none where the open is None."""
    starts = [FIRST + DAY * step for step in range(len(opens))]
    rows = [
        (
            symbol,
            "1Day",
            start,
            start + SESSION,
            o,
            max(o, c),
            min(o, c),
            c,
            1e6,
            None,
            None,
            "test",
            start + SESSION,
            True,
        )
        for start, o, c in zip(starts, opens, closes, strict=True)
        if o is not None and c is not None
    ]
    return pl.DataFrame(rows, schema=STORED_BARS, orient="row")


def random_bars(symbols: int, days: int, seed: int = 0, drift: float = 0.0) -> pl.DataFrame:
    """Random walks with gaps between close and open."""
    steps = np.random.default_rng(seed).normal(drift, 0.01, (symbols, days, 2))
    prices = 100 * np.exp(np.cumsum(steps.reshape(symbols, -1), axis=1)).reshape(symbols, days, 2)
    starts = pl.Series([FIRST + DAY * step for step in range(days)], dtype=MOMENT)
    ends = starts + SESSION
    frames = [
        pl.DataFrame({"bar_start": starts, "bar_end": ends, "open": prices[i, :, 0], "close": prices[i, :, 1]})
        for i in range(symbols)
    ]
    frame = pl.concat(part.with_columns(symbol=pl.lit(f"S{i:03d}")) for i, part in enumerate(frames))
    ends = ("open", "close")
    return frame.with_columns(
        timeframe=pl.lit("1Day"), high=pl.max_horizontal(ends) * 1.002, low=pl.min_horizontal(ends) * 0.998
    )


def signals(symbol: str, strengths: Sequence[float | None], fraction: float | None = None) -> pl.DataFrame:
    """One decision at the close of each day from FIRST on; none where the strength is None."""
    rows = [(symbol, FIRST + SESSION + DAY * step, s) for step, s in enumerate(strengths) if s is not None]
    frame = pl.DataFrame(rows, schema={"symbol": pl.String, "as_of": MOMENT, "strength": pl.Float64}, orient="row")
    return signals_of(frame, fraction)


def signals_of(decisions: pl.DataFrame, fraction: float | None = None) -> pl.DataFrame:
    """symbol, as_of and strength made into `schemas.SIGNALS`."""
    strength = pl.col("strength")
    side = pl.when(strength >= 0.15).then(pl.lit("BUY")).when(strength <= -0.15).then(pl.lit("SELL"))
    given = {
        "horizon": pl.lit("daily"),
        "engine": pl.lit("rules"),
        "signal": side.otherwise(pl.lit("HOLD")),
        "confidence": strength.abs(),
        "position_fraction": pl.lit(fraction, dtype=pl.Float64),
    }
    missing = {name: pl.lit(None, dtype=kind) for name, kind in SIGNALS.items() if name not in decisions.columns}
    return decisions.with_columns(**{**missing, **given}).select(SIGNALS.keys())


def action(symbol: str, kind: str, day: int, ratio: float | None = None, amount: float | None = None) -> pl.DataFrame:
    """A split or dividend, effective before the session of a day."""
    at = FIRST.replace(hour=5, minute=0) + DAY * day
    row = ("a1", symbol, kind, date(2012, 1, 2) + DAY * day, at, ratio, amount, "test", at - DAY, True)
    return pl.DataFrame([row], schema=STORED_CORPORATE_ACTIONS, orient="row")
