"""Brings a database to the newest version of the warehouse's schema."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psycopg2

from paiid_pipeline.warehouse.blockers import holders
from paiid_pipeline.warehouse.connections import WarehouseError, explained

_MIGRATIONS = Path(__file__).with_name("migrations")
_REVISION = re.compile(r'^(revision|down_revision) = "?(\w+)"?$', re.MULTILINE)

PATIENCE = 300.0
"""Seconds for which a migration that others hold up is tried again."""
_PAUSE = 2.0  # seconds in which those who waited behind this process proceed

# Lock not available, deadlock, serialization failure; made by another process at the same moment.
_AGAIN = {"55P03", "40P01", "40001", "42P07", "23505", "42710"}
_CONCURRENTLY = "tuple concurrently updated"

# Alembic keeps the migration that is running in a global.
_ONE_THREAD = threading.Lock()


def newest_version() -> str:
    """The version that this code needs: the last of the chain of files in ``migrations/versions``."""
    (newest,) = _chain().keys() - set(_chain().values())
    return newest


@cache
def _chain() -> dict[str, str]:
    """The versions that this code knows, each with the one before it; read as text, for Alembic is slow to import."""
    texts = [path.read_text() for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")]
    return {found["revision"]: found["down_revision"] for found in (dict(_REVISION.findall(t)) for t in texts)}


def stored_version(url: str) -> str | None:
    """The version of the schema that ``url`` leads to, or None where there is none yet."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            row = cursor.fetchone()
            if row is None or row[0] is None:
                raise LookupError("the schema in this address' search_path does not exist: create it first")
            cursor.execute(
                "SELECT true FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'alembic_version'"
            )
            if cursor.fetchone() is None:
                return None
            cursor.execute("SELECT version_num FROM alembic_version")
            version = cursor.fetchone()
            return str(version[0]) if version else None
    finally:
        connection.close()


def migrate(url: str, tell: Callable[[str], None] = lambda _: None, patience: float = PATIENCE) -> None:
    """Create or upgrade the warehouse in the schema that comes first in the search_path of ``url``.

    Changes nothing where it is up to date, and is safe when several processes do it at once. A session that holds
    what has to be locked is named to ``tell``, and others are let through between the attempts. Needs a user that
    may create roles (``paiid_analyst`` belongs to the whole server). Raises LookupError where the database is newer
    than this code, TimeoutError naming the sessions where they hold it up for longer than ``patience`` seconds,
    WarehouseError where PostgreSQL refuses.
    """
    deadline, told = time.monotonic() + patience, list[str]()
    while True:
        stored, wanted = stored_version(url), newest_version()
        if stored == wanted:
            return
        if stored is not None and stored not in _chain():
            raise LookupError(f"the warehouse is at version {stored}, this code knows only {wanted}: update the code")
        if _upgraded(url):
            continue
        found = holders(url)
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"the warehouse could not be brought to version {wanted} in {patience:.0f} s, nothing was changed: "
                + ("; ".join(found) or "another process upgrades it too")
            )
        if found != told:
            tell(f"the warehouse waits to be brought to version {wanted}: {'; '.join(found) or 'another process does'}")
            told = found
        time.sleep(_PAUSE)


def _upgraded(url: str) -> bool:
    """Upgrade; False where others held it up, and nothing was changed."""
    from sqlalchemy.exc import DBAPIError

    try:
        _upgrade(url)
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) in _AGAIN or _CONCURRENTLY in str(error.orig):
            return False
        raise WarehouseError(f"migration: {explained(error.orig)}") from error
    return True


def _upgrade(url: str, version: str = "head") -> None:
    # Imported here: they cost 0.3 s that a run on an up-to-date database need not pay.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(url), poolclass=NullPool)
    with _ONE_THREAD, engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.commit()
