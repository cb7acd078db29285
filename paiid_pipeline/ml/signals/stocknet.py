"""The StockNet benchmark: next-day movement prediction from prices and tweets (Xu and Cohen 2018).

Protocol of "Stock Movement Prediction from Tweets and Historical Prices": a day is up where the adjusted close moves by
+0.55 % or more, down by -0.5 % or less, and else left out; inputs are the bars before the day and the posts of the
``LAG`` calendar days before it; training on 2014-01-01 to 2015-08-01, development on the two months after, test on
later rows, where the data has them.

The model is a ridge logistic regression on indicators, past returns, and the mean sentiment and number of posts, each
less its mean over all symbols on that day. The ridge is chosen by log-loss inside the training rows, walking forward
with a gap of ``LAG`` days.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from paiid_pipeline.arrays import Floats, Mask
from paiid_pipeline.ml.classification_metrics import Interval
from paiid_pipeline.signals.features import FEATURES
from paiid_pipeline.technicals.panel import indicator_panel

UP: Final = 0.0055
DOWN: Final = -0.005
LAG: Final = timedelta(days=5)
TRAIN: Final = (date(2014, 1, 1), date(2015, 8, 1))
DEVELOPMENT: Final = (date(2015, 8, 1), date(2015, 10, 1))
TEST: Final = (date(2015, 10, 1), date(2016, 1, 1))
PUBLISHED: Final = {"StockNet": (0.582, 0.081), "Adv-ALSTM": (0.572, 0.148)}
"""(accuracy, MCC) on ``TEST``, by Xu and Cohen 2018 and by Feng et al. 2019."""

BARS: Final = "bars/stocknet_daily.parquet"
POSTS: Final = "news/stocknet_tweets.parquet"
_NEEDED: Final = {
    BARS: ("symbol", "date", "open", "high", "low", "close", "adj_close", "volume"),
    POSTS: ("symbol", "created_at", "text"),
}

_SENTIMENT: Final = ("sentiment", "sentiment_disagreement", "heard")
PRICES: Final = (*(name for name in FEATURES if name not in _SENTIMENT), *(f"move_{back}" for back in range(5)), "gap")
POST_FEATURES: Final = ("post_sentiment", "post_sentiment_last", "post_sentiment_change", "posts", "posts_last")
VARIANTS: Final = {"prices and posts": PRICES + POST_FEATURES, "prices": PRICES, "posts": POST_FEATURES}

RIDGES: Final = (10.0, 100.0, 1000.0, 5000.0)
_FOLDS: Final = 5
_FURTHEST = 4.0
"""Standardised features are clipped to this."""

Score = Callable[[Sequence[str]], Sequence[float]]
"""Texts to sentiment scores in [-1, 1]."""


def read(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The bars and posts under a folder. Raises ValueError naming the file or column that is missing."""
    found = []
    for name, columns in _NEEDED.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path} does not exist: give the folder that holds {BARS} and {POSTS}")
        scan = pl.scan_parquet(path)
        if missing := set(columns) - set(scan.collect_schema()):
            raise ValueError(f"{path} has no column {', '.join(sorted(missing))}")
        found.append(scan.select(columns).drop_nulls().collect())
    return found[0], found[1]


def examples(bars: pl.DataFrame, posts: pl.DataFrame, score: Score) -> pl.DataFrame:
    """One row a symbol and day with a movement: symbol, day, up (bool), move (the previous day's return), features.

    ``bars``: symbol, date, prices, adj_close and volume; ``posts``: symbol, created_at (UTC) and text.
    """
    rows = _movements(bars)
    texts = posts["text"].unique(maintain_order=True)
    scored = pl.DataFrame({"text": texts, "score": pl.Series(score(texts.to_list()), dtype=pl.Float64)})
    scored_posts = posts.join(scored, on="text").select("symbol", "score", posted=pl.col("created_at").dt.date())
    return _relative(_with_posts(rows, scored_posts))


