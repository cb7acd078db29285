"""The decayed mean at a decision: the formula, what counts, and the same bits in any company."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import DECISIONS, STORED_ARTICLE_SENTIMENT, SYMBOL_SENTIMENT, empty
from paiid_pipeline.sentiment.aggregate import aggregate
from paiid_pipeline.sentiment.text.near_duplicates import minhash

T = datetime(2014, 6, 9, 20, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LOOKBACK, HALF_LIFE = timedelta(days=3), 12 * HOUR


def scored(
    name: str, score: float, published: datetime, known: datetime | None = None, *, content: str | None = None,
    confidence: float = 0.8, text: str | None = None, symbol: str = "S0", model: str = "ensemble", version: str = "1",
) -> pl.DataFrame:  # fmt: skip
    row = {
        "article_id": name,
        "content_hash": content or f"{name}{known}",
        "symbol": symbol,
        "model": model,
        "model_version": version,
        "published_at": published,
        "score": score,
        "p_negative": max(-score, 0.0),
        "p_neutral": 1 - abs(score),
        "p_positive": max(score, 0.0),
        "confidence": confidence,
        "flags": [],
        "known_at": known or published,
        "nominal": False,
        "fingerprint": None if text is None else minhash(text),
    }
    return pl.DataFrame([row], schema=STORED_ARTICLE_SENTIMENT)


def decisions(*moments: datetime, symbol: str = "S0") -> pl.DataFrame:
    rows = [(symbol, "intraday", t, t + timedelta(seconds=15), t.date(), T, T) for t in moments]
    return pl.DataFrame(rows, schema=DECISIONS, orient="row")


def read(*scores: pl.DataFrame, at: datetime = T) -> dict[str, object]:
    got = aggregate(pl.concat([empty(STORED_ARTICLE_SENTIMENT), *scores]), decisions(at), LOOKBACK, HALF_LIFE)
    assert got.schema == pl.Schema(SYMBOL_SENTIMENT)
    assert got.height == 1
    return got.row(0, named=True)


def test_the_formula() -> None:
    """Two articles, one a half-life old: weights 0.8 and 0.5 x 0.4."""
    row = read(scored("a", 0.5, T), scored("b", -1.0, T - HALF_LIFE, confidence=0.4))
    mean = (0.8 * 0.5 - 0.2 * 1.0) / 1.0
    assert row["score"] == pytest.approx(mean)
    assert row["disagreement"] == pytest.approx(math.sqrt(0.8 * (0.5 - mean) ** 2 + 0.2 * (1 + mean) ** 2))
    assert row["confidence"] == pytest.approx(1.0 / 1.5 * 1.0 / 2.0)
    assert (row["article_count"], row["newest_published_at"]) == (2, T)
    assert (row["model"], row["model_version"]) == ("ensemble", "1")


def test_without_articles_there_is_a_row_and_no_score() -> None:
    row = read()
    assert row["article_count"] == 0
    assert row["score"] is row["confidence"] is row["disagreement"] is row["newest_published_at"] is None
    assert len(str(row["inputs_hash"])) == 64


def test_only_what_was_published_and_known_counts() -> None:
    decision_lag = timedelta(seconds=15)
    inside = [
        scored("a", 0.1, T),
        scored("b", 0.1, T - LOOKBACK + MINUTE),
        scored("c", 0.1, T - HOUR, T + decision_lag),
    ]
    outside = [
        scored("d", 0.9, T + timedelta(seconds=1)),
        scored("e", 0.9, T - LOOKBACK),
        scored("f", 0.9, T - HOUR, T + decision_lag + timedelta(microseconds=1)),
        scored("g", 0.9, T - HOUR, symbol="S1"),
        scored("h", 0.9, T - HOUR, model="other"),
        scored("i", 0.9, T - HOUR, confidence=0.0),
        scored("j", float("nan"), T - HOUR),
    ]
    row = read(*inside, *outside)
    assert (row["article_count"], row["score"]) == (3, pytest.approx(0.1))


def test_the_newest_version_known_by_then_stands() -> None:
    first, second = scored("a", 0.5, T - HOUR), scored("a", -0.5, T - HOUR, T - MINUTE)
    assert read(first, second)["score"] == -0.5
    assert read(first, second, at=T - 2 * MINUTE)["score"] == 0.5
    assert read(first, second)["article_count"] == 1


def test_a_new_version_may_take_an_article_away() -> None:
    """One that says nothing any more, or that moves out of the window."""
    first = scored("a", 0.5, T - HOUR)
    assert read(first, scored("a", 0.0, T - HOUR, T - MINUTE, confidence=0.0))["article_count"] == 0
    assert read(first, scored("a", 0.5, T - LOOKBACK, T - MINUTE))["article_count"] == 0


def test_a_text_that_is_sent_out_twice_is_heard_once() -> None:
    row = read(
        scored("a", 0.5, T - HOUR, content="x"), scored("b", 0.5, T - MINUTE, content="x"), scored("c", -0.5, T - HOUR)
    )
    assert row["article_count"] == 2
    assert row["newest_published_at"] == T - HOUR


STORY = "apple beats estimates in the third quarter as phone sales surge in china"


def test_ten_copies_of_an_article_count_once() -> None:
    """Nine agencies send one story on, each with an addition of its own; one article disagrees."""
    copies = [scored(f"a{i}", 0.9, T - HOUR + i * MINUTE, text=f"{STORY} agency {i}") for i in range(9)]
    other = scored("b", -0.5, T - HOUR, text="nokia sues apple over patents")
    row = read(*copies, other)
    assert (row["article_count"], row["novelty"]) == (2, 0.2)
    assert row["score"] == read(copies[0], other)["score"]
    assert row["inputs_hash"] != read(copies[0], other)["inputs_hash"]  # the novelty is another


def test_a_copy_counts_until_its_original_is_known_and_once_it_is_gone() -> None:
    original = scored("a", 0.9, T - 2 * HOUR, T - MINUTE, text=STORY)
    copy = scored("b", 0.8, T - HOUR, text=STORY + " again")
    assert read(original, copy, at=T - 2 * MINUTE)["score"] == 0.8
    assert read(original, copy)["score"] == pytest.approx(0.9)
    assert read(original, copy, at=T - 2 * HOUR + LOOKBACK)["score"] == 0.8


def test_other_symbols_and_opposite_stories_are_no_copies() -> None:
    opposite = STORY.replace("beats", "misses").replace("surge", "fall").replace("phone", "tablet")
    assert read(scored("a", 0.9, T, text=STORY), scored("b", -0.9, T, text=opposite))["article_count"] == 2
    elsewhere = scored("a", 0.9, T - HOUR, text=STORY, symbol="S1")
    assert read(elsewhere, scored("b", 0.5, T, text=STORY))["novelty"] == 1.0


def test_the_hash_follows_what_was_heard() -> None:
    a, b = scored("a", 0.5, T - HOUR), scored("b", 0.1, T - HOUR)
    later = scored("z", 0.5, T + HOUR)
    assert read(a, b)["inputs_hash"] == read(b, a, later)["inputs_hash"] != read(a)["inputs_hash"]


def test_the_hash_follows_how_it_was_weighed() -> None:
    one = scored("a", 0.5, T - HOUR)
    others = [aggregate(one, decisions(T), *how) for how in ((LOOKBACK, HALF_LIFE * 2), (LOOKBACK * 2, HALF_LIFE))]
    assert len({read(one)["inputs_hash"], *(other["inputs_hash"].item() for other in others)}) == 3


articles = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.floats(-1, 1),
        st.floats(0.01, 1),
        st.integers(-80 * 60, 90),
        st.integers(0, 300),
        st.integers(0, 8),
        st.sampled_from([None, STORY, STORY + " again", "another story altogether"]),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(articles)
def test_a_row_has_the_same_bits_alone_shuffled_truncated_and_in_company(made: list[tuple]) -> None:  # type: ignore[type-arg]
    frames = [
        scored(
            f"n{name}",
            score,
            T + minutes * MINUTE,
            T + (minutes + late) * MINUTE,
            confidence=confidence,
            content=f"c{content}",
            text=text,
        )
        for name, score, confidence, minutes, late, content, text in made
    ]
    everything = pl.concat([empty(STORED_ARTICLE_SENTIMENT), *frames]).unique(["article_id", "known_at"])
    company = pl.concat([everything, everything.with_columns(symbol=pl.lit("S1"))]).sample(
        fraction=1.0, shuffle=True, seed=1
    )
    moments = [T - 10 * MINUTE, T, T + 45 * MINUTE]
    asked = pl.concat([decisions(*moments, symbol="S1"), decisions(*moments)])
    whole = aggregate(company, asked, LOOKBACK, HALF_LIFE).filter(pl.col("symbol") == "S0")
    for index, moment in enumerate(moments):
        one = decisions(moment)
        known = everything.filter(pl.col("known_at") <= moment + timedelta(seconds=15))
        alone = aggregate(known, one, LOOKBACK, HALF_LIFE)
        assert repr(alone.row(0)) == repr(whole.row(index))
