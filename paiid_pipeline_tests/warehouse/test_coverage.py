"""The spans that have been answered: gaps, their grouping, and what is committed together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paiid_pipeline.warehouse import CoveredRange, Warehouse
from paiid_pipeline_tests.warehouse.rows import LATER, MINUTE, T0, bar, bars
from paiid_pipeline_tests.warehouse.test_as_of import symbol_of_its_own


def test_symbols_with_the_same_gap_come_together(warehouse: Warehouse) -> None:
    warehouse.coverage.add(
        [CoveredRange("s", "1Day", ("A", "B"), T0, T0 + 5 * MINUTE), CoveredRange("s", "1Day", ("C",), T0, T0 + MINUTE)]
    )
    assert warehouse.coverage.missing("s", "1Day", ["C", "B", "A", "D"], T0, T0 + 9 * MINUTE) == [
        CoveredRange("s", "1Day", ("D",), T0, T0 + 9 * MINUTE),
        CoveredRange("s", "1Day", ("C",), T0 + MINUTE, T0 + 9 * MINUTE),
        CoveredRange("s", "1Day", ("A", "B"), T0 + 5 * MINUTE, T0 + 9 * MINUTE),
    ]


def test_sources_and_kinds_are_covered_apart(warehouse: Warehouse) -> None:
    warehouse.coverage.add([CoveredRange("s", "news", ("A",), T0, T0 + MINUTE)])
    assert warehouse.coverage.missing("s", "news", ["A"], T0, T0 + MINUTE) == []
    assert len(warehouse.coverage.missing("other", "news", ["A"], T0, T0 + MINUTE)) == 1
    assert len(warehouse.coverage.missing("s", "actions", ["A"], T0, T0 + MINUTE)) == 1


def test_nothing_is_missing_of_an_empty_span_or_for_no_symbols(warehouse: Warehouse) -> None:
    assert warehouse.coverage.missing("s", "news", ["A"], T0, T0) == []
    assert warehouse.coverage.missing("s", "news", [], T0, LATER) == []


def test_a_span_that_ends_before_it_starts_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ValueError, match=r"coverage: the span .* ends before it starts"):
        warehouse.coverage.add([CoveredRange("s", "news", ("A",), LATER, T0)])


def test_rows_that_fail_leave_no_coverage(warehouse: Warehouse) -> None:
    span = CoveredRange("s", "1Min", ("AAPL",), T0, T0 + MINUTE)
    with pytest.raises(RuntimeError, match="market_bars"):
        warehouse.bars.write(bars(bar(bar_end=T0 + 5 * MINUTE)), LATER, covers=[span])
    assert warehouse.coverage.missing("s", "1Min", ["AAPL"], T0, T0 + MINUTE) == [span]


def test_an_answer_without_rows_is_an_answer(warehouse: Warehouse) -> None:
    warehouse.bars.write(bars(), LATER, covers=[CoveredRange("s", "1Min", ("AAPL",), T0, T0 + MINUTE)])
    assert warehouse.coverage.missing("s", "1Min", ["AAPL"], T0, T0 + MINUTE) == []


spans = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), max_size=6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(covered=spans, asked=st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted))
def test_the_gaps_are_what_was_never_covered(warehouse: Warehouse, covered: list[list[int]], asked: list[int]) -> None:
    symbol = symbol_of_its_own()
    for first, last in covered:
        warehouse.coverage.add([CoveredRange("s", "1Min", (symbol,), T0 + first * MINUTE, T0 + last * MINUTE)])
    gaps = warehouse.coverage.missing("s", "1Min", [symbol], T0 + asked[0] * MINUTE, T0 + asked[1] * MINUTE)
    found = {
        minute for gap in gaps for minute in range(asked[0], asked[1])
        if gap.start <= T0 + minute * MINUTE < gap.end
    }  # fmt: skip
    assert found == set(range(*asked)) - {minute for span in covered for minute in range(*span)}
    assert all(earlier.end < later.start for earlier, later in pairwise(gaps))
