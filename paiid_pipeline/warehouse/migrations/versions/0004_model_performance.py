"""How good each version of each model was found to be, and what the gate said to it."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS: Mapping[str, tuple[str, str]] = {
    "model": ('text COLLATE "C" NOT NULL', "Which model, such as custom_bert, ensemble or signal_model."),
    "version": ("bigint NOT NULL", "Its version in the register of models."),
    "evaluated_at": ("timestamptz NOT NULL", "When it was measured, always on data that it was not fitted on."),
    "metric": ('text COLLATE "C" NOT NULL', "What was measured, such as accuracy, macro_f1, ece or rank_ic."),
    "value": ("double precision NOT NULL", "What was found."),
    "low": ("double precision", "Lower end of its 95 % interval; null where none was made."),
    "high": ("double precision", "Upper end of its 95 % interval; null where none was made."),
    "row_count": ("bigint NOT NULL", "On how many rows."),
    "data_sha256": ('text COLLATE "C" NOT NULL', "Digest of the data set that it was fitted and measured on."),
    "promoted": ("boolean NOT NULL", "Whether the gate let it become the champion then."),
    "verdict": ("text NOT NULL", "The reasons of the gate, for people."),
    "run_id": ('text COLLATE "C"', "The run that measured."),
}


def upgrade() -> None:
    """Make the table, and the view that shows its newest rows to analysts."""
    body = ", ".join(f"{name} {kind}" for name, (kind, _) in _COLUMNS.items())
    op.execute(f"CREATE TABLE model_evaluations ({body}, PRIMARY KEY (model, version, metric, evaluated_at))")
    op.execute("COMMENT ON TABLE model_evaluations IS 'Every measurement of a version of a model.'")
    op.execute(
        "CREATE VIEW model_performance AS SELECT DISTINCT ON (model, version, metric) * FROM model_evaluations"
        " ORDER BY model, version, metric, evaluated_at DESC"
    )
    op.execute("COMMENT ON VIEW model_performance IS 'The newest measurements of each version of each model.'")
    for target in ("model_evaluations", "model_performance"):
        for name, (_, text) in _COLUMNS.items():
            op.execute(f"COMMENT ON COLUMN {target}.{name} IS '{text}'")
    op.execute("GRANT SELECT ON model_performance TO paiid_analyst")


def downgrade() -> None:
    """Drop both."""
    op.execute("DROP VIEW model_performance")
    op.execute("DROP TABLE model_evaluations")
