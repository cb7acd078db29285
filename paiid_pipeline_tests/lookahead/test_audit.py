"""The audit for look-ahead: silent on honest pipelines, and each planted leak named with its column and moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from paiid_pipeline.decisions import decision_grid
from paiid_pipeline.lookahead.audit import (
    ELSEWHERE,
    RECOMPUTED,
    ROUNDED,
    ROW,
    STORED,
    UNKNOWN,
    AuditReport,
    audit,
    audit_scores,
    too_early,
)
from paiid_pipeline.lookahead.decision_path import History, Output, decision_path
from paiid_pipeline.ml.signals.engines import rule_engine
from paiid_pipeline.schemas import MOMENT, STORED_ARTICLE_SENTIMENT, STORED_BARS, STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.base import Prediction, SentimentModel, TextInput
from paiid_pipeline.sentiment.ensemble import EnsembleWeights, select_models
from paiid_pipeline.settings import load_settings
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline_tests.lookahead.histories import random_history

PIPELINE = decision_path(load_settings({}), rule_engine(load_settings({})))
BAR = ["symbol", "timeframe", "bar_start"]
Plant = Callable[[History], Output]


def history(seed: int) -> History:
    """A random history of all that a warehouse would hold, the scores known when their articles are."""
    stored = random_history(seed)
    versions = stored.news.select("article_id", "content_hash", "known_at", "nominal")
    scores = SentimentAnalyzer().score_articles(stored.news).join(versions, on=["article_id", "content_hash"])
    return History(stored.bars, stored.actions, scores.select(STORED_ARTICLE_SENTIMENT.keys()), stored.decisions)


def on_bars(*columns: pl.Expr) -> Plant:
    def plant(history: History) -> Output:
        bars = history.bars.sort(*BAR, "known_at").with_columns(*columns)
        return PIPELINE(History(bars, history.actions, history.scores, history.decisions))

    return plant


_DAILY = pl.col("timeframe") == "1Day"


def early(moment: str, by: pl.Expr) -> tuple[pl.Expr, ...]:
    return tuple(pl.when(_DAILY).then(by).otherwise(name).alias(name) for name in ("bar_end", moment))


shifted = on_bars(pl.col("close").shift(-1).over("symbol", "timeframe"))
"""shift(-1): each bar carries the close of the next."""
at_its_start = on_bars(*early("known_at", pl.col("bar_start")))
"""A daily bar counts from its start."""
same_bar = on_bars(*(pl.col(name) - timedelta(minutes=5) for name in ("bar_end", "known_at")))
"""The bar that is still open at the decision counts as ended."""
restated_at_once = on_bars(pl.col("close").last().over(BAR), pl.col("volume").last().over(BAR))
"""A restated bar counts from the first."""
centred = on_bars(pl.col("close").rolling_mean(3, center=True, min_samples=1).over("symbol", "timeframe"))
"""A centred window smooths with the future."""
scaled = on_bars(pl.col("close") / pl.col("close").mean().over("symbol", "timeframe") * 100.0)
"""A scaler fitted on all of history."""


def news_before_it_is_known(history: History) -> Output:
    scores = history.scores.with_columns(known_at=pl.col("published_at"))
    newest = scores.unique(["article_id", "symbol"], keep="last", maintain_order=True)
    return PIPELINE(History(history.bars, history.actions, newest, history.decisions))


def on_features(*columns: pl.Expr) -> Plant:
    def plant(history: History) -> Output:
        made = PIPELINE(history)
        rows = made["features"].sort("symbol", "horizon", "as_of").with_columns(*columns)
        return {**made, "features": rows}

    return plant


_RSI = pl.col("rsi")
features_shifted = on_features(_RSI.shift(-1).over("symbol", "horizon"))
features_scaled = on_features((_RSI - _RSI.mean()) / _RSI.std())
features_centred = on_features(_RSI.rolling_mean(3, center=True, min_samples=1).over("symbol", "horizon"))
features_ranked = on_features(_RSI.rank().over("horizon"))


@pytest.mark.parametrize("seed", range(4))
def test_an_honest_pipeline_shows_no_difference_and_the_report_says_what_it_covered(seed: int) -> None:
    whole = history(seed)
    report = audit(PIPELINE, whole, whole.decisions, PIPELINE(whole))
    assert report.differences == []
    assert report.first is None
    assert report.decisions == whole.decisions.height == 20
    assert report.rows[f"symbol_sentiment, {RECOMPUTED}"] == report.rows[f"symbol_sentiment, {STORED}"] == 20
    assert report.rows[f"technical_indicators, {RECOMPUTED}"] > 5
    assert report.rows[f"features, {RECOMPUTED}"] == report.rows[f"technical_indicators, {RECOMPUTED}"]
    assert report.values > 20 * 12 * 2
    assert report.notes == {}


@pytest.mark.parametrize(
    ("plant", "table"),
    [
        (shifted, "technical_indicators"),
        (at_its_start, "technical_indicators"),
        (same_bar, "technical_indicators"),
        (restated_at_once, "technical_indicators"),
        (centred, "technical_indicators"),
        (scaled, "technical_indicators"),
        (news_before_it_is_known, "symbol_sentiment"),
        (features_shifted, "features"),
        (features_scaled, "features"),
        (features_centred, "features"),
        (features_ranked, "features"),
    ],
    ids=[
        "shift(-1)",
        "as-of join on bar start",
        "same bar",
        "restated data",
        "centred window",
        "global scaler",
        "news",
        "features: shift(-1)",
        "features: global scaler",
        "features: centred window",
        "features: rank over all dates",
    ],
)
def test_a_planted_leak_is_caught_and_named(plant: Plant, table: str) -> None:
    for seed in range(3):
        whole = history(seed)
        first = audit(plant, whole, whole.decisions).first
        assert first is not None, seed
        assert first.table == table
        assert (first.against, first.then != first.otherwise) == (RECOMPUTED, True)
        decided = whole.decisions.select(
            "symbol", "horizon", pl.col("as_of").map_elements(lambda m: m.isoformat(), pl.String)
        )
        assert (first.symbol, first.horizon, first.as_of) in decided.rows()


def test_only_the_sampled_decisions_are_looked_at() -> None:
    whole = history(0)
    sample = whole.decisions.sample(5, seed=1)
    report = audit(shifted, whole, sample)
    assert report.decisions == 5
    keys = set(sample.select("symbol", "horizon").rows())
    assert {(found.symbol, found.horizon) for found in report.differences} <= keys


def test_a_stored_row_that_was_changed_is_named_with_both_values() -> None:
    """Every bit counts: the rsi moved by one unit in the last place, in one row."""
    whole = history(0)
    made = dict(PIPELINE(whole))
    rows = made["technical_indicators"]
    target = rows.row(3, named=True)
    moved = pl.when(pl.int_range(pl.len()) == 3).then(pl.col("rsi_14") * (1 + 2e-16)).otherwise("rsi_14")
    report = audit(PIPELINE, whole, whole.decisions, {**made, "technical_indicators": rows.with_columns(moved)})
    (found,) = report.differences
    assert (found.table, found.column, found.symbol) == ("technical_indicators", "rsi_14", target["symbol"])
    assert (found.against, found.then) == (STORED, repr(target["rsi_14"]))
    assert str(found).startswith(f"technical_indicators.rsi_14 of {target['symbol']}")


def test_a_stored_row_of_a_withheld_decision_is_a_difference() -> None:
    whole = next(found for found in map(history, range(20)) if PIPELINE(found)["withheld"].height)
    made = dict(PIPELINE(whole))
    withheld = made["withheld"].row(0, named=True)
    key = {name: withheld[name] for name in ("symbol", "horizon", "as_of")}
    invented = made["signals"].head(1).with_columns(**{name: pl.lit(value) for name, value in key.items()})
    invented = invented.cast(made["signals"].schema)  # type: ignore[arg-type]
    report = audit(PIPELINE, whole, whole.decisions, {"signals": pl.concat([made["signals"], invented])})
    (found,) = report.differences
    assert (found.table, found.column, found.symbol) == ("signals", ROW, withheld["symbol"])


def test_what_cannot_be_compared_is_counted() -> None:
    """Rows of another version, rows that are not there, and columns that came later."""
    whole = history(0)
    made = dict(PIPELINE(whole))
    count = made["signals"].height
    other = made["signals"].with_columns(model_version=pl.lit("before"), strength=pl.lit(0.0))
    narrow = made["technical_indicators"].with_columns(rsi_14=pl.lit(None, dtype=pl.Float64))
    stored = {"signals": other, "technical_indicators": narrow, "symbol_sentiment": made["symbol_sentiment"].clear()}
    report = audit(PIPELINE, whole, whole.decisions, stored)
    assert report.differences == []
    assert report.notes == {
        "signals: stored by another version": count,
        "technical_indicators.rsi_14: not filled in any stored row": narrow.height,
        "symbol_sentiment: not stored": whole.decisions.height,
    }


def test_json_is_compared_by_what_it_says() -> None:
    whole = history(0)
    made = dict(PIPELINE(whole))
    spaced = made["signals"].with_columns(pl.col("reasons").str.replace_all('":', '" : '))
    assert audit(PIPELINE, whole, whole.decisions, {"signals": spaced}).differences == []
    changed = made["signals"].with_columns(pl.col("reasons").str.replace_all("RSI", "rsi"))
    assert {found.column for found in audit(PIPELINE, whole, whole.decisions, {"signals": changed}).differences} == {
        "reasons"
    }


def test_bars_that_were_known_too_early_are_named() -> None:
    bars = history(0).bars
    assert too_early(bars).differences == []
    early_bar = bars.with_columns(known_at=pl.when(pl.int_range(pl.len()) == 7).then("bar_start").otherwise("known_at"))
    (found,) = too_early(early_bar).differences
    assert (found.column, found.symbol) == ("known_at", bars["symbol"][7])
    backwards = bars.head(1).with_columns(bar_end=pl.col("bar_start"))
    assert [found.column for found in too_early(backwards).differences] == ["bar_end"]


def scored(seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The scores of a random history, by VADER alone, and all wordings of its articles."""
    scores = history(seed).scores
    return scores.filter(pl.col("model") == SentimentAnalyzer.model), random_history(seed).news


