"""Dagster's Postgres storage with its connections kept open.

The stock storage opens a connection a statement, which makes event storage the bottleneck of short runs.
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import create_engine, delete, func, select


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


def delete_check_results(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete check results from before a moment, except the newest of each partition; returns their number.

    Dagster keeps them, at 2 KB each, when it deletes their run.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    checks = AssetCheckExecutionsTable.c
    newest = select(func.max(checks.id)).group_by(checks.asset_key, checks.check_name, checks.partition)
    old = checks.create_timestamp < before.astimezone(UTC).replace(tzinfo=None)
    with storage.index_connection() as connection:
        done = connection.execute(delete(AssetCheckExecutionsTable).where(old, checks.id.not_in(newest)))
    return int(done.rowcount)
