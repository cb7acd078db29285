"""What every asset of the pipeline declares, in one place: partitions, owners, kinds, tags, freshness."""

from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl

from paiid_pipeline.defs.partitions import UNIVERSE

OWNERS = ["team:data-engineering"]
SINGLE_RUN = dg.BackfillPolicy.single_run()


def freshness(cadence: timedelta) -> dg.FreshnessPolicy:
    """Late after four missed refreshes; on an exchange that closes, judged inside its usual hours only."""
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


def described(frame: pl.DataFrame, moment: str) -> dict[str, Any]:
    """Row count, the range of the column ``moment``, symbols and schema of what an asset made."""
    metadata: dict[str, Any] = {
        "dagster/row_count": frame.height,
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, str(kind)) for name, kind in frame.schema.items()]
        ),
    }
    if frame.height:
        low, high = frame[moment].min(), frame[moment].max()
        metadata["first"] = dg.MetadataValue.timestamp(low)
        metadata["last"] = dg.MetadataValue.timestamp(high)
    if "symbol" in frame.columns:
        metadata["symbols"] = frame["symbol"].n_unique()
    return metadata


def counted(frame: pl.DataFrame, column: str = "reason") -> dg.MetadataValue:
    """How often each value of a column occurs, as a Markdown table; said plainly where there is none."""
    if frame.is_empty():
        return dg.MetadataValue.md("none")
    counts = frame.group_by(column).agg(pl.len().alias("rows")).sort("rows", column, descending=[True, False])
    lines = [f"| {value} | {rows} |" for value, rows in counts.head(50).iter_rows()]
    return dg.MetadataValue.md("\n".join([f"| {column} | rows |", "| --- | --- |", *lines]))
