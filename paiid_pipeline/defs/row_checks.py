"""The check of an asset by the rules of its table's rows."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

import dagster as dg
import polars as pl
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from paiid_pipeline.defs.factories import by_partition
from paiid_pipeline.defs.partitions import PartitionSlice, partition_keys, selected_slice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.quality.rows import Rules, broken

Read = Callable[[PipelineResource, PartitionSlice], pl.DataFrame]
Evaluations = Iterator[dg.AssetCheckEvaluation | dg.Output[None]]

_SHOWN = 5


def rules_check(
    asset: dg.AssetsDefinition,
    rules: Rules,
    read: Read,
    moment: str,
    nothing: Callable[[PipelineResource, PartitionSlice], bool] | None = None,
) -> dg.AssetChecksDefinition:
    """A check of the rows of the partitions just made; ``moment`` places a row in one.

    A row that breaks a rule is a warning: decisions on it are withheld, and all others are made. Errors of the whole
    table block: a missing column and, where ``nothing`` is true, a run without any row.
    """

    @dg.asset_check(  # type: ignore[arg-type]  # it also takes what yields evaluations
        asset=asset,
        name="sound_rows",
        blocking=True,
        partitions_def=asset.partitions_def,
        description="Every row of the partition satisfies: " + "; ".join(rules) + ".",
    )
    def sound_rows(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> Evaluations:
        part = selected_slice(context)
        rows = read(pipeline, part)
        parts = by_partition(partition_keys(context), pipeline, rows, moment)
        if rows.is_empty() and nothing is not None and nothing(pipeline, part):
            none = dg.AssetCheckResult(passed=False, description="nothing has arrived", metadata={"rows checked": 0})
            results = dict.fromkeys(parts, none)
        else:
            results = {key: row_check_result(found, rules, dg.AssetCheckSeverity.WARN) for key, found in parts.items()}
        yield from evaluated(context, asset.key, "sound_rows", results)

    return sound_rows


def evaluated(
    context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, check: str, results: Mapping[str, dg.AssetCheckResult]
) -> Evaluations:
    """The evaluations of a blocking check, one a partition.

    Dagster plans a check of a run over a range once a partition, but would record what the check returns once, of
    no partition: each planned one would stay "skipped".
    """
    made = _materializations(context.instance, asset, list(results))
    for key, result in results.items():
        yield dg.AssetCheckEvaluation(
            asset_key=asset,
            check_name=check,
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
            target_materialization_data=made.get(key),
            blocking=True,
            partition=key,
        )
    yield dg.Output(None)


def _materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: list[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The newest materialization of each partition; Dagster takes an evaluation of any other for outdated."""
    newest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION, set(keys))
    if not newest:
        return {}
    wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(newest.values()))
    return {
        record.partition_key: AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in instance.fetch_materializations(wanted, limit=len(newest)).records
        if record.partition_key
    }


def row_check_result(
    rows: pl.DataFrame, rules: Rules, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> dg.AssetCheckResult:
    """Passed where no row breaks a rule; says how many break which, and of which symbols."""
    try:
        counts = broken(rows, rules)
    except pl.exceptions.ColumnNotFoundError as error:
        return dg.AssetCheckResult(passed=False, description=f"a column is missing: {error}")
    found = "; ".join(
        f"{count} rows break '{name}'{_symbols(rows, rules[name])}" for name, count in counts.items() if count
    )
    return dg.AssetCheckResult(
        passed=not found,
        severity=severity,
        metadata={"rows checked": rows.height, **counts},
        description=found or "all rows are sound",
    )


def _symbols(rows: pl.DataFrame, rule: pl.Expr) -> str:
    if "symbol" not in rows.columns:
        return ""
    names = rows.filter((~rule).fill_null(True))["symbol"].unique().sort().to_list()
    return f" ({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"


def moments(pipeline: PipelineResource, part: PartitionSlice) -> tuple[datetime, datetime]:
    """The open of the first session and the close of the last one of a slice."""
    sessions = pipeline.calendar.sessions(part.days[0], part.days[-1])
    return sessions[0].open, sessions[-1].close
