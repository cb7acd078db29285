"""Dagster's Postgres storage with its connections kept open.

The stock storage opens a connection a statement, which makes event storage the bottleneck of short runs.
"""

from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import create_engine


class PooledPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage`, its three parts sharing one small pool a process."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        engine = create_engine(
            postgres_url, isolation_level="AUTOCOMMIT", pool_size=2, max_overflow=8, pool_pre_ping=True
        )
        for storage in (self.event_log_storage, self.run_storage, self.schedule_storage):
            vars(storage)["_engine"] = engine

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "PooledPostgresStorage":
        return cls(pg_url_from_config(config_value), inst_data)
