"""Validation of vendor rows: rows of the schema and refusals. Pure: no network and no clock.

Every delivered row is in exactly one of three places: the valid rows, the refusals (with its reason and its payload as
JSON text) or, for a bar that has not ended, the count ``in_progress``.
"""

from paiid_pipeline.schemas import DataKind
from paiid_pipeline.sources.validation.actions import AFTER_EX, BEFORE_EX, check_actions
from paiid_pipeline.sources.validation.bars import BarShape, check_bars, epoch_seconds, local_date, rfc3339
from paiid_pipeline.sources.validation.news import check_news
from paiid_pipeline.sources.validation.shared import (
    KEYS,
    SCHEMAS,
    RequestScope,
    ValidatedPage,
    as_json,
    collapse,
    refusal,
)

__all__ = [
    "AFTER_EX",
    "BEFORE_EX",
    "KEYS",
    "SCHEMAS",
    "BarShape",
    "DataKind",
    "RequestScope",
    "ValidatedPage",
    "as_json",
    "check_actions",
    "check_bars",
    "check_news",
    "collapse",
    "epoch_seconds",
    "local_date",
    "refusal",
    "rfc3339",
]
