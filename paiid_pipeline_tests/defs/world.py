"""A whole pipeline for a test: real Postgres, real Redis, a source over HTTP, real Dagster runs, and a clock we set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import dagster as dg
import polars as pl
import psycopg2

from paiid_pipeline.clock import FixedClock
from paiid_pipeline.settings import Settings, definitions_with, load_settings
from paiid_pipeline.warehouse import Warehouse, migrate

START = datetime.fromisoformat("2026-03-10T12:00:00+00:00")
ENVIRONMENT = {"PAIID_SOURCE": "synthetic", "PAIID_CLOCK": f"replay:{START.isoformat()}@1"}

with definitions_with(load_settings(ENVIRONMENT)):
    from paiid_pipeline.definitions import defs
    from paiid_pipeline.defs.cadence import op_config
    from paiid_pipeline.defs.partitions import run_tags
    from paiid_pipeline.defs.resources import PipelineResource

TABLES = (
    "market_bars", "news_articles", "corporate_actions", "article_sentiment", "symbol_sentiment",
    "technical_indicators", "signals", "quarantine", "coverage",
)  # fmt: skip
DATA = tuple(table for table in TABLES if table != "coverage")
"""What analysts could see; coverage grows whenever a source is asked."""
DERIVED = ("symbol_sentiment", "technical_indicators", "signals")


class PipelineAt(PipelineResource):
    """The pipeline at a moment that the test chooses."""

    moment: str
    real_time: bool
    variables: dict[str, str]

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.variables)

    @cached_property
    def clock(self) -> FixedClock:  # type: ignore[override]
        clock = FixedClock(datetime.fromisoformat(self.moment))
        object.__setattr__(clock, "real_time", self.real_time)
        return clock


@dataclass
class World:
    """One warehouse and cache, one source, one Dagster instance."""

    postgres_url: str
    redis_url: str
    source_url: str
    served: FixedClock
    """The clock of the source: what it has by now."""
    real_time: bool = False
    variables: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    def __post_init__(self) -> None:
        migrate(self.postgres_url)

    def pipeline(self, at: datetime) -> PipelineAt:
        """The resource, with the source's clock set to the same moment."""
        self.served.moment = at
        variables = {
            **self.variables,
            "PAIID_POSTGRES_URL": self.postgres_url,
            "PAIID_REDIS_URL": self.redis_url,
            "PAIID_SOURCE_URL": self.source_url,
        }
        return PipelineAt(moment=at.isoformat(), real_time=self.real_time, variables=variables)

    def run(
        self, job: str, at: datetime, first: date, last: date | None = None, *, by_segment: bool = True, **config: Any
    ) -> dg.ExecuteInProcessResult:
        """A run of a job at a moment, over the partitions of some dates."""
        return defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            resources={"pipeline": self.pipeline(at)},
            tags=run_tags(first, last or first, by_segment=by_segment),
            run_config={**op_config(**config), "loggers": {"progress": {}}},
            raise_on_error=False,
        )

    def everything(self, at: datetime, first: date, last: date | None = None) -> None:
        """The whole graph once."""
        assert self.run("all_news", at, first, last, by_segment=False).success
        assert self.run("all_decisions", at, first, last).success

    def refresh(self, at: datetime, day: date) -> None:
        """What the cadences would do in the minute of ``at``: bars always, decisions every five minutes."""
        assert self.run("market_refresh", at, day, hot_results={"kinds": ["market"]}).success
        if at.minute % 5 == 0:
            through = at.replace(second=0, microsecond=0)
            refresh = {"only_new": True, "through": through.isoformat()}
            settled = through + timedelta(seconds=16)
            assert self.run(
                "signals_refresh",
                settled,
                day,
                symbol_sentiment=refresh,
                technical_indicators=refresh,
                trading_signals=refresh,
                hot_results={"kinds": ["signals", "sentiment"]},
            ).success

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.postgres_url)

    def rows(self, table: str, *, where: str = "true") -> list[tuple[Any, ...]]:
        """All rows of a table as text, without the run that made them, in a fixed order."""
        hidden = {"run_id", "seq"}
        with psycopg2.connect(self.postgres_url) as connection, connection.cursor() as cursor:
            cursor.execute(f"select * from {table} limit 0")
            columns = [column.name for column in cursor.description or () if column.name not in hidden]
            names = ", ".join(f"{name}::text" for name in columns)
            cursor.execute(f"select {names} from {table} where {where}")
            found = sorted(cursor.fetchall(), key=repr)
        connection.close()
        return found

    def snapshot(self, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of several tables, by default of all."""
        return {table: self.rows(table) for table in tables or TABLES}

    def execute(self, statement: str) -> None:
        """Meddle with the warehouse."""
        with psycopg2.connect(self.postgres_url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, Any]:
    """What an asset reported."""
    (event, *_) = result.asset_materializations_for_node(asset)
    return {name: _content(value) for name, value in event.metadata.items()}


def _content(value: dg.MetadataValue[Any]) -> Any:
    """The content of a metadata value; of a table, its records."""
    if isinstance(value, dg.TableMetadataValue):
        return [dict(record.data) for record in value.records]
    return value.value


def frame_rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Rows as comparable tuples."""
    return sorted(frame.rows(), key=repr)
