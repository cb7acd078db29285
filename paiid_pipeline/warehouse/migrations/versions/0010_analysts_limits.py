"""Limits of the analysts' role: one session that is forgotten, or one query too many, stops nobody else."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0005"
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


def upgrade() -> None:
    """Set the limits; they hold for sessions that begin from now on."""
    op.execute(_ROLE)


def downgrade() -> None:
    """Nothing: the role belongs to the whole server, and other schemas may rely on its limits."""
