"""The schema: made from nothing, made twice, with the columns of the schemas, apart from its neighbours."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psycopg2
import pytest

from paiid_pipeline import schemas
from paiid_pipeline.warehouse import Warehouse, WarehouseError, migrate
from paiid_pipeline.warehouse.migrate import _MIGRATIONS, _chain, _upgrade, newest_version, stored_version
from paiid_pipeline_tests.warehouse.rows import LATER, PARTITIONED, T0, VIEWS, bar, bars

STORED = {
    "market_bars": schemas.STORED_BARS,
    "news_articles": schemas.STORED_NEWS,
    "corporate_actions": schemas.STORED_CORPORATE_ACTIONS,
    "article_sentiment": schemas.STORED_ARTICLE_SENTIMENT,
    "article_standings": schemas.ARTICLE_STANDINGS,
    "symbol_sentiment": schemas.SYMBOL_SENTIMENT,
    "technical_indicators": schemas.INDICATORS,
    "signals": {**schemas.STORED_SIGNALS, "seq": None},
    "model_evaluations": schemas.MODEL_EVALUATIONS,
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
    assert {name for name, *_ in found} == {*STORED, *VIEWS, "quarantine", "coverage", "write_locks"}
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
            ours.bars.write(bars(bar()), LATER)
            assert theirs.bars.read(["AAPL"], "1Min", T0, LATER, LATER).is_empty()
            assert theirs.bars.write(bars(bar()), LATER).inserted == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {other} CASCADE")
        connection.close()


def meddling(url: str, *statements: str, application: str = "notebook") -> Any:
    """A session that has run some statements and not committed."""
    connection = psycopg2.connect(url, application_name=application)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return connection


@pytest.fixture
def older(postgres_url: str) -> str:
    """A warehouse of an older version."""
    _upgrade(postgres_url, _chain()["0007"])
    return postgres_url


@pytest.mark.parametrize(
    ("statement", "held"),
    [
        ("SELECT count(*) FROM indicators_latest", "indicators_latest, technical_indicators"),
        ("SELECT count(*) FROM signals_history", "signals, signals_history"),
        ("LOCK TABLE symbol_sentiment IN ROW EXCLUSIVE MODE", "symbol_sentiment"),
        ("LOCK TABLE alembic_version IN SHARE MODE", "alembic_version"),
    ],
)
def test_a_session_that_holds_a_migration_up_is_named_and_let_be(older: str, statement: str, held: str) -> None:
    session = meddling(older, statement)
    told: list[str] = []
    if held == "symbol_sentiment":  # no view shows it, and this migration needs it not
        migrate(older)
        session.close()
        return
    try:
        with pytest.raises(TimeoutError, match=r"nothing was changed.*notebook, idle in transaction") as caught:
            migrate(older, told.append, patience=0)
    finally:
        session.close()
    assert held in str(caught.value)
    assert "pg_terminate_backend(" in str(caught.value)
    assert stored_version(older) == _chain()["0007"]
    migrate(older)
    assert stored_version(older) == newest_version()


def test_a_migration_waits_aloud_while_readers_go_on_and_then_happens(older: str) -> None:
    session = meddling(older, "SELECT * FROM signals_latest")
    told: list[str] = []

    def tell(words: str) -> None:
        told.append(words)
        other = meddling(older, "SET statement_timeout = '10s'", "SELECT * FROM signals_latest")
        other.close()
        session.commit()  # whoever was asked to end it does

    migrate(older, tell)
    session.close()
    assert len(told) == 1
    assert "waits to be brought to version" in told[0]
    assert "notebook" in told[0]
    assert "signals_latest" in told[0]
    assert stored_version(older) == newest_version()


def test_several_processes_at_once_make_one_warehouse(postgres_url: str) -> None:
    program = "import sys; from paiid_pipeline.warehouse import migrate; migrate(sys.argv[1], print)"
    started = [subprocess.Popen([sys.executable, "-c", program, postgres_url]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    assert stored_version(postgres_url) == newest_version()


def test_the_newest_version_is_the_last_of_the_chain_whatever_the_files_are_called() -> None:
    from alembic.script import ScriptDirectory

    assert newest_version() == ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def test_without_migrations_the_error_names_the_table_and_the_remedy(postgres_url: str) -> None:
    with Warehouse(postgres_url) as warehouse, pytest.raises(WarehouseError, match=r"(?s)market_bars.*migrate"):
        warehouse.bars.read(["AAPL"], "1Min", T0, LATER, LATER)


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