def test_texts_scored_again_give_the_stored_bits_and_a_score_of_other_words_shows() -> None:
    scores, news = scored(0)
    report = audit_scores(scores, news, SentimentAnalyzer())
    assert (report.differences, report.notes) == ([], {})
    assert report.rows == {"article_sentiment, stored": scores.height}
    assert scores.height > 50
    worded = news.with_columns(
        headline=pl.when(pl.int_range(pl.len()) == 5).then(pl.lit("fraud and loss")).otherwise("headline")
    )
    wrong = audit_scores(scores, worded, SentimentAnalyzer())
    assert {found.table for found in wrong.differences} == {"article_sentiment"}
    assert wrong.first is not None
    assert wrong.first.column == "score"
    assert wrong.first.horizon == news["article_id"][5]
    moved = scores.with_columns(confidence=pl.col("confidence") * (1 + 2e-16))
    assert {found.column for found in audit_scores(moved, news, SentimentAnalyzer()).differences} == {"confidence"}


def test_a_score_of_a_wording_that_was_not_known_yet_is_named() -> None:
    """The leak of an edited article: its later words counted from its first publication."""
    scores, news = scored(1)
    early = scores.with_columns(known_at=pl.col("published_at"))
    found = audit_scores(early, news, SentimentAnalyzer()).differences
    assert {each.column for each in found} == {"known_at"}
    late = early.join(news.select("article_id", "content_hash", worded="known_at"), on=["article_id", "content_hash"])
    assert len(found) == late.filter(pl.col("worded") > pl.col("known_at")).height > 10
    assert audit_scores(scores, news.clear(), SentimentAnalyzer()).differences[0].otherwise == UNKNOWN


