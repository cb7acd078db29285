"""Shared by the assets with one row a decision: the decisions that a run has to make, and the report of the run."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from paiid_pipeline.decisions import NEWS_PATIENCE, decision_grid, pending, read_range, with_coverage_gap
from paiid_pipeline.defs.factories import partition_metadata
from paiid_pipeline.defs.metadata import counted
from paiid_pipeline.defs.partitions import selected_slice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.schemas import DECISION_KEY, DECISIONS, WITHHELD, empty
from paiid_pipeline.sources import provided
from paiid_pipeline.trading_calendar import HORIZONS
from paiid_pipeline.warehouse import DecisionTable, WriteResult

KEY = list(DECISION_KEY)


class RefreshConfig(dg.Config):
    """How much of the partition to make."""

    only_new: bool = False
    """True appends the decisions newer than the newest stored; false recomputes the whole partition."""
    through: str | None = None
    """A decision time (ISO): wait until it has settled, so that it is among the decisions made."""


def pending_decisions(
    context: dg.AssetExecutionContext, config: RefreshConfig, pipeline: PipelineResource, table: DecisionTable
) -> Iterator[pl.DataFrame]:
    """DECISIONS: the decisions to make, one frame a session and horizon, none of them empty."""
    part = selected_slice(context)
    if config.through:
        settled = datetime.fromisoformat(config.through) + pipeline.settings.decision_lag
        left = (settled - pipeline.clock.now()).total_seconds()
        if left > 0:
            context.log.info(f"waiting {left:.0f} s until the decision of {config.through} has settled")
        pipeline.clock.wait_until(settled)
    now = pipeline.clock.now()
    for day in part.days:
        decisions = decision_grid(part.symbols, [day], pipeline.settings, now)
        for horizon in HORIZONS:
            due = decisions.filter(pl.col("horizon") == horizon)
            if config.only_new and due.height:
                span = read_range(due)
                due = pending(
                    due, pipeline.warehouse.decision_table(table).decided(part.symbols, horizon, span.first, span.last)
                )
            if due.height:
                context.log.info(f"{day} {horizon}: {due.height} decisions")
                yield due


def without_news(pipeline: PipelineResource, decisions: pl.DataFrame) -> pl.DataFrame:
    """WITHHELD: the decisions whose news look-back was not requested; none where the source has no news."""
    settings = pipeline.settings
    if "news" not in provided(settings):
        return empty(WITHHELD)
    span = read_range(decisions)
    start, end = span.first - settings.news_lookback, span.last - NEWS_PATIENCE
    spans = pipeline.warehouse.coverage.missing(settings.source, "news", span.symbols, start, end)
    found = [(symbol, gap.start, gap.end) for gap in spans for symbol in gap.symbols]
    moment = DECISIONS["as_of"]
    gaps = pl.DataFrame(found, {"symbol": pl.String, "gap_start": moment, "gap_end": moment}, orient="row")
    return with_coverage_gap("news", decisions, gaps, settings.news_lookback, NEWS_PATIENCE)


def no_news_source(pipeline: PipelineResource) -> dict[str, str]:
    """The metadata of a source without news; empty for one with news."""
    source = pipeline.settings.source
    return {} if "news" in provided(pipeline.settings) else {"news": f"{source} has none: decided without"}


class DecisionReport:
    """Rows made and withheld over the sessions of a run, with the write result, for the asset's metadata."""

    def __init__(self, table: DecisionTable, schema: Mapping[str, Any]) -> None:
        self._table = table
        self._due = 0
        self._rows = pl.DataFrame(schema=schema)
        self._withheld = pl.DataFrame(schema=WITHHELD)
        self._written = WriteResult(0, 0, 0)

    def add(self, decisions: pl.DataFrame, rows: pl.DataFrame, written: WriteResult, withheld: pl.DataFrame) -> None:
        """Add one session's decisions: each has a row in ``rows`` or in ``withheld``."""
        self._due += decisions.height
        self._rows = pl.concat([self._rows, rows])
        self._written += written
        self._withheld = pl.concat([self._withheld, withheld])

    def report(self, context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dict[str, Any]:
        """Adds the metadata of each partition, and returns that of the run."""
        partition_metadata(context, pipeline, self._table, self._rows, "as_of")
        return {
            "due": self._due,
            "inserted": self._written.inserted,
            "changed": self._written.restated,
            "unchanged": self._written.unchanged,
            "withheld": self._withheld.height,
            "withheld because": counted(self._withheld.pipe(alike)),
        }

    def count(self, condition: pl.Expr) -> int:
        """The number of rows made that satisfy a condition."""
        return self._rows.filter(condition).height

    def counts(self, column: str) -> dg.TableMetadataValue:
        """How often each value of a column occurs in the rows made."""
        return counted(self._rows, column)


def alike(withheld: pl.DataFrame) -> pl.DataFrame:
    """``withheld`` with one reason for those that differ only in numbers: the newest's, and the number of others."""
    kind = pl.col("reason").str.replace_all(r"\d+", "n")
    newest = pl.col("reason").sort_by("as_of", "symbol").last().over(kind)
    others = pl.col("reason").n_unique().over(kind) - 1
    shown = pl.when(others > 0).then(pl.format("{} (and {} like it)", newest, others)).otherwise(newest)
    return withheld.with_columns(shown.alias("reason"))
