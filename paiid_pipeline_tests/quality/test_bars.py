"""The rules of a sound bar are the same in polars, in SQL and in the database's own constraints."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values

from paiid_pipeline.quality.bars import BAR_RULES, constraints
from paiid_pipeline.schemas import STORED_BARS
from paiid_pipeline.warehouse import migrate

T = datetime(2014, 6, 9, 19, tzinfo=UTC)
COLUMNS = ("timeframe", "bar_start", "bar_end", "known_at", "open", "high", "low", "close", "volume")

near = st.integers(-3, 3).map(lambda steps: 93.0 * (1 + steps * 5e-7))
prices = st.one_of(near, near, near, st.sampled_from([0.0, -1.0, float("nan"), float("inf"), 92.0, 94.0]))
ends = st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=48)])
moments = st.builds(lambda end, more: T + end + more * timedelta(microseconds=1), ends, st.integers(-1, 1))
bars = st.tuples(
    st.sampled_from(["1Min", "1Day"]), st.just(T), moments, moments, st.none() | prices, prices, prices, prices,
    st.sampled_from([0.0, -0.0, -1.0, 10.0, float("nan")]),
)  # fmt: skip


@pytest.fixture
def cursor(postgres_url: str) -> Iterator[Any]:
    migrate(postgres_url)
    connection = psycopg2.connect(postgres_url)
    with connection.cursor() as cursor:
        columns = ", ".join(COLUMNS)
        cursor.execute(f"CREATE TEMPORARY TABLE random_bars AS SELECT 0 AS place, {columns} FROM market_bars LIMIT 0")
        yield cursor
    connection.close()


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(bars, min_size=1, max_size=30))
def test_the_sql_of_each_rule_gives_the_verdicts_of_its_expression(cursor: Any, rows: list[tuple[Any, ...]]) -> None:
    cursor.execute("TRUNCATE random_bars")
    execute_values(cursor, "INSERT INTO random_bars VALUES %s", [(place, *row) for place, row in enumerate(rows)])
    verdicts = ", ".join(f"coalesce({rule.sql}, false)" for rule in BAR_RULES)
    cursor.execute(f"SELECT {verdicts} FROM random_bars ORDER BY place")
    frame = pl.DataFrame(rows, schema={name: STORED_BARS[name] for name in COLUMNS}, orient="row")
    expressions = (rule.sound.fill_null(False).alias(rule.name) for rule in BAR_RULES)
    assert frame.select(expressions).rows() == cursor.fetchall()


def test_the_constraints_of_the_table_of_bars_are_those_of_the_rules(cursor: Any) -> None:
    checks = ", ".join(f"CONSTRAINT {name} CHECK ({condition})" for name, condition in constraints().items())
    cursor.execute(f"CREATE TEMPORARY TABLE generated (LIKE market_bars, {checks})")

    def stored(table: str) -> dict[str, str]:
        cursor.execute(
            "SELECT conname, pg_get_expr(conbin, conrelid) FROM pg_constraint"
            f" WHERE conrelid = '{table}'::regclass AND contype = 'c'"
        )
        return dict(cursor.fetchall())

    assert stored("market_bars") == stored("generated")
    assert stored("market_bars").keys() == constraints().keys()
