"""How Alembic runs here: on the connection that ``migrate`` hands over, in one transaction."""

from alembic import context
from sqlalchemy import Connection, text


def run(connection: Connection) -> None:
    """Upgrade the connection's own schema, one process at a time."""
    schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    context.configure(connection=connection, version_table_schema=schema)
    with context.begin_transaction():
        # One lock for the whole database: the grants on shared objects cannot be changed by two at once.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('paiid warehouse migration'))"))
        context.run_migrations()


run(context.config.attributes["connection"])
