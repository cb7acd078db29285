"""Pages of one query become one frame without a key twice, in whichever order and size they came."""

from __future__ import annotations

import json
from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import BARS, NEWS, REFUSALS
from paiid_pipeline.sources.validation import check_actions, check_news, collapse
from paiid_pipeline_tests.sources.validation.rows import (
    action,
    article,
    asked,
    bar,
    check,
    reasons,
)


def test_identical_copies_collapse_and_of_conflicting_ones_the_last_counts() -> None:
    pages = [check(bar(), bar("2014-06-09T14:05:00Z")), check(bar(), bar("2014-06-09T14:05:00Z", c=93.4))]
    together = collapse(pages, asked())
    assert together.rows["close"].to_list() == [93.2, 93.4]
    assert Counter(reasons(together)) == {"duplicate_bar": 1, "conflicting_duplicate": 1}
    by_reason = dict(zip(reasons(together), map(json.loads, together.refusals["payload"]), strict=True))
    assert by_reason["conflicting_duplicate"]["close"] == 93.2
    assert [row["copies"] for row in by_reason["duplicate_bar"]["rows"]] == [2]


def test_an_empty_answer_is_no_row() -> None:
    together = collapse([check()], asked())
    assert together.rows.schema == pl.Schema(BARS)
    assert together.refusals.schema == pl.Schema(REFUSALS)
    assert collapse([], asked("news")).rows.schema == pl.Schema(NEWS)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_order_and_size_of_pages_make_no_difference(data: st.DataObject) -> None:
    rows = [bar(f"2014-06-09T14:{minute:02}:00Z", c=92.6 + minute / 100) for minute in range(30)]
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.sets(st.integers(1, 29))))
    pages = [check(*shuffled[a:b]) for a, b in zip([0, *cuts], [*cuts, 30], strict=True)]
    assert collapse(pages, asked()).rows.equals(check(*rows).rows)


def test_copies_of_articles_and_actions_collapse_too() -> None:
    of = asked("news")
    pages = [check_news([article(), article(id=8)], of), check_news([article(), article(headline="Edited")], of)]
    together = collapse(pages, of)
    assert together.rows.select("article_id", "headline").rows() == [
        ("wire:7", "Edited"), ("wire:8", "Apple splits its shares")]  # fmt: skip
    assert sorted(reasons(together)) == ["conflicting_duplicate", "duplicate_article"]
    of = asked("actions")
    dividend = check_actions(action("cash_dividends", rate=0.5), of)
    assert collapse([dividend, dividend], of).rows.equals(dividend.rows)
