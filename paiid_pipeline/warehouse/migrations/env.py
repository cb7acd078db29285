"""How Alembic runs here: on the connection that ``migrate`` hands over, in one transaction."""

from alembic import context
from sqlalchemy import Connection, text

WAIT = "3s"
"""How long a lock is waited for, and all who read what it is on with us, before we let them go on and try again."""

# As Alembic makes it. A lock on it keeps two processes apart, and unlike an advisory lock only its owner may take it.
_VERSIONS = """
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)
"""
_VIEWS = "SELECT quote_ident(viewname) FROM pg_views WHERE schemaname = current_schema() ORDER BY viewname"


def run(connection: Connection) -> None:
    """Upgrade the connection's own schema, one process at a time.

    Readers lock a view before its tables, so its tables are locked through the views first: in any other order they
    and we would end up waiting for each other.
    """
    schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    context.configure(connection=connection, version_table_schema=schema)
    with context.begin_transaction():
        connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT}'"))
        connection.execute(text(_VERSIONS))
        connection.execute(text("LOCK TABLE alembic_version IN EXCLUSIVE MODE"))
        if views := connection.execute(text(_VIEWS)).scalars().all():
            connection.execute(text(f"LOCK TABLE {', '.join(views)} IN ACCESS EXCLUSIVE MODE"))
        context.run_migrations()


run(context.config.attributes["connection"])
