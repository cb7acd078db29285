"""Nothing of a vendor's corporate actions is lost: each is kept, or refused with a reason and in full."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import CORPORATE_ACTIONS
from paiid_pipeline.sources.validation import check_actions
from paiid_pipeline_tests.sources.validation.rows import (
    DAY,
    action,
    asked,
    reasons,
    values,
)


@pytest.mark.parametrize(
    ("delivered", "kind", "ratio", "amount"),
    [
        (action("forward_splits", new_rate=7, old_rate=1), "split", 7.0, None),
        (action("reverse_splits", new_rate=1, old_rate=20), "split", 0.05, None),
        (action("stock_dividends", rate=0.05), "stock_dividend", 1.05, None),
        (action("cash_dividends", rate=0.47), "cash_dividend", None, 0.47),
        (action("worthless_removals"), "worthless_removal", None, None),
    ],
)
def test_an_action_moves_the_price_as_its_kind_says(
    delivered: dict[str, list[Any]], kind: str, ratio: float | None, amount: float | None
) -> None:
    rows = check_actions(delivered, asked("actions")).rows
    assert rows.schema == pl.Schema(CORPORATE_ACTIONS)
    row = rows.row(0, named=True)
    assert (row["kind"], row["ratio"], row["amount"]) == (kind, ratio, amount)
    assert (row["ex_date"], row["effective_at"]) == (DAY, datetime(2014, 6, 9, 4, tzinfo=UTC))


@pytest.mark.parametrize(
    ("delivered", "reason"),
    [
        (action("forward_splits", new_rate=1, old_rate=1), "unit_ratio"),
        (action("forward_splits", new_rate=0, old_rate=1), "non_positive_rate"),
        (action("forward_splits", new_rate=7, old_rate=-1), "non_positive_rate"),
        (action("reverse_splits", new_rate=float("nan"), old_rate=1), "not_finite"),
        (action("forward_splits", new_rate=7), "missing_field"),
        (action("cash_dividends", rate="0.5"), "bad_type"),
        (action("cash_dividends", rate=0.5, ex_date="soon"), "bad_timestamp"),
        (action("cash_dividends", rate=0.5, ex_date=20140609), "bad_type"),
        (action("cash_dividends", rate=0.5, ex_date="2014-05-01", process_date="2014-05-01"), "outside_request"),
        (action("cash_dividends", rate=0.5, symbol="MSFT"), "unrequested_symbol"),
        (action("cash_dividends", rate=0.5, symbol=None), "missing_field"),
        ({"cash_dividends": "none"}, "bad_type"),
        ({"cash_dividends": ["none"]}, "bad_type"),
    ],
)
def test_a_bad_action_is_refused(delivered: dict[str, Any], reason: str) -> None:
    checked = check_actions(delivered, asked("actions"))
    assert checked.rows.is_empty()
    assert reasons(checked) == [reason]


def test_a_rename_is_filed_under_each_symbol_asked_for() -> None:
    rename = {"id": "r", "old_symbol": "AAPL", "new_symbol": "TWX", "process_date": "2014-06-09"}
    rows = check_actions({"name_changes": [rename]}, asked("actions")).rows
    assert rows.select("action_id", "symbol", "kind").rows() == [
        ("test:r", "AAPL", "name_change"), ("test:r:TWX", "TWX", "name_change")]  # fmt: skip


def test_a_company_that_changes_its_name_and_keeps_its_ticker_gives_up_no_ticker() -> None:
    change = {"id": "r", "old_symbol": "AAPL", "new_symbol": "AAPL", "process_date": "2014-06-09"}
    assert check_actions({"name_changes": [change]}, asked("actions")).rows["kind"].to_list() == [
        "same_ticker_name_change"
    ]


def test_an_action_announced_after_its_ex_date_is_still_taken() -> None:
    rows = check_actions(action("cash_dividends", rate=0.5, ex_date="2014-06-01"), asked("actions")).rows
    assert rows["ex_date"].to_list() == [date(2014, 6, 1)]


wild_actions = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("id", "rate", "new_rate", "old_rate"), values),
        **dict.fromkeys(("symbol", "old_symbol", "new_symbol"), st.one_of(values, st.just("AAPL"))),
        **dict.fromkeys(("ex_date", "process_date"), st.one_of(values, st.just("2014-06-09"))),
    },
)
kinds = st.sampled_from(["forward_splits", "reverse_splits", "stock_dividends", "cash_dividends", "spin_offs", "new"])


@settings(deadline=None, max_examples=150)
@given(kinds, st.lists(st.one_of(values, wild_actions), max_size=4))
def test_every_action_is_found_once_whatever_it_holds(kind: str, rows: list[Any]) -> None:
    of = asked("actions", symbols=frozenset({"AAPL"}))
    checked = check_actions({kind: rows}, of)
    assert checked.rows.height + checked.refusals.height == len(rows)
    assert checked.rows.filter((pl.col("ratio") <= 0) | (pl.col("amount") <= 0)).is_empty()
