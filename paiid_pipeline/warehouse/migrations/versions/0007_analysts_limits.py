"""Limits of the analysts' role: one session that is forgotten, or one query too many, stops nobody else.

Advisory locks are open to every role of a server, and shown to all: writers lock rows of a table of ours instead.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_LIMITS = {
    "statement_timeout": "5min",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "1min",
    "idle_session_timeout": "1h",
}
_ROLE = f"""
DO $$
BEGIN
    ALTER ROLE paiid_analyst CONNECTION LIMIT 10;
    {" ".join(f"ALTER ROLE paiid_analyst SET {name} = '{value}';" for name, value in _LIMITS.items())}
    BEGIN
        ALTER ROLE paiid_analyst SET temp_file_limit = '2GB';
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'only a superuser may limit the temporary files of paiid_analyst';
    END;
END $$
"""

_LOCKS = """
CREATE TABLE write_locks (
    table_name text COLLATE "C" NOT NULL,
    bucket integer NOT NULL,
    PRIMARY KEY (table_name, bucket)
);
INSERT INTO write_locks
SELECT name, bucket FROM generate_series(0, 511) AS bucket, unnest(ARRAY[
    'market_bars', 'news_articles', 'corporate_actions', 'article_sentiment']) AS name;
COMMENT ON TABLE write_locks IS 'A row to lock for each group of keys of a table, so that two writers meet.';
COMMENT ON COLUMN write_locks.table_name IS 'The table that is written to.';
COMMENT ON COLUMN write_locks.bucket IS 'hashtext of the first column of the key, modulo 512.';
"""


def upgrade() -> None:
    """Set the limits, which hold for sessions that begin from now on, and make the rows to lock."""
    op.execute(_LOCKS)
    op.execute(_ROLE)


def downgrade() -> None:
    """Drop the rows. The role keeps its limits: it belongs to the whole server."""
    op.execute("DROP TABLE write_locks")
