"""What each part of the graph opens, and what it does without."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from paiid_pipeline_tests.defs.world import PipelineAt


@pytest.mark.parametrize("source", ["alpaca", "tradier", "synthetic"])
def test_the_dates_of_news_need_no_vendor(source: str) -> None:
    """Scoring and checking what is stored works on a machine without the vendor's keys."""
    pipeline = PipelineAt(moment="2014-06-09T19:00:00+00:00", real_time=False, variables={"PAIID_SOURCE": source})
    start, end = pipeline.news_window(date(2014, 6, 9))
    assert start < datetime(2014, 6, 9, tzinfo=UTC) < end
    with pytest.raises(LookupError):
        pipeline.source  # noqa: B018
