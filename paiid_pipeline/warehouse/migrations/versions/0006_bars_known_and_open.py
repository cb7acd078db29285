"""No row is known before what it tells of; an open may be unknown."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KNOWN = {"market_bars": "bar_end", "news_articles": "updated_at"}
_OPEN = "First price, raw as traded; null where what came as such lies outside low..high."


def upgrade() -> None:
    """Hold new rows to it; those that are stored are the audit's to find."""
    for table, moment in _KNOWN.items():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_known_in_time CHECK (known_at >= {moment}) NOT VALID")
    op.execute("ALTER TABLE market_bars ALTER COLUMN open DROP NOT NULL")
    op.execute(f"COMMENT ON COLUMN market_bars.open IS '{_OPEN}'")


def downgrade() -> None:
    """Without the checks; an unknown open becomes the close of its bar, which alone is sure to have been paid."""
    op.execute("UPDATE market_bars SET open = close WHERE open IS NULL")
    op.execute("ALTER TABLE market_bars ALTER COLUMN open SET NOT NULL")
    for table in _KNOWN:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_known_in_time")