def _movements(bars: pl.DataFrame) -> pl.DataFrame:
    """The days with a movement, with features of the bars before each."""
    whole = pl.col("adj_close") / pl.col("close")
    adjusted = (
        bars.sort("symbol", "date")
        .select(
            "symbol",
            "date",
            "volume",
            open=pl.col("open") * whole,
            high=pl.max_horizontal("open", "high", "close") * whole,
            low=pl.min_horizontal("open", "low", "close") * whole,
            close=pl.col("adj_close"),
        )
        .unique(["symbol", "date"], keep="last", maintain_order=True)
    )
    before = pl.col("close").shift().over("symbol")
    panel = indicator_panel(adjusted, ["symbol"]).with_columns(
        move=pl.col("close") / before - 1.0, gap=pl.col("open") / before - 1.0
    )
    known = {name: FEATURES[name] for name in PRICES if name in FEATURES}
    calm = pl.col("move") / pl.col("volatility_20")
    moves = {f"move_{back}": calm.shift(back).over("symbol") for back in range(5)}
    coming = pl.col("move").shift(-1).over("symbol")
    rows = panel.select(
        "symbol",
        "move",
        "gap",
        last="date",
        day=pl.col("date").shift(-1).over("symbol"),
        coming=coming,
        **known,
        **moves,
    )
    return rows.filter((pl.col("coming") >= UP) | (pl.col("coming") <= DOWN)).with_columns(up=pl.col("coming") >= UP)


