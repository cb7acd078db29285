"""A pool of connections, and transactions whose errors name their table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 (a class, named in lower case)
from psycopg2.extensions import cursor as Cursor  # noqa: N812


class WarehouseError(RuntimeError):
    """PostgreSQL refused a statement: on which table, why, and the remedy where one is known."""


# JIT would spend 0.1 s and more on compiling what runs in milliseconds. A killed client's statement ends early.
_SETTINGS = """
SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET extra_float_digits = 1; SET jit = off;
SET client_connection_check_interval = '2s'; SET work_mem = '64MB'
"""

_REMEDY = {
    "42P01": "run warehouse.migrate on this database first",
    "42703": "run warehouse.migrate: the table is older than this code",
    "23514": "a row breaks a rule of the table: the source must quarantine it",
    "53100": "the disk of PostgreSQL's data is full: make room on it",
    "53300": "all connections are taken: close some (select * from pg_stat_activity), or raise max_connections",
    "23505": "two rows of one batch have the same key and differ: the source must settle which is right",
}


class ConnectionPool:
    """A stack of idle connections to one address. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self, table: str) -> Iterator[Cursor]:
        """One transaction: committed at the end, rolled back by any exception.

        Raises WarehouseError, naming ``table``, for what PostgreSQL refuses.
        """
        try:
            connection = self._take()
            try:
                with connection, connection.cursor() as cursor:
                    yield cursor
            except BaseException:
                with suppress(psycopg2.Error):
                    connection.close()
                raise
            self._give(connection)
        except psycopg2.Error as error:
            raise WarehouseError(f"{table}: {explained(error)}") from error

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = psycopg2.connect(self._url, application_name="paiid")
        with connection, connection.cursor() as cursor:
            cursor.execute(_SETTINGS)
        return connection

    def _give(self, connection: Any) -> None:
        with self._lock:
            self._idle.append(connection)


def explained(error: BaseException | None) -> str:
    """The message of PostgreSQL, with the remedy where one is known."""
    message = str(error).strip() or type(error).__name__
    remedy = _REMEDY.get(getattr(error, "pgcode", None) or "")
    return f"{message} ({remedy})" if remedy else message
