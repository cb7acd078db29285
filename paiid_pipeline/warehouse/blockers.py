"""The sessions that hold locks which a migration needs."""

from __future__ import annotations

import psycopg2

# The sessions with a lock on a table or view of our schema; what an unprivileged user may not see of them is null.
_HOLDERS = """
SELECT a.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), 'no application name'),
       coalesce(a.state, 'state hidden'), to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
       string_agg(DISTINCT c.relname, ', ' ORDER BY c.relname)
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.pid <> pg_backend_pid()
GROUP BY 1, 2, 3, 4, a.xact_start ORDER BY a.xact_start NULLS LAST
"""


def holders(url: str) -> list[str]:
    """The sessions that hold locks in our schema, oldest transaction first: who, since when, what, and the remedy."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_HOLDERS)
            return [
                f"session {pid} ({user}, {application}, {state}, its transaction began {since or 'when is hidden'}) "
                f"holds {held}: end it, or `select pg_terminate_backend({pid})`"
                for pid, user, application, state, since, held in cursor.fetchall()
            ]
    finally:
        connection.close()
