"""By which version of the code an indicators row was computed."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TEXT = "Version of the indicators and of TA-Lib that computed the row; null in rows from before."
_LATEST = """
    CREATE OR REPLACE VIEW indicators_latest AS
    WITH RECURSIVE heads AS (
        (SELECT symbol, horizon FROM technical_indicators ORDER BY symbol, horizon LIMIT 1)
        UNION ALL
        SELECT next.* FROM heads h CROSS JOIN LATERAL (
            SELECT t.symbol, t.horizon FROM technical_indicators t
            WHERE (t.symbol, t.horizon) > (h.symbol, h.horizon)
            ORDER BY t.symbol, t.horizon LIMIT 1) next
    )
    SELECT latest.* FROM heads h CROSS JOIN LATERAL (
        SELECT * FROM technical_indicators t
        WHERE t.symbol = h.symbol AND t.horizon = h.horizon
        ORDER BY t.as_of DESC LIMIT 1) latest
"""


def upgrade() -> None:
    """Add the column, empty in the rows that are there, and show it to analysts."""
    op.execute('ALTER TABLE technical_indicators ADD COLUMN version text COLLATE "C"')
    op.execute(_LATEST)
    for target in ("technical_indicators", "indicators_latest"):
        op.execute(f"COMMENT ON COLUMN {target}.version IS '{_TEXT}'")


def downgrade() -> None:
    """Drop the column. A view cannot lose one, so it is made anew, with what analysts may see of it."""
    op.execute("DROP VIEW indicators_latest")
    op.execute("ALTER TABLE technical_indicators DROP COLUMN version")
    op.execute(_LATEST)
    op.execute("GRANT SELECT ON indicators_latest TO paiid_analyst")
