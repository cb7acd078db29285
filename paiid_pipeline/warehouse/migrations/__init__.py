"""Alembic's environment and the versions of the warehouse's schema. Run them with ``warehouse.migrate``."""
