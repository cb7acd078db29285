"""`paiid` on a PostgreSQL and a Redis of the user's own."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psycopg2

from paiid_pipeline.warehouse import migrate
from paiid_pipeline_tests.cli.harness import environment, home, run

__all__ = ["environment", "home"]


def test_a_database_of_ones_own_is_used_and_dagster_gets_one_beside_it(
    environment: dict[str, str], home: Path, postgres_server_url: str, redis_url: str
) -> None:
    name = f"own_{os.getpid()}"
    connection = psycopg2.connect(postgres_server_url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"create database {name}")
    own_url = postgres_server_url.rpartition("/")[0] + f"/{name}"
    try:
        done = run(
            environment,
            "with-services",
            "sh",
            "-c",
            'echo "$PAIID_POSTGRES_URL $PAIID_DAGSTER_POSTGRES_URL $PAIID_REDIS_URL"',
            PAIID_POSTGRES_URL=own_url,
            PAIID_REDIS_URL=redis_url,
        )
        assert done.stdout.split() == [own_url, f"{own_url}_dagster", redis_url], done.stderr
        assert not (home / "postgres").exists()
        assert not (home / "redis").exists()
        secret = own_url.split(":")[2].split("@")[0]
        assert secret not in done.stderr
    finally:
        cursor.execute(f"drop database {name}")
        cursor.execute(f"drop database if exists {name}_dagster")
        connection.close()


def test_a_database_that_does_not_answer_is_one_line_without_the_password(environment: dict[str, str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://me:very-secret@127.0.0.1:{closed.getsockname()[1]}/db"
        done = run(environment, "with-services", "true", PAIID_POSTGRES_URL=url)
    assert done.returncode == 1
    assert "no connection to postgresql://me:***@" in done.stderr
    assert "very-secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_redis_that_does_not_answer_is_said_at_the_start(environment: dict[str, str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"redis://:very-secret@127.0.0.1:{closed.getsockname()[1]}/0"
        done = run(environment, "with-services", "true", PAIID_REDIS_URL=url)
    assert done.returncode == 1
    assert "no Redis at redis://" in done.stderr
    assert "check PAIID_REDIS_URL" in done.stderr
    assert "very-secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_sql_asks_a_database_of_ones_own_without_the_right_to_make_another(
    environment: dict[str, str], postgres_server_url: str
) -> None:
    name = f"asked_{os.getpid()}"
    connection = psycopg2.connect(postgres_server_url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"create role {name} login nocreatedb createrole password 'p'")
    cursor.execute(f"create database {name} owner {name}")
    host = postgres_server_url.rpartition("@")[2].rpartition("/")[0]
    try:
        migrate(f"{postgres_server_url.rpartition('/')[0]}/{name}")
        cursor.execute(f"grant pg_read_all_data to {name}")
        done = run(
            environment, "sql", "select 41 + 1 as answer", PAIID_POSTGRES_URL=f"postgresql://{name}:p@{host}/{name}"
        )
        assert done.stdout.split()[:3] == ["answer", "------", "42"], done.stderr
    finally:
        cursor.execute(f"drop database {name}")
        cursor.execute(f"drop role {name}")
        connection.close()
