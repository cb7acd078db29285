"""The role paiid_analyst: reads the documented views, and can do nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from paiid_pipeline.warehouse import Warehouse
from paiid_pipeline.warehouse.roles import ANALYST, allow_login
from paiid_pipeline_tests.warehouse.rows import (
    LATER,
    MINUTE,
    T0,
    VIEWS,
    article,
    bar,
    bars,
    indicator,
    indicators,
    news,
    score,
    scores,
    signal,
    signals,
)

TABLES = (
    "market_bars", "news_articles", "corporate_actions", "article_sentiment", "symbol_sentiment",
    "technical_indicators", "signals", "quarantine", "coverage", "model_evaluations", "alembic_version", "write_locks",
)  # fmt: skip


PASSWORD = "correct horse"


def _as_analyst(url: str) -> str:
    parts = urlsplit(url)
    netloc = f"paiid_analyst:{quote(PASSWORD)}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc))


@pytest.fixture
def analyst(warehouse_url: str) -> Iterator[Cursor]:
    """A session of the role, logged in, on the migrated schema."""
    allow_login(warehouse_url, ANALYST, PASSWORD)
    connection = psycopg2.connect(_as_analyst(warehouse_url))
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.mark.parametrize("view", VIEWS)
def test_the_documented_views_can_be_read(analyst: Cursor, view: str) -> None:
    analyst.execute(f"SELECT * FROM {view}")
    assert analyst.fetchall() == []


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_cannot(analyst: Cursor, table: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        analyst.execute(f"SELECT * FROM {table}")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE TABLE public.mine (a int)",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "ALTER ROLE paiid_analyst SUPERUSER",
        "SET ROLE pg_read_all_data",
        "DELETE FROM signals_history",
        "UPDATE signals_history SET price = 0",
        "INSERT INTO signals_history (symbol) VALUES ('A')",
        "DROP VIEW signals_latest",
        "SELECT nextval('signals_seq')",
        "SELECT setval('signals_seq', 1)",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT pg_reload_conf()",
        "COPY signals_latest TO '/tmp/mine'",
        "COPY signals_latest TO PROGRAM 'cat'",
        "BEGIN; LOCK TABLE signals IN SHARE MODE",
        "TRUNCATE signals",
    ],
)
@pytest.mark.parametrize("read_only", ["on", "off"])
def test_nothing_else_can_be_done_even_by_one_who_tries(analyst: Cursor, statement: str, read_only: str) -> None:
    analyst.execute(f"SET default_transaction_read_only = {read_only}")
    if read_only == "off":
        with pytest.raises(
            (
                psycopg2.errors.InsufficientPrivilege,
                psycopg2.errors.ObjectNotInPrerequisiteState,
                psycopg2.errors.FeatureNotSupported,
            )
        ):
            analyst.execute(statement)
    else:
        with pytest.raises(psycopg2.Error):
            analyst.execute(statement)


def test_a_session_is_read_only_from_the_start(analyst: Cursor) -> None:
    analyst.execute("SELECT session_user, current_setting('transaction_read_only')")
    assert analyst.fetchone() == ("paiid_analyst", "on")


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("statement_timeout", "5min"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("idle_session_timeout", "1h"),
        ("temp_file_limit", "2GB"),
    ],
)
def test_a_session_has_limits(analyst: Cursor, limit: str, value: str) -> None:
    analyst.execute(f"SHOW {limit}")
    assert analyst.fetchone() == (value,)


def test_the_limit_of_temporary_files_cannot_be_lifted(analyst: Cursor) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        analyst.execute("SET temp_file_limit = -1")


def test_connections_are_few_and_leave_the_pipeline_its_own(warehouse_url: str) -> None:
    allow_login(warehouse_url, ANALYST, PASSWORD)
    held = [psycopg2.connect(_as_analyst(warehouse_url)) for _ in range(10)]
    with pytest.raises(psycopg2.OperationalError, match="too many connections for role"):
        psycopg2.connect(_as_analyst(warehouse_url))
    psycopg2.connect(warehouse_url).close()
    for connection in held:
        connection.close()


def test_no_lock_of_an_analyst_stops_a_writer_or_the_turn_of_a_month(analyst: Cursor, warehouse: Warehouse) -> None:
    analyst.execute("SELECT pg_advisory_lock(c.oid::int, b) FROM pg_class c, generate_series(-1, 511) b"
                    " WHERE relname IN ('market_bars', 'signals')")  # fmt: skip
    analyst.execute("SELECT pg_advisory_lock(hashtext('paiid warehouse migration'))")
    analyst.execute("BEGIN; SELECT * FROM signals_latest, signals_history, sentiment_daily, indicators_latest")
    warehouse.ensure_partitions(T0 + timedelta(days=400))
    assert warehouse.bars.write(bars(bar()), LATER).inserted == 1
    assert warehouse.signals.write(signals(signal(T0)), "1").inserted == 1
    analyst.execute("ROLLBACK")


def test_the_password_is_kept_only_as_a_verifier(warehouse_url: str) -> None:
    allow_login(warehouse_url, ANALYST, PASSWORD)
    connection = psycopg2.connect(warehouse_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolpassword, rolcanlogin, rolsuper FROM pg_authid WHERE rolname = 'paiid_analyst'")
        verifier, may_login, is_super = cursor.fetchone() or ("", False, True)
    connection.close()
    assert verifier.startswith("SCRAM-SHA-256$")
    assert PASSWORD not in verifier
    assert (may_login, is_super) == (True, False)


def test_an_empty_password_is_refused(warehouse_url: str) -> None:
    with pytest.raises(ValueError, match="PAIID_ANALYST_PASSWORD"):
        allow_login(warehouse_url, ANALYST, "")


def test_the_latest_views_show_the_newest_row_of_each(warehouse: Warehouse, analyst: Cursor) -> None:
    """Across months, horizons and engines; of two rows for one moment, the one written last."""
    month = timedelta(days=31)
    old, new = T0, T0 + month
    warehouse.signals.write(signals(signal(new, signal="BUY"), signal(old, signal="SELL"), signal(old, "TWX")), "1")
    warehouse.signals.write(signals(signal(new, signal="HOLD", inputs_hash="a"), signal(old, horizon="daily")), "2")
    warehouse.signals.write(signals(signal(old, engine="ml")), "3")
    analyst.execute("SELECT symbol, horizon, engine, as_of, signal FROM signals_latest ORDER BY 1, 2, 3")
    assert analyst.fetchall() == [
        ("AAPL", "daily", "rules", old, "BUY"),
        ("AAPL", "intraday", "ml", old, "BUY"),
        ("AAPL", "intraday", "rules", new, "HOLD"),
        ("TWX", "intraday", "rules", old, "BUY"),
    ]
    analyst.execute("SELECT count(*) FROM signals_history")
    assert analyst.fetchone() == (6,)
    analyst.execute("SELECT reasons -> 0 ->> 'rule' FROM signals_latest WHERE symbol = 'TWX'")
    assert analyst.fetchone() == ("rsi",)
    warehouse.indicators.write(
        indicators(indicator(old, rsi_14=1.0), indicator(new, rsi_14=2.0), indicator(old, "TWX"))
    )
    analyst.execute("SELECT symbol, as_of, rsi_14 FROM indicators_latest ORDER BY 1")
    assert analyst.fetchall() == [("AAPL", new, 2.0), ("TWX", old, None)]


def test_daily_sentiment_counts_each_article_once_in_its_newest_version(warehouse: Warehouse, analyst: Cursor) -> None:
    first, edited, second = article(1), article(1, T0 + MINUTE, "Down"), article(2, headline="Other")
    warehouse.news.write(news(first, edited, second), LATER)
    warehouse.article_sentiment.write(
        scores(score(first, value=1.0), score(edited, value=0.25), score(second, value=0.75)), LATER
    )
    analyst.execute("SELECT symbol, day, article_count, mean_score, lowest_score, highest_score FROM sentiment_daily")
    assert analyst.fetchall() == [("AAPL", T0.date(), 2, 0.5, 0.25, 0.75)]