def test_scores_of_models_that_are_not_here_are_counted_and_not_compared() -> None:
    scores, news = scored(2)
    report = audit_scores(scores.with_columns(model_version=pl.lit("another")), news, SentimentAnalyzer())
    assert report.differences == []
    assert report.notes == {"article_sentiment: scored by models that are not installed here": scores.height}
    old = scores.with_columns(fingerprint=pl.lit(None, dtype=pl.String))
    assert audit_scores(old, news, SentimentAnalyzer()).differences == []


class Elsewhere:
    """A member as it is on one kind of processor; ``off`` is what another kind adds to its numbers."""

    name, cost_ms = "custom_bert", 1.0

    def __init__(self, kind: str, off: float = 0.0) -> None:
        self.version, self._off = f"abc/onnx@{kind}", off

    def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
        shares = (0.38 + self._off, 0.2, 0.42 - self._off)
        return [Prediction(shares, max(shares)) for _ in inputs]


def analyzer_of(member: SentimentModel) -> SentimentAnalyzer:
    blend = EnsembleWeights("b", {"custom_bert": 1.0}, 1.0)
    return SentimentAnalyzer(select_models([member], {}, blend), blend)


@pytest.mark.parametrize(
    ("kind", "off", "against"),
    [
        ("avx2", 0.0, STORED),
        ("avx512", 0.0, ELSEWHERE),
        ("avx512", 4e-6, ELSEWHERE),
        ("arm64", -4e-6, ELSEWHERE),
        ("avx512", 1e-3, ROUNDED),
        ("avx512", 0.01, ROUNDED),
    ],
)
def test_scores_of_another_kind_of_processor_are_compared_within_a_bound(kind: str, off: float, against: str) -> None:
    _, news = scored(2)
    versions = news.select("article_id", "content_hash", "known_at", "nominal")
    made = analyzer_of(Elsewhere("avx2")).score_articles(news).filter(pl.col("model") == "ensemble")
    stored = made.join(versions, on=["article_id", "content_hash"]).select(STORED_ARTICLE_SENTIMENT.keys())
    report = audit_scores(stored, news, analyzer_of(Elsewhere(kind, off)))
    assert (report.differences, report.notes) == ([], {})
    assert report.rows == {f"article_sentiment, {against}": stored.height}


