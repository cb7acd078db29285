"""What every partitioned asset declares: partitions, owners, kinds, tags, freshness, metadata by partition."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import dagster as dg
import polars as pl

from paiid_pipeline.defs.partitions import UNIVERSE, dimensions
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.schemas import MOMENT
from paiid_pipeline.settings import TTL, CacheKind

OWNERS = ["team:data-engineering"]
_NO_TAGS: Mapping[str, str] = MappingProxyType({})


def partitioned(
    group: str,
    partitions: dg.PartitionsDefinition[str],
    *upstream: dg.AssetsDefinition,
    kinds: set[str],
    layer: str,
    cadence: CacheKind,
    pool: str | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The decorator of a partitioned asset: any range of its partitions is one run, refreshed at a cadence."""
    return dg.asset(
        group_name=group,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=list(upstream),
        owners=OWNERS,
        kinds=kinds,
        tags={"layer": layer, "cadence": cadence},
        freshness_policy=freshness(TTL[cadence]),
        pool=pool,
    )


def background_job(
    name: str, *assets: dg.AssetsDefinition, description: str, tags: Mapping[str, str] = _NO_TAGS
) -> Any:
    """A job off the cadences: in one process, ended after a quarter of an hour unless ``tags`` allow more."""
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*assets),
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": "900", **tags},
        description=description,
    )


def scheduled(job: Any, cron: str, description: str) -> dg.ScheduleDefinition:
    """The schedule of a job off the cadences, in UTC and on from the start."""
    return dg.ScheduleDefinition(
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )


def freshness(cadence: timedelta) -> dg.FreshnessPolicy:
    """Stale after four missed refreshes; on an exchange that closes, evaluated in its usual hours only."""
    window = max(cadence * 4, timedelta(minutes=5))
    calendar = UNIVERSE.calendar
    if calendar.name == "24/7":
        return dg.FreshnessPolicy.time_window(fail_window=window, warn_window=window / 2)
    minutes = min(int(window.total_seconds() // 60), 30)
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"*/{minutes} 10-15 * * 1-5" if minutes < 30 else "0,30 10-15 * * 1-5",
        lower_bound_delta=timedelta(minutes=minutes),
        timezone=str(calendar.timezone),
    )


def partition_metadata(
    context: dg.AssetExecutionContext, pipeline: PipelineResource, table: str, rows: pl.DataFrame, moment: str
) -> None:
    """Add the column schema, and for each partition its stored rows and the number of rows of this run.

    ``rows`` is what the run made; ``moment`` places a row in a partition.
    """
    meanings = pipeline.warehouse.table(table).comments()
    columns = [dg.TableColumn(name, _type_name(kind), meanings.get(name)) for name, kind in rows.schema.items()]
    context.add_asset_metadata({"dagster/column_schema": dg.TableSchema(columns=columns)})
    keys = context.partition_keys
    stored = _stored(keys, pipeline, table)
    for key, made in by_partition(keys, pipeline, rows, moment).items():
        found = stored[key]
        facts: dict[str, Any] = {"dagster/row_count": found["rows"].sum(), "rows of this run": made.height}
        if found.height:
            low, high = found["first"].min(), found["last"].max()
            facts |= {"first": dg.MetadataValue.timestamp(low), "last": dg.MetadataValue.timestamp(high)}
        if found["symbol"].count():
            facts["symbols"] = found["symbol"].n_unique()
        context.add_asset_metadata(facts, partition_key=key)


def _stored(keys: Sequence[str], pipeline: PipelineResource, table: str) -> dict[str, pl.DataFrame]:
    """By partition key, what the warehouse holds: rows, first and last moment by symbol."""
    days = sorted({dimensions(key)[0] for key in keys})
    calendar = pipeline.calendar
    after = [calendar.sessions(day + timedelta(days=1), day + timedelta(days=14))[0].day for day in days]
    spans = [(calendar.day_start(day), calendar.day_start(end)) for day, end in zip(days, after, strict=True)]
    found = pipeline.warehouse.table(table).extents(UNIVERSE.symbols, spans)
    stored = {}
    for key in keys:
        day, segment = dimensions(key)
        part = found.filter(pl.col("span") == days.index(day))
        if segment is not None:
            part = part.filter(pl.col("symbol").is_in(list(UNIVERSE.segments[segment])))
        stored[key] = part
    return stored


def by_partition(
    keys: Sequence[str], pipeline: PipelineResource, rows: pl.DataFrame, moment: str
) -> dict[str, pl.DataFrame]:
    """The rows of each partition key; a moment belongs to the newest session whose date, or open, has come before."""
    days = sorted({dimensions(key)[0] for key in keys})
    calendar = pipeline.calendar
    after = calendar.sessions(days[-1] + timedelta(days=1), days[-1] + timedelta(days=14))[:1]
    sessions = [*(s for day in days if (s := calendar.session(day)) is not None), *after]
    starts = pl.DataFrame(
        [(session.day, min(session.open, calendar.day_start(session.day))) for session in sessions],
        schema={"session": pl.Date, "_since": MOMENT},
        orient="row",
    )
    since = (pl.col(moment) - pl.duration(microseconds=1)).cast(MOMENT)
    dated = rows.with_columns(_since=since).sort("_since").join_asof(starts, on="_since", strategy="backward")
    dated = dated.drop("_since")
    found = {}
    for key in keys:
        day, segment = dimensions(key)
        part = dated.filter(pl.col("session") == day)
        if segment is not None and "symbol" in rows.columns:
            part = part.filter(pl.col("symbol").is_in(list(UNIVERSE.segments[segment])))
        found[key] = part
    return found


def _type_name(kind: pl.DataType) -> str:
    return "Datetime, UTC" if isinstance(kind, pl.Datetime) else str(kind)
