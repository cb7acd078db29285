"""Servers and data for the tests: started once a session, or the ones that the environment names."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg2
import pytest
import redis
from hypothesis import settings

from paiid_pipeline.local.servers import start_postgres, start_redis
from paiid_pipeline.warehouse.roles import ensure_database

settings.register_profile("paiid", deadline=None)  # how fast a machine is decides no test
settings.load_profile("paiid")
DATA = "PAIID_DATA_DIR"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end how many tests wait for real data, and what would run them."""
    skipped = sum(DATA in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if skipped:
        terminalreporter.write_line(
            f"{skipped} skipped for lack of real data: set {DATA} to its folder to run them",
            yellow=True,
        )


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """An empty home for the session's servers, outside pytest's own folders, which other sessions lock up."""
    home = Path(tempfile.mkdtemp(prefix="paiid-tests-"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of our own on a real server: ``PAIID_TEST_POSTGRES_URL``, or an embedded one."""
    given = os.environ.get("PAIID_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    server = start_postgres(request.getfixturevalue("server_home"))
    ensure_database(server.url("postgres"), "paiid_test")
    yield server.url("paiid_test")
    server.stop()


@pytest.fixture(scope="session")
def redis_server_url(request: pytest.FixtureRequest, worker_number: int) -> Iterator[str]:
    """A logical database of our own on a real server: ``PAIID_TEST_REDIS_URL``, or an embedded one."""
    given = os.environ.get("PAIID_TEST_REDIS_URL")
    if given:
        yield urlunsplit(urlsplit(given)._replace(path=f"/{worker_number}"))
        return
    server = start_redis(request.getfixturevalue("server_home"))
    yield server.url(0)
    server.stop()


@pytest.fixture(scope="session")
def worker_number() -> int:
    """Which pytest-xdist worker this is; 0 without xdist."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """An address whose tables all land in a fresh, empty schema, dropped after the test."""
    with fresh_schema(postgres_server_url) as url:
        yield url


@contextmanager
def fresh_schema(postgres_server_url: str) -> Iterator[str]:
    """An address whose tables all land in a fresh, empty schema, dropped at the end."""
    schema = f"test_{uuid4().hex[:12]}"
    _execute(postgres_server_url, f"create schema {schema}")
    joint = "&" if urlsplit(postgres_server_url).query else "?"
    yield f"{postgres_server_url}{joint}options=-csearch_path%3D{schema}"
    _execute(postgres_server_url, f"drop schema {schema} cascade")


@pytest.fixture
def redis_url(redis_server_url: str) -> Iterator[str]:
    """The address of an empty Redis database, emptied again after the test."""
    with redis.Redis.from_url(redis_server_url) as client:
        client.flushdb()
        yield redis_server_url
        client.flushdb()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, ``PAIID_DATA_DIR``; skips the test where there is none."""
    given = os.environ.get("PAIID_DATA_DIR")
    if not given or not Path(given).is_dir():
        pytest.skip(f"needs real data: {DATA}={given!r} is not a folder")
    return Path(given).resolve()


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("set lock_timeout = '20s'")  # a connection that a test forgot must fail it, not hang it
            cursor.execute(statement)
    finally:
        connection.close()
