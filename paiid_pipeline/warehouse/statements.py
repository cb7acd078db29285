"""Ad-hoc SQL as the owner or as an analyst, and the newest signals by the analysts' view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import RealDictCursor

from paiid_pipeline.warehouse.roles import ANALYST


class StatementError(RuntimeError):
    """The server refused a statement; the message is the server's."""


@dataclass(frozen=True)
class Result:
    """The result of the last of some statements: rows under ``columns``, or only a ``status`` where that is None."""

    columns: Sequence[str] | None
    rows: Sequence[Sequence[object]]
    status: str
    notices: Sequence[str]


def run_statement(url: str, statement: str, *, analyst_password: str | None, as_analyst: bool) -> Result:
    """Execute one or more statements and commit, moments in UTC.

    As the analyst it logs in as that role where its password is known, and else takes on the role in a read-only
    session. Raises ConnectionError and StatementError.
    """
    try:
        connection = _connect(url, analyst_password, as_analyst)
    except psycopg2.OperationalError as error:
        raise ConnectionError(str(error).strip()) from None
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("set timezone to 'UTC'")
            cursor.execute(statement)
            columns = None if cursor.description is None else [column.name for column in cursor.description]
            rows = [] if columns is None else cursor.fetchall()
            return Result(columns, rows, cursor.statusmessage or "", list(connection.notices))
    except psycopg2.Error as error:
        raise StatementError(str(error).strip()) from None
    finally:
        connection.close()


def newest_signals(url: str) -> list[dict[str, Any]]:
    """The rows of the view signals_latest, intraday before daily, by symbol."""
    connection = psycopg2.connect(url, cursor_factory=RealDictCursor)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("select * from signals_latest order by horizon desc, symbol, engine desc")
            return [dict(row) for row in cursor.fetchall()]
    finally:
        connection.close()


def _connect(url: str, analyst_password: str | None, as_analyst: bool) -> Connection:
    if not as_analyst:
        return psycopg2.connect(url)
    if analyst_password is not None:
        return psycopg2.connect(url, user=ANALYST, password=analyst_password)
    connection = psycopg2.connect(url)
    connection.set_session(readonly=True)
    with connection.cursor() as cursor:
        cursor.execute(f"set session role {ANALYST}")
    connection.commit()
    return connection
