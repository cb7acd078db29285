"""Nothing of a vendor's news is lost: each article is kept, or refused with a reason and in full."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import NEWS
from paiid_pipeline.sources.validation import check_news
from paiid_pipeline_tests.sources.validation.rows import (
    article,
    asked,
    reasons,
    stamps,
    values,
)


def test_a_good_article_is_known_by_its_vendors_id_and_its_content() -> None:
    rows = check_news([article()], asked("news")).rows
    assert rows.schema == pl.Schema(NEWS)
    row = rows.row(0, named=True)
    assert row["article_id"] == "wire:7"
    assert row["symbols"] == ["AAPL", "QCOM"]
    assert row["updated_at"] == datetime(2014, 6, 9, 13, tzinfo=UTC)
    canonical = '["Apple splits its shares","Seven for one.",["AAPL","QCOM"]]'
    assert row["content_hash"] == sha256(canonical.encode()).hexdigest()


def test_an_edit_changes_the_hash_and_not_the_id_and_a_missing_id_is_made_of_the_content() -> None:
    def row(**changes: Any) -> dict[str, Any]:
        return check_news([article(**changes)], asked("news")).rows.row(0, named=True)

    assert row()["article_id"] == row(headline="Edited")["article_id"]
    assert row()["content_hash"] != row(headline="Edited")["content_hash"]
    assert row(id="absent")["article_id"].startswith("sha256:")
    assert row(id="absent") == row(id=None)
    assert row(id="absent")["article_id"] != row(id=None, headline="Other")["article_id"]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("text", "bad_type"),
        (article(headline=5), "bad_type"),
        (article(symbols="AAPL"), "bad_type"),
        (article(id=True), "bad_type"),
        (article(headline="absent"), "missing_field"),
        (article(symbols="absent"), "missing_field"),
        (article(created_at="absent"), "missing_field"),
        (article(headline="  \n"), "empty_headline"),
        (article(headline="x" * 65_537), "headline_too_long"),
        (article(headline="é" * 10_000_000), "headline_too_long"),
        (article(summary="x" * 1_100_000), "summary_too_long"),
        (article(created_at="noon"), "bad_timestamp"),
        (article(updated_at="2014-06-09T11:59:59Z"), "updated_before_created"),
        (article(updated_at="2014-06-09T19:00:31Z"), "future_timestamp"),
        (article(created_at="2014-06-08T01:00:00Z", updated_at="2014-06-08T01:00:00Z"), "outside_request"),
        (article(symbols=["MSFT"]), "unrequested_symbol"),
        (article(symbols=[]), "unrequested_symbol"),
    ],
    ids=lambda value: value if isinstance(value, str) else "item",
)
def test_a_bad_article_is_refused_in_full_and_the_good_one_beside_it_kept(item: object, reason: str) -> None:
    checked = check_news([article(id=8), item], asked("news"))
    assert checked.rows["article_id"].to_list() == ["wire:8"]
    assert reasons(checked) == [reason]
    assert json.loads(checked.refusals["payload"][0]) == item


def test_what_no_database_takes_is_replaced_in_the_article_and_kept_beside_it() -> None:
    odd = article(headline="Up\0 and \ud800away", summary="ok")
    checked = check_news([odd], asked("news"))
    assert checked.rows["headline"].to_list() == ["Up\ufffd and \ufffdaway"]
    assert reasons(checked) == ["characters_replaced"]
    assert "\0" not in checked.refusals["payload"][0]
    assert json.loads(checked.refusals["payload"][0]) == odd


wild_articles = st.one_of(
    values,
    st.fixed_dictionaries(
        {},
        optional={
            "id": values, "headline": st.one_of(values, st.text()), "summary": values, "url": values, "source": values,
            "symbols": st.one_of(values, st.lists(st.one_of(values, st.just("AAPL")))),
            "created_at": stamps, "updated_at": stamps,
        },
    ),
    st.builds(article, id=st.integers(), headline=st.text(), summary=st.text()),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(wild_articles, max_size=5))
def test_every_article_is_found_once_whatever_it_holds(items: list[Any]) -> None:
    checked = check_news(items, asked("news"))
    refused = [reason for reason in reasons(checked) if reason != "characters_replaced"]
    assert checked.rows.height + len(refused) == len(items)
