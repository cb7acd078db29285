"""From the rules of a table to the blocking check of the asset that writes it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

import dagster as dg
import polars as pl
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from paiid_pipeline.defs.asset import by_partition
from paiid_pipeline.defs.partitions import Slice, partition_keys, selected
from paiid_pipeline.defs.resources import Pipeline
from paiid_pipeline.quality import Rules, broken

Read = Callable[[Pipeline, Slice], pl.DataFrame]
Evaluations = Iterator[dg.AssetCheckEvaluation | dg.Output[None]]


def rules_check(asset: dg.AssetsDefinition, rules: Rules, read: Read, moment: str) -> dg.AssetChecksDefinition:
    """A blocking check that no row of the partitions just made breaks a rule; ``moment`` places a row in one."""

    @dg.asset_check(  # type: ignore[arg-type]  # it also takes what yields evaluations
        asset=asset,
        name="sound_rows",
        blocking=True,
        partitions_def=asset.partitions_def,
        description="Every row of the partition satisfies: " + "; ".join(rules) + ".",
    )
    def sound_rows(context: dg.AssetCheckExecutionContext, pipeline: Pipeline) -> Evaluations:
        rows = read(pipeline, selected(context))
        parts = by_partition(partition_keys(context), pipeline, rows, moment)
        yield from evaluated(
            context, asset.key, "sound_rows", {key: soundness(part, rules) for key, part in parts.items()}
        )

    return sound_rows


def evaluated(
    context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, check: str, results: Mapping[str, dg.AssetCheckResult]
) -> Evaluations:
    """What a blocking check came to, of each partition.

    Dagster plans a check of a run over a range once a partition, but would record what the check returns once, of
    no partition: each planned one would read "skipped", for ever.
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


def soundness(rows: pl.DataFrame, rules: Rules) -> dg.AssetCheckResult:
    """Passed where no row breaks a rule; says how many break which."""
    counts = broken(rows, rules)
    said = "; ".join(f"{count} rows break '{name}'" for name, count in counts.items() if count)
    return dg.AssetCheckResult(
        passed=not said, metadata={"rows checked": rows.height, **counts}, description=said or "all rows are sound"
    )


def moments(pipeline: Pipeline, part: Slice) -> tuple[datetime, datetime]:
    """The open of the first session and the close of the last one of a slice."""
    sessions = pipeline.calendar.sessions(part.days[0], part.days[-1])
    return sessions[0].open, sessions[-1].close
