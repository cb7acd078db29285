"""Which of the articles that a decision knows count: copies, opposites, corrections, updates, withdrawals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import DECISIONS, NEWS, STORED_ARTICLE_SENTIMENT, empty
from paiid_pipeline.sentiment.aggregate import aggregate, counted
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.article_selection import standings_now

T = datetime(2014, 6, 9, 20, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LOOKBACK, HALF_LIFE = timedelta(days=3), 12 * HOUR
ANALYZER = SentimentAnalyzer()
LONG = " in the third quarter from its laboratory business in China, the company said on Monday in a statement"


def scored(
    name: str, headline: str, ago: timedelta, *, known: timedelta | None = None, summary: str = "", symbols: str = "S"
) -> pl.DataFrame:
    """An article as the scorer leaves it, known when it appeared or ``known`` before T."""
    at = T - ago
    news = pl.DataFrame(
        [(name, at, at, "wire", headline, summary, "", list(symbols), f"{name}{headline}")], schema=NEWS, orient="row"
    )
    rows = ANALYZER.score_articles(news).filter(pl.col("model") == "ensemble")
    moment = T - (ago if known is None else known)
    return rows.with_columns(known_at=pl.lit(moment).cast(STORED_ARTICLE_SENTIMENT["known_at"]), nominal=False).select(
        STORED_ARTICLE_SENTIMENT.keys()
    )


def decision(at: datetime = T) -> pl.DataFrame:
    return pl.DataFrame([("S", "intraday", at, at, at.date(), at, at)], schema=DECISIONS, orient="row")


def counts(*articles: pl.DataFrame, at: datetime = T) -> list[str]:
    return counted(pl.concat(articles), decision(at), LOOKBACK, HALF_LIFE)["article_id"].to_list()


@pytest.mark.parametrize(
    ("first", "mark", "second"),
    [
        ("Agilent reports a great profit" + LONG, "CORRECTED-", "Agilent reports a horrible loss" + LONG),
        ("Berkshire gains on great results", "CORRECTED-", "Berkshire plunges on horrible results (not gains)"),
        ("Nestle raises its dividend to 3.10", "Correction: ", "Nestle raises its dividend to 3.01"),
        ("Nestle raises its dividend to 3.10", "REFILE-", "Nestle raises its dividend to 3.10"),
        ("Tesla recalls cars over brakes", "UPDATE 1-", "Tesla recalls cars over brakes, shares fall"),
        ("Tesla recalls cars over brakes", "CORRECTING and REPLACING ", "Tesla recalls trucks over brakes"),
    ],
)
def test_a_correction_takes_the_place_of_what_it_corrects_from_then_on(first: str, mark: str, second: str) -> None:
    wrong, right = scored("wire:1", first, 5 * HOUR), scored("wire:2", mark + second, HOUR)
    assert counts(wrong, right) == ["wire:2"]
    assert counts(wrong, right, at=T - 2 * HOUR) == ["wire:1"]
    row = aggregate(pl.concat([wrong, right]), decision(), LOOKBACK, HALF_LIFE).row(0, named=True)
    assert (row["article_count"], row["score"], row["novelty"]) == (1, right["score"].item(), 1.0)


def test_a_note_before_the_text_is_a_correction_too() -> None:
    wrong = scored("wire:1", "Nestle names Smith its chief", 5 * HOUR)
    right = scored("wire:2", "Nestle names Smythe its chief", HOUR, summary="(Corrects name) Nestle said on Monday")
    assert counts(wrong, right) == ["wire:2"]


def test_of_a_story_that_is_updated_twice_and_then_corrected_the_last_stands() -> None:
    story = "Tesla recalls cars over brakes" + LONG
    told = [scored(f"wire:{n}", mark + story, (9 - n) * HOUR)
            for n, mark in enumerate(["", "UPDATE 1-", "UPDATE 2-", "CORRECTED-UPDATE 2-"])]  # fmt: skip
    assert counts(*told) == ["wire:3"]
    assert counts(*told, at=T - 7 * HOUR) == ["wire:2"]


def test_a_copy_by_another_source_of_what_was_corrected_does_not_come_back() -> None:
    story = "Tesla recalls cars over brakes" + LONG
    told = [scored("wire:1", story, 5 * HOUR), scored("yahoo:1", story + " - Yahoo", 4 * HOUR)]
    assert counts(*told, scored("wire:2", "REFILE-" + story, HOUR)) == ["wire:2"]


@pytest.mark.parametrize("mark", ["WITHDRAWN-", "KILL: ", "MANDATORY KILL - ", "RETRACTED: "])
def test_what_is_withdrawn_ends_and_the_advisory_says_nothing_itself(mark: str) -> None:
    story = "Tesla recalls cars over horrible brakes" + LONG
    wrong, advisory = scored("wire:1", story, 5 * HOUR), scored("wire:2", mark + story, HOUR)
    other = scored("wire:3", "Nokia wins great praise", HOUR)
    assert counts(wrong, advisory, other) == ["wire:3"]
    assert counts(wrong, advisory, other, at=T - 2 * HOUR) == ["wire:1"]


def test_a_correction_is_of_the_same_source_and_matter_and_of_these_days() -> None:
    correction = scored("wire:9", "CORRECTED-Tesla recalls cars over brakes", HOUR)
    for other in (
        scored("yahoo:1", "Tesla recalls cars over doors again", 5 * HOUR),
        scored("wire:1", "Nokia wins great praise", 5 * HOUR),
        scored("wire:2", "Tesla opens a new factory in Texas", 5 * HOUR),
    ):
        assert len(counts(other, correction)) == 2
    old = scored("wire:3", "Tesla recalls cars over brakes", timedelta(days=4))
    long = counted(pl.concat([old, correction]), decision(), timedelta(days=9), HALF_LIFE)
    assert "wire:3" in long["article_id"].to_list()


def test_near_copies_with_opposite_scores_both_count() -> None:
    one = scored("wire:1", "Nokia device is a delight" + LONG, 5 * HOUR)
    other = scored("wire:2", "Nokia device is a device" + LONG, HOUR)
    assert len(counts(one, other)) == 1
    assert len(counts(one, other.with_columns(score=-pl.lit(one["score"].item())))) == 2


def test_what_stands_now_says_why_an_article_does_not_count() -> None:
    story = "Tesla recalls cars over brakes" + LONG
    told = [scored("wire:1", story, 5 * HOUR), scored("yahoo:1", story + " - Yahoo", 4 * HOUR),
            scored("wire:2", "CORRECTED-" + story, HOUR), scored("wire:3", "KILL: Nokia wins", HOUR)]  # fmt: skip
    got = standings_now(pl.concat(told), "ensemble", T, LOOKBACK)
    assert {row["article_id"]: (row["standing"], row["instead"]) for row in got.to_dicts()} == {
        "wire:1": ("replaced", "wire:2"),
        "yahoo:1": ("copy", "wire:1"),
        "wire:2": ("counts", None),
        "wire:3": ("withdrawn", None),
    }
    assert standings_now(empty(STORED_ARTICLE_SENTIMENT), "ensemble", T, LOOKBACK).is_empty()


STORY = "Tesla recalls cars over brakes"
TOLD = st.lists(
    st.tuples(
        st.sampled_from(["wire", "yahoo"]),
        st.integers(0, 5),
        st.sampled_from(["", "CORRECTED-", "UPDATE 1-", "UPDATE 2-", "WITHDRAWN-"]),
        st.sampled_from([STORY, STORY + LONG, "Tesla recalls no cars over brakes" + LONG, "Tesla recalls cars"]),
        st.integers(0, 100),
        st.integers(0, 6),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(TOLD)
def test_what_counts_is_the_same_when_all_that_came_later_is_taken_away(told: list[tuple]) -> None:  # type: ignore[type-arg]
    frames = [
        scored(f"{source}:{number}", mark + text, ago * HOUR, known=(ago - late) * HOUR)
        for source, number, mark, text, ago, late in told
    ]
    everything = pl.concat([empty(STORED_ARTICLE_SENTIMENT), *frames]).unique(["article_id", "known_at"])
    moments = [T - 40 * HOUR, T - 3 * HOUR, T]
    asked = pl.concat([decision(at) for at in moments])
    whole = aggregate(everything.sample(fraction=1.0, shuffle=True, seed=1), asked, LOOKBACK, HALF_LIFE)
    for place, moment in enumerate(moments):
        then = everything.filter((pl.col("known_at") <= moment) & (pl.col("published_at") > moment - LOOKBACK))
        assert repr(aggregate(then, decision(moment), LOOKBACK, HALF_LIFE).row(0)) == repr(whole.row(place))
        told_then = counted(then, decision(moment), LOOKBACK, HALF_LIFE)
        assert told_then.height == whole["article_count"][place]
