"""The schema: made from nothing, made twice, as the contracts say, apart from its neighbours."""

from __future__ import annotations

import subprocess
import sys

import psycopg2
import pytest

from paiid_pipeline import contracts
from paiid_pipeline.warehouse import Warehouse, WarehouseError, migrate
from paiid_pipeline.warehouse.analysts import VIEWS
from paiid_pipeline.warehouse.migrate import newest_version, stored_version
from paiid_pipeline.warehouse.tables import PARTITIONED
from paiid_pipeline_tests.warehouse.rows import LATER, T0, bar, bars

STORED = {
    "market_bars": contracts.STORED_BARS,
    "news_articles": contracts.STORED_NEWS,
    "corporate_actions": contracts.STORED_CORPORATE_ACTIONS,
    "article_sentiment": contracts.STORED_ARTICLE_SENTIMENT,
    "symbol_sentiment": contracts.SYMBOL_SENTIMENT,
    "technical_indicators": contracts.INDICATORS,
    "signals": {**contracts.STORED_SIGNALS, "seq": None},
    "model_evaluations": contracts.MODEL_EVALUATIONS,
}


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


def test_an_empty_schema_is_brought_to_the_newest_version_and_twice_is_once(postgres_url: str) -> None:
    assert stored_version(postgres_url) is None
    migrate(postgres_url)
    assert stored_version(postgres_url) == newest_version()
    tables = rows(
        postgres_url, "SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace ORDER BY 1"
    )
    migrate(postgres_url)
    assert tables == rows(
        postgres_url, "SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace ORDER BY 1"
    )


def test_an_up_to_date_schema_costs_no_import_of_alembic(warehouse_url: str) -> None:
    code = "import sys; from paiid_pipeline.warehouse import migrate; migrate(sys.argv[1]); print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code, warehouse_url], capture_output=True, text=True, check=True
    ).stdout
    assert "'psycopg2'" in loaded
    for heavy in ("alembic", "sqlalchemy", "pandas", "pyarrow", "adbc_driver_postgresql", "dagster"):
        assert f"'{heavy}'" not in loaded


def test_a_newer_schema_than_the_code_is_refused(warehouse_url: str) -> None:
    connection = psycopg2.connect(warehouse_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(LookupError, match=r"9999.*update the code"):
        migrate(warehouse_url)


@pytest.mark.parametrize("table", STORED)
def test_the_columns_are_those_of_the_contracts(warehouse_url: str, table: str) -> None:
    found = rows(
        warehouse_url,
        "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        f" AND table_name = '{table}' ORDER BY ordinal_position",
    )
    assert [name for (name,) in found] == list(STORED[table])


def test_every_column_of_every_table_and_view_has_a_comment(warehouse_url: str) -> None:
    found = rows(
        warehouse_url,
        "SELECT c.relname, a.attname, col_description(c.oid, a.attnum), obj_description(c.oid)"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v')"
        " AND c.relname <> 'alembic_version'",
    )
    assert {name for name, *_ in found} == {*STORED, *VIEWS, "quarantine", "coverage"}
    assert [(name, column) for name, column, comment, own in found if not comment or not own] == []


def test_two_schemas_of_one_database_do_not_meet(postgres_url: str, postgres_server_url: str) -> None:
    connection = psycopg2.connect(postgres_server_url)
    connection.autocommit = True
    other = "other_" + postgres_url[-12:]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {other}")
    other_url = postgres_url.rpartition("%3D")[0] + "%3D" + other
    try:
        migrate(postgres_url)
        assert stored_version(other_url) is None
        migrate(other_url)
        with Warehouse(postgres_url) as ours, Warehouse(other_url) as theirs:
            ours.write_bars(bars(bar()), LATER)
            assert theirs.bars(["AAPL"], "1Min", T0, LATER, LATER).is_empty()
            assert theirs.write_bars(bars(bar()), LATER).inserted == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {other} CASCADE")
        connection.close()


def test_without_migrations_the_error_names_the_table_and_the_remedy(postgres_url: str) -> None:
    with Warehouse(postgres_url) as warehouse, pytest.raises(WarehouseError, match=r"(?s)market_bars.*migrate"):
        warehouse.bars(["AAPL"], "1Min", T0, LATER, LATER)


def test_a_month_in_use_needs_no_partition_at_the_turn(warehouse: Warehouse, warehouse_url: str) -> None:
    """The next month's partitions are there before its first row."""
    december = T0.replace(year=2014, month=12, day=31)
    warehouse.ensure_partitions(december)
    warehouse.ensure_partitions(december)
    found = rows(
        warehouse_url,
        "SELECT inhrelid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'",
    )
    assert {f"{table.name}_{month}" for table in PARTITIONED for month in ("2014_12", "2015_01")} == {
        name for (name,) in found
    }
