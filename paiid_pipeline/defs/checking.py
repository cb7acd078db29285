"""From the rules of a table to the blocking check of the asset that writes it."""

from collections.abc import Callable
from datetime import datetime

import dagster as dg
import polars as pl

from paiid_pipeline.defs.partitions import Slice, selected
from paiid_pipeline.defs.resources import Pipeline
from paiid_pipeline.quality import Rules, broken

Read = Callable[[Pipeline, Slice], pl.DataFrame]


def rules_check(asset: dg.AssetsDefinition, rules: Rules, read: Read) -> dg.AssetChecksDefinition:
    """A blocking check that no row of the partitions just made breaks a rule."""

    @dg.asset_check(
        asset=asset,
        name="sound_rows",
        blocking=True,
        partitions_def=asset.partitions_def,
        description="Every row of the partition satisfies: " + "; ".join(rules) + ".",
    )
    def sound_rows(context: dg.AssetCheckExecutionContext, pipeline: Pipeline) -> dg.AssetCheckResult:
        return soundness(read(pipeline, selected(context)), rules)

    return sound_rows


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
