"""A check for look-ahead that any pipeline function can be held to, and random histories to hold it to.

It is one check for all leaks: what a pipeline says of a decision must not change, by a single bit, when
every row that was not known at that decision is taken away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from paiid_pipeline.schemas import (
    DECISIONS,
    PRIOR_POSITIONS,
    STORED_ARTICLE_SENTIMENT,
    STORED_BARS,
    STORED_CORPORATE_ACTIONS,
    STORED_NEWS,
    empty,
)
from paiid_pipeline.sentiment.aggregate import aggregate
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.signals.risk import RiskInputs
from paiid_pipeline.signals.rules import load_rules
from paiid_pipeline.technicals.decision_indicators import decide_indicators

OPEN = datetime(2014, 6, 9, 0, 0, tzinfo=UTC)
DECISION_LAG = timedelta(seconds=15)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MAX_AGE = {"intraday": timedelta(minutes=15), "daily": timedelta(0)}
RULES = load_rules()
WORDS = ["gain", "profit", "loss", "fraud", "great", "bad", "the", "shares", "report", "NOT", "very", "risk"]


@dataclass(frozen=True)
class History:
    """Everything that was ever stored (`schemas.STORED_*`), and the decisions to make from it."""

    bars: pl.DataFrame
    actions: pl.DataFrame
    news: pl.DataFrame
    decisions: pl.DataFrame
    prior_positions: pl.DataFrame = field(default_factory=lambda: empty(PRIOR_POSITIONS))
    """The stored positions of the decisions before these."""

    def as_known_by(self, moment: datetime, signals: pl.DataFrame) -> History:
        """What had been stored by then, of ``signals`` those made before then, and the decisions of then."""
        stored = (frame.filter(pl.col("known_at") <= moment) for frame in (self.bars, self.actions, self.news))
        earlier = signals.filter(pl.col("as_of") < moment - DECISION_LAG)
        return History(
            *stored, self.decisions.filter(pl.col("known_by") == moment), earlier.select(PRIOR_POSITIONS.keys())
        )


Output = dict[str, pl.DataFrame]
Pipeline = Callable[[History], Output]


def decide_all(history: History) -> Output:
    """The pure part of the whole path, as the assets wire it; a score is known when its article is."""
    indicators, withheld = decide_indicators(history.bars, history.actions, history.decisions, MAX_AGE)
    versions = history.news.select("article_id", "content_hash", "known_at", "nominal")
    scores = SentimentAnalyzer().score_articles(history.news)
    scores = scores.join(versions, on=["article_id", "content_hash"]).select(STORED_ARTICLE_SENTIMENT.keys())
    sentiment = aggregate(scores, history.decisions, timedelta(days=3), timedelta(hours=12))
    signals, undecided = SignalGenerator(RULES).decide(
        indicators, sentiment, RiskInputs(history.prior_positions, history.actions)
    )
    return {
        "indicators": indicators,
        "withheld": withheld,
        "sentiment": sentiment,
        "signals": signals,
        "undecided": undecided,
    }


def leaks(pipeline: Pipeline, history: History) -> list[str]:
    """Where ``pipeline`` says of a decision something else than it said then; empty for an honest one."""
    output = pipeline(history)
    full = {name: _by_decision(frame) for name, frame in output.items()}
    found = []
    for moment in history.decisions["known_by"].unique().sort():
        then = history.as_known_by(moment, output["signals"])
        asked = then.decisions.select("symbol", "horizon", "as_of").rows()
        for name, frame in pipeline(then).items():
            alone = _by_decision(frame)
            found += [f"{name} of {key}" for key in asked if alone.get(key) != full[name].get(key)]
    return found


def _by_decision(frame: pl.DataFrame) -> dict[tuple[object, ...], list[str]]:
    """The rows of each decision; ``repr`` of a float tells every bit of it."""
    rows: dict[tuple[object, ...], list[str]] = {}
    for row in frame.iter_rows(named=True):
        rows.setdefault((row["symbol"], row["horizon"], row["as_of"]), []).append(repr(row))
    return rows


def random_history(seed: int, symbols: int = 2, decisions: int = 6) -> History:
    """Bars with gaps, late and restated rows, splits, dividends and edited articles, over two horizons.

    Intraday: minute bars from before the open of one session, a decision every five minutes. Daily:
    days without a gap between them (a bar starts at the very moment of the decision on the one before).
    """
    rng = np.random.default_rng(seed)
    names = [f"S{i}" for i in range(symbols)]
    starts = [OPEN + MINUTE * i for i in range(-300, 5 * decisions + 5)]
    intraday = [_bars(rng, name, "1Min", starts, MINUTE) for name in names]
    days = [OPEN + DAY * i for i in range(-280, 3)]
    daily = [_bars(rng, name, "1Day", days, DAY) for name in names]
    return History(
        bars=pl.concat(intraday + daily).sample(fraction=1.0, shuffle=True, seed=seed),
        actions=_actions(rng, names),
        news=_news(rng, names),
        decisions=_decisions(names, decisions),
    )


def _decisions(names: list[str], count: int) -> pl.DataFrame:
    rows = []
    for name in names:
        for step in range(1, count + 1):
            moment = OPEN + timedelta(minutes=5) * step
            anchor = OPEN - timedelta(minutes=290)
            rows.append((name, "intraday", moment, moment + DECISION_LAG, OPEN.date(), OPEN, anchor))
        for day in (-1, 0, 1, 2):
            opens = OPEN + DAY * day
            rows.append(
                (name, "daily", opens + DAY, opens + DAY + DECISION_LAG, opens.date(), opens, opens - DAY * 270)
            )
    return pl.DataFrame(rows, schema=DECISIONS, orient="row")


def _bars(
    rng: np.random.Generator, symbol: str, timeframe: str, starts: list[datetime], length: timedelta
) -> pl.DataFrame:
    closes = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(starts)))), 2)
    rows = []
    for start, close in zip(starts, closes.tolist(), strict=True):
        if rng.random() < 0.01:
            continue
        end = start + length
        delay = timedelta(seconds=float(rng.choice([0, 5, 14, 40, 400, 4000], p=[0.5, 0.25, 0.15, 0.04, 0.04, 0.02])))
        rows.append((symbol, timeframe, start, end, close, end + delay))
        if rng.random() < 0.02:
            restated = round(close * float(rng.uniform(0.9, 1.1)), 2)
            rows.append((symbol, timeframe, start, end, restated, end + delay + length * float(rng.uniform(0.1, 20))))
    frame = pl.DataFrame(
        rows, orient="row", schema=["symbol", "timeframe", "bar_start", "bar_end", "close", "known_at"]
    )
    reach = pl.Series(rng.uniform(0, 0.02, frame.height))
    volume = pl.Series(np.round(rng.lognormal(5, 1, frame.height)) * (rng.random(frame.height) > 0.05))
    frame = frame.with_columns(
        open=pl.col("close"), high=pl.col("close") * (1 + reach), low=pl.col("close") * (1 - reach), volume=volume
    )
    vwap = pl.when(pl.Series(rng.random(frame.height) < 0.8)).then((pl.col("high") + pl.col("low")) * 0.5)
    extras = {"trade_count": None, "source": "test", "nominal": False}
    return frame.with_columns(vwap=vwap, **{k: pl.lit(v) for k, v in extras.items()}).select(
        pl.col(name).cast(kind) for name, kind in STORED_BARS.items()
    )


def _actions(rng: np.random.Generator, names: list[str]) -> pl.DataFrame:
    rows = []
    for number in range(4 * len(names)):
        symbol = names[number % len(names)]
        ex = OPEN + DAY * int(rng.integers(-40, 3))
        known = OPEN + timedelta(hours=float(rng.uniform(-900, 48))) if rng.random() < 0.5 else ex - DAY * 5
        if rng.random() < 0.25:
            known = OPEN + timedelta(minutes=float(rng.uniform(0, 30)))
        split = rng.random() < 0.5
        ratio, amount = (float(rng.choice([2.0, 7.0, 0.05])), None) if split else (None, float(rng.uniform(0.1, 3)))
        kind = "split" if split else "cash_dividend"
        rows.append((f"a{number}", symbol, kind, ex.date(), ex, ratio, amount, "test", known, False))
        if rng.random() < 0.3:
            later = known + timedelta(hours=float(rng.uniform(0, 30)))
            rows.append((f"a{number}", symbol, kind, ex.date(), ex, ratio and ratio * 2, amount, "test", later, False))
    return pl.DataFrame(rows, schema=STORED_CORPORATE_ACTIONS, orient="row")


def _news(rng: np.random.Generator, names: list[str]) -> pl.DataFrame:
    rows = []
    for number in range(30 * len(names)):
        published = OPEN + timedelta(minutes=float(rng.uniform(-3000, 3000)))
        if rng.random() < 0.5:
            published = OPEN + timedelta(minutes=float(rng.uniform(-60, 60)))
        updated = published + timedelta(minutes=float(rng.choice([0, 3, 20, 300])))
        for version in range(int(rng.integers(1, 4))):
            headline = " ".join(rng.choice(WORDS, 5))
            moment = updated + timedelta(minutes=7 * version)
            symbols = [str(s) for s in rng.choice(names, int(rng.integers(1, len(names) + 1)), replace=False)]
            content = f"{headline}|{symbols}"
            rows.append((f"n{number}", published, moment, "test", headline, "", "", symbols, content, moment, False))
    return pl.DataFrame(rows, schema=STORED_NEWS, orient="row").unique(["article_id", "content_hash"], keep="first")


def flat_day() -> date:
    """The day of the intraday session."""
    return OPEN.date()
