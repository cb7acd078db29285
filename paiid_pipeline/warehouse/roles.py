"""Databases, roles and passwords on a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
from psycopg2 import errors, sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import encrypt_password

ANALYST = "paiid_analyst"
"""The read-only role that the migrations create."""

_PASSWORD_PARAMETER = re.compile(r"([?&](?:ssl)?password=)[^&]*")


def ensure_database(url: str, name: str) -> None:
    """Create the database ``name`` on the server of ``url`` where it is missing.

    Raises PermissionError with the remedy where the role may not create it, ConnectionError where the
    server cannot be reached.
    """
    with _administrate(url) as cursor:
        cursor.execute("select 1 from pg_database where datname = %s", (name,))
        if cursor.fetchone() is not None:
            return
        try:
            cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        except errors.DuplicateDatabase:
            return
        except errors.InsufficientPrivilege:
            role = urlsplit(url).username
            raise PermissionError(
                f"role {role!r} may not create database {name!r} on {without_password(url)}: create it yourself "
                f'(create database "{name}" owner "{role}"), or grant the role CREATEDB'
            ) from None
        # By default every role of the server may connect, and make temporary tables.
        cursor.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))


def allow_login(url: str, role: str, password: str) -> None:
    """Allow ``role`` to log in with ``password``.

    Raises ValueError for an empty password, PermissionError with the remedy where the login may not.
    """
    if not password:
        raise ValueError("PAIID_ANALYST_PASSWORD is empty: give one, or leave it unset to keep analysts out")

    with _administrate(url) as cursor:
        # Only the verifier is sent, so that no log of statements can show the password.
        verifier = encrypt_password(password, role, cursor.connection, "scram-sha-256")
        try:
            cursor.execute(sql.SQL("alter role {} login password %s").format(sql.Identifier(role)), (verifier,))
        except errors.InsufficientPrivilege:
            raise PermissionError(
                f"{urlsplit(url).username!r} may not set the password of {role!r} on {without_password(url)}: "
                "set it yourself and unset PAIID_ANALYST_PASSWORD, or connect as a role with CREATEROLE"
            ) from None


@contextmanager
def _administrate(url: str) -> Iterator[Cursor]:
    # The driver would show parts of a password that it cannot tell from the host.
    unreadable = "the address of PostgreSQL cannot be read: write special characters of the password as %40, %2F, …"
    if url.count("@") > 1:
        raise ConnectionError(unreadable)
    try:
        connection = psycopg2.connect(url)
    except psycopg2.OperationalError as error:
        raise ConnectionError(f"no connection to {without_password(url)}: {' '.join(str(error).split())}") from None
    except psycopg2.Error:
        raise ConnectionError(unreadable) from None
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def with_database(url: str, name: str) -> str:
    """``url`` with its database replaced."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def with_login(url: str, user: str, password: str) -> str:
    """``url`` with its user and password replaced."""
    parts = urlsplit(url)
    location = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{location}"))


def without_password(url: str) -> str:
    """``url`` with its password, if it has one, replaced by ``***``, however it is written."""
    scheme, mark, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:***@" if colon else f"{login}{at}"
    return _PASSWORD_PARAMETER.sub(r"\1***", f"{scheme}{mark}{shown}{place}")


def close_to_public(url: str, *names: str) -> list[str]:
    """Revoke the right of every role to connect to some databases of the server of ``url``, by default to all.

    Returns the names of those that stay open, because they belong to another role. New databases are closed by
    :func:`ensure_database`; PostgreSQL makes its own open to every role.
    """
    with _administrate(url) as cursor:
        cursor.execute(
            "select datname, pg_has_role(datdba, 'USAGE') from pg_database"
            " where datallowconn and has_database_privilege('public', oid, 'CONNECT') order by datname"
        )
        found = [(name, ours) for name, ours in cursor.fetchall() if not names or name in names]
        for name in (name for name, ours in found if ours):
            cursor.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))
    return [name for name, ours in found if not ours]


def check_reachable(url: str) -> None:
    """Raises ConnectionError, the password masked, where the PostgreSQL of ``url`` refuses the login."""
    with _administrate(url):
        pass