@pytest.mark.parametrize(("kind", "off"), [("avx512", 0.04), ("avx512", 0.12), ("arm64", -0.15), ("avx2", 4e-6)])
def test_what_no_rounding_explains_is_a_difference_on_any_processor(kind: str, off: float) -> None:
    _, news = scored(2)
    versions = news.select("article_id", "content_hash", "known_at", "nominal")
    made = analyzer_of(Elsewhere("avx2")).score_articles(news).filter(pl.col("model") == "ensemble")
    stored = made.join(versions, on=["article_id", "content_hash"]).select(STORED_ARTICLE_SENTIMENT.keys())
    report = audit_scores(stored, news, analyzer_of(Elsewhere(kind, off)))
    assert len(report.differences) == stored.height


def test_reports_add_up() -> None:
    one, other = AuditReport(2, {"A"}, {"x": 1}, 5, {"n": 1}), AuditReport(3, {"B"}, {"x": 2, "y": 1}, 6)
    one.merge(other)
    assert (one.decisions, one.symbols, one.rows, one.values, one.notes) == (
        5,
        {"A", "B"},
        {"x": 3, "y": 1},
        11,
        {"n": 1},
    )


def test_real_prices_and_posts_raise_no_false_alarm_and_a_leak_in_them_is_caught(data_dir: Path) -> None:
    """Five symbols of stocknet in June 2014: daily decisions on real bars and posts."""
    names = ["AAPL", "BAC", "GOOG", "KO", "XOM"]
    calendar = TradingCalendar("XNYS")
    real = real_history(data_dir, names, calendar)
    report = audit(PIPELINE, real, real.decisions)
    assert report.differences == []
    assert report.decisions == len(names) * 12
    assert report.rows[f"signals, {RECOMPUTED}"] == report.decisions
    assert PIPELINE(real)["symbol_sentiment"]["article_count"].sum() > 100
    for plant in (shifted, news_before_it_is_known):
        assert audit(plant, real, real.decisions).first is not None


def real_history(data_dir: Path, names: list[str], calendar: TradingCalendar) -> History:
    """Bars as known at each close, posts as known a day after they were published, twelve decisions a symbol."""
    zone = str(calendar.timezone)
    closes = calendar.frame(date(2012, 1, 1), date(2015, 12, 31))
    prices = pl.read_parquet(data_dir / "bars" / "stocknet_daily.parquet").filter(pl.col("symbol").is_in(names))
    moment = next(name for name, kind in prices.schema.items() if kind.is_temporal())
    bars = prices.drop_nulls("close").with_columns(session=pl.col(moment).cast(pl.Date)).join(closes, on="session")
    given = {
        "timeframe": pl.lit("1Day"),
        "bar_start": pl.col("session").cast(pl.Datetime("us")).dt.replace_time_zone(zone).dt.convert_time_zone("UTC"),
        "bar_end": pl.col("close_right"),
        "known_at": pl.col("close_right"),
        "vwap": pl.lit(None),
        "trade_count": pl.lit(None),
        "source": pl.lit("stocknet"),
        "nominal": pl.lit(True),
    }
    bars = bars.with_columns(**given).select(pl.col(name).cast(kind) for name, kind in STORED_BARS.items())
    days = [session.day for session in calendar.sessions(date(2014, 6, 2), date(2014, 6, 17))]
    decisions = decision_grid(names, days, load_settings({"PAIID_SOURCE": "alpaca"}), datetime(2020, 1, 1, tzinfo=UTC))
    return History(
        bars, empty(STORED_CORPORATE_ACTIONS), posts(data_dir, names), decisions.filter(pl.col("horizon") == "daily")
    )


def posts(data_dir: Path, names: list[str]) -> pl.DataFrame:
    """The posts of two weeks, each scored, and known only a day after it was published."""
    tweets = pl.read_parquet(data_dir / "news" / "stocknet_tweets.parquet").filter(pl.col("symbol").is_in(names))
    moment = next(name for name, kind in tweets.schema.items() if kind.is_temporal())
    found = tweets.with_columns(published_at=pl.col(moment).cast(MOMENT)).filter(
        pl.col("published_at").is_between(datetime(2014, 5, 28, tzinfo=UTC), datetime(2014, 6, 18, tzinfo=UTC))
    )
    news = found.select(
        pl.int_range(pl.len()).cast(pl.String).alias("article_id"),
        pl.int_range(pl.len()).cast(pl.String).alias("content_hash"),
        pl.col("text").alias("headline"),
        pl.lit("").alias("summary"),
        pl.concat_list("symbol").alias("symbols"),
        "published_at",
    )
    scores = SentimentAnalyzer().score_articles(news)
    known = scores.with_columns(known_at=pl.col("published_at") + timedelta(days=1), nominal=pl.lit(True))
    return known.select(STORED_ARTICLE_SENTIMENT.keys())
