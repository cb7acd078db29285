"""Fingerprints of scored texts, and how much of what a decision heard was new."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ADDED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("article_sentiment", "fingerprint"): (
        'text COLLATE "C"',
        "MinHash of the text in hex: near copies of a story have nearly the same; null in rows from before.",
    ),
    ("symbol_sentiment", "novelty"): (
        "double precision",
        "Stories / articles, in (0, 1]: 0.1 where one story came ten times; null without articles.",
    ),
}


def upgrade() -> None:
    """Add the columns, empty in the rows that are there."""
    for (table, column), (kind, text) in _ADDED.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        op.execute(f"COMMENT ON COLUMN {table}.{column} IS '{text}'")


def downgrade() -> None:
    """Drop the columns."""
    for table, column in _ADDED:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
