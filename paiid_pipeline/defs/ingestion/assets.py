import dagster as dg

from paiid_pipeline.defs.factories import partition_metadata, partitioned
from paiid_pipeline.defs.metadata import bullets, counted
from paiid_pipeline.defs.partitions import DATE, DATE_BY_SEGMENT, selected_slice
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.ingestion import IngestionResult
from paiid_pipeline.schemas import BARS, CORPORATE_ACTIONS, NEWS


@partitioned("ingestion", DATE_BY_SEGMENT, kinds={"postgres", "polars"}, layer="raw", cadence="market", pool="source")
def market_bars(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
    """Minute and daily bars, raw as traded, with splits and dividends beside them.

    A partition holds the bars of its session, and fetches whatever the warehouse still lacks of the
    history that the session's decisions may use. Bitemporal: a restated bar is a new row with its own
    `known_at`. Rejected records are in `quarantine`.
    """
    part = selected_slice(context)
    ingestion = pipeline.ingestion
    got = ingestion.gather(ingestion.needed_market(part.days), part.symbols, log=context.log.info)
    _fail_if_nothing_came(got)
    partition_metadata(context, pipeline, "market_bars", got.rows(BARS, "1Min", "1Day"), "bar_end")
    return dg.MaterializeResult(metadata={**_report(got), **_actions(got)})


@partitioned("ingestion", DATE, kinds={"postgres", "polars"}, layer="raw", cadence="news", pool="source")
def news_articles(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[None]:
    """Articles about the universe, every version of each.

    A partition holds what was published from its session's date up to the next session's, and fetches
    what the warehouse still lacks of the look-back of sentiment. An edited article is a new row.
    """
    part = selected_slice(context)
    ingestion = pipeline.ingestion
    got = ingestion.gather(ingestion.needed_news(part.days), part.symbols, log=context.log.info)
    _fail_if_nothing_came(got)
    partition_metadata(context, pipeline, "news_articles", got.rows(NEWS, "news"), "published_at")
    return dg.MaterializeResult(metadata=_report(got))


def _fail_if_nothing_came(got: IngestionResult) -> None:
    """Raises dg.Failure where no request was answered: that is a failed run, not an empty one."""
    if got.failed:
        raise dg.Failure(
            "the source answered nothing: " + "; ".join(sorted(set(got.errors))[:5]), metadata=_report(got)
        )


def _report(got: IngestionResult) -> dict[str, dg.MetadataValue | int | str]:
    return {
        "inserted": got.written.inserted,
        "restated": got.written.restated,
        "unchanged": got.written.unchanged,
        "quarantined": got.quarantined,
        "refused": counted(got.refusals),
        "symbols without data": ", ".join(got.symbols_without_data) or "none",
        "errors": bullets(got.errors),
        "requests": got.requests,
        "retries": got.retries,
    }


def _actions(got: IngestionResult) -> dict[str, dg.MetadataValue]:
    return {"corporate actions": counted(got.rows(CORPORATE_ACTIONS, "actions"), "kind")}
