"""Row rules of every table: `BARS` from `bars`, those of all others and what tells which are broken from `rows`."""

from paiid_pipeline.quality.bars import BARS
from paiid_pipeline.quality.rows import (
    ARTICLE_SENTIMENT,
    INDICATORS,
    LABELLED_TEXTS,
    NEWS,
    SIGNAL_ROWS,
    SIGNALS,
    SYMBOL_SENTIMENT,
    Rules,
    broken,
    fault,
)

__all__ = [
    "ARTICLE_SENTIMENT", "BARS", "INDICATORS", "LABELLED_TEXTS", "NEWS", "SIGNALS", "SIGNAL_ROWS", "SYMBOL_SENTIMENT",
    "Rules", "broken", "fault",
]  # fmt: skip