def _with_posts(rows: pl.DataFrame, posts: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with sentiment and number of the posts in the ``LAG`` days before, and since the last session."""
    keys = ["symbol", "day"]
    near = rows.select(*keys, "last").join(posts, on="symbol")
    near = near.filter((pl.col("posted") >= pl.col("day") - LAG) & (pl.col("posted") < pl.col("day")))
    latest = pl.col("posted") >= pl.col("last")
    aggregated = near.group_by(keys).agg(
        post_sentiment=pl.col("score").mean(),
        post_sentiment_last=pl.col("score").filter(latest).mean(),
        posts=pl.len(),
        posts_last=latest.sum(),
    )
    counts = [pl.col(name).fill_null(0).cast(pl.Float64).log1p() for name in ("posts", "posts_last")]
    joined = rows.join(aggregated, on=keys, how="left", maintain_order="left").with_columns(*counts)
    return joined.with_columns(post_sentiment_change=pl.col("post_sentiment_last") - pl.col("post_sentiment"))


def _relative(rows: pl.DataFrame) -> pl.DataFrame:
    """Each feature less its cross-sectional mean of the day, known before the day began."""
    features = VARIANTS["prices and posts"]
    relative = (pl.col(name).fill_nan(None) - pl.col(name).fill_nan(None).mean().over("day") for name in features)
    return rows.sort("day", "symbol").select("symbol", "day", "up", "move", *relative)


@dataclass(frozen=True)
class Measured:
    """Metrics of a forecast; intervals by bootstrap over days."""

    accuracy: Interval
    mcc: Interval


@dataclass(frozen=True)
class StockNetReport:
    """By span (train, development, test) and forecast; without spans that have no rows."""

    rows: Mapping[str, int]
    days: Mapping[str, int]
    rising: Mapping[str, float]
    """The fraction of rows that are up."""
    ridges: Mapping[str, float]
    measured: Mapping[str, Mapping[str, Measured]]


def measure(rows: pl.DataFrame, seed: int = 0) -> StockNetReport:
    """Train on the training rows and evaluate on the later ones. Raises ValueError where there are too few."""
    day = rows["day"].to_numpy()
    train = _within(day, TRAIN)
    if len(np.unique(day[train])) < 10 * _FOLDS:
        raise ValueError(f"{train.sum()} movements from {TRAIN[0]} to {TRAIN[1]} are too few to learn from")
    up = rows["up"].to_numpy()
    held = {"train": train, "development": _within(day, DEVELOPMENT), "test": _within(day, TEST)}
    ridges: dict[str, float] = {}
    measured: dict[str, dict[str, Measured]] = {}
    for name, columns in VARIANTS.items():
        values = rows.select(columns).to_numpy().astype(np.float64)
        ridges[name] = _best_ridge(values, up, day, train)
        for span, start in (("development", DEVELOPMENT[0]), ("test", TEST[0])):
            if held[span].any():
                fitted = (day >= np.datetime64(TRAIN[0])) & (day < np.datetime64(start - LAG))
                forecast = _forecast(values, up, fitted, held[span], ridges[name])
                measured.setdefault(span, {})[name] = _measured(forecast, up[held[span]], day[held[span]], seed)
    for span, forecasts in measured.items():
        where = held[span]
        usual = np.full(int(where.sum()), bool(up[train].mean() >= 0.5))
        rose = rows["move"].to_numpy()[where] > 0
        plain = {"the usual side": usual, "the last move goes on": rose, "the last move turns": ~rose}
        forecasts |= {name: _measured(each, up[where], day[where], seed) for name, each in plain.items()}
    present = {span: where for span, where in held.items() if where.any()}
    return StockNetReport(
        rows={span: int(where.sum()) for span, where in present.items()},
        days={span: len(np.unique(day[where])) for span, where in present.items()},
        rising={span: float(up[where].mean()) for span, where in present.items()},
        ridges=ridges,
        measured=measured,
    )


def _within(day: npt.NDArray[np.datetime64], span: tuple[date, date]) -> Mask:
    found: Mask = (day >= np.datetime64(span[0])) & (day < np.datetime64(span[1]))
    return found


def _best_ridge(values: Floats, up: Mask, day: npt.NDArray[np.datetime64], train: Mask) -> float:
    """The ridge with the least log loss, walking forward through the training days."""
    blocks = np.array_split(np.unique(day[train]), _FOLDS)
    losses = np.zeros(len(RIDGES))
    for block in blocks[1:]:
        fitted = train & (day < block[0] - np.timedelta64(LAG))
        validated = train & (day >= block[0]) & (day <= block[-1])
        for place, ridge in enumerate(RIDGES):
            shares = _shares(values, up, fitted, ridge)[validated]
            losses[place] -= np.mean(np.log(np.where(up[validated], shares, 1.0 - shares)))
    return RIDGES[int(np.argmin(losses))]


def _forecast(values: Floats, up: Mask, fitted: Mask, predicted: Mask, ridge: float) -> Mask:
    """Up where P(up) exceeds the training quantile that makes as many training rows up as there are."""
    shares = _shares(values, up, fitted, ridge)
    level = np.quantile(shares[fitted], 1.0 - up[fitted].mean())
    found: Mask = shares[predicted] > level
    return found


def _shares(values: Floats, up: Mask, fitted: Mask, ridge: float) -> Floats:
    """P(up) of every row (n,) by logistic regression fitted on the rows ``fitted``; standardised on them, missing 0."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = np.nanmean(values[fitted], axis=0), np.nanstd(values[fitted], axis=0)
    scaled = np.clip((values - mean) / np.where(spread > 0, spread, 1.0), -_FURTHEST, _FURTHEST)
    inputs = np.nan_to_num(scaled)
    model = LogisticRegression(C=1.0 / ridge, solver="newton-cholesky", tol=1e-12)
    shares: Floats = model.fit(inputs[fitted], up[fitted]).predict_proba(inputs)[:, 1]
    return shares


def _measured(forecast: Mask, up: Mask, day: npt.NDArray[np.datetime64], seed: int, draws: int = 2000) -> Measured:
    """Accuracy and MCC with 95 % intervals by bootstrap over days, since a day's symbols move together."""
    _, which = np.unique(day, return_inverse=True)
    outcomes = np.column_stack([up & forecast, ~up & ~forecast, ~up & forecast, up & ~forecast])
    counts = np.zeros((which.max() + 1, 4))
    np.add.at(counts, which, outcomes)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(counts), np.full(len(counts), 1.0 / len(counts)), draws)
    drawn, whole = times.astype(np.float64) @ counts, counts.sum(axis=0, keepdims=True)
    return Measured(*(_interval(of(whole)[0], of(drawn)) for of in (_accuracy, _mcc)))


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(value), float(low), float(high))


def _accuracy(counts: Floats) -> Floats:
    right: Floats = counts[:, :2].sum(axis=1) / np.maximum(counts.sum(axis=1), 1.0)
    return right


def _mcc(counts: Floats) -> Floats:
    """Matthews correlation (draws,) of counts (draws, 4): TP, TN, FP, FN; 0 where only one side was forecast."""
    right_up, right_down, wrong_up, wrong_down = counts.T
    sides = (right_up + wrong_up) * (right_up + wrong_down) * (right_down + wrong_up) * (right_down + wrong_down)
    found: Floats = np.divide(
        right_up * right_down - wrong_up * wrong_down, np.sqrt(sides), out=np.zeros(len(counts)), where=sides > 0
    )
    return found
