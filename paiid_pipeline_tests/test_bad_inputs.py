"""Every bad input has an outcome of its own: what the vendor sends, checked, stored, read and decided on.

One table of cases, from the vendor's JSON to the signal; `sources/test_validation.py` has every way in which a single
row can be bad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from paiid_pipeline.schemas import STORED_ARTICLE_SENTIMENT, STORED_BARS, STORED_CORPORATE_ACTIONS, empty
from paiid_pipeline.sentiment.aggregate import aggregate
from paiid_pipeline.signals.generator import SignalGenerator
from paiid_pipeline.sources.validation import check_bars, collapse
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline_tests.lookahead.histories import MAX_AGE
from paiid_pipeline_tests.sources.validation.rows import ALPACA, asked, bar
from paiid_pipeline_tests.technicals.test_decision_indicators import decisions_at

FIRST = datetime.fromisoformat("2014-06-09T13:30:00+00:00")
COUNT = 300
AT = FIRST + timedelta(minutes=COUNT)

Rows = list[dict[str, Any]]


def good() -> Rows:
    """A session's first 300 minutes, as Alpaca writes them."""
    closes = np.round(100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.001, COUNT))), 2)
    return [minute(step, float(close)) for step, close in enumerate(closes)]


def minute(step: int, close: float, offset: str = "+00:00") -> dict[str, Any]:
    local = FIRST + timedelta(minutes=step) + timedelta(hours=int(offset[:3]))
    at = local.strftime("%Y-%m-%dT%H:%M:%S") + offset
    return bar(at, o=close, h=round(close + 0.05, 2), l=round(close - 0.05, 2), c=close, vw=close)


@dataclass(frozen=True)
class Outcome:
    """What became of some rows: what was refused and why, and the decision or why there is none."""

    refused: list[str]
    withheld: list[str]
    signals: pl.DataFrame
    indicators: pl.DataFrame


def outcome(rows: Rows) -> Outcome:
    """The path of the assets, without the servers."""
    yardstick = asked()
    checked = collapse([check_bars({"AAPL": rows}, ALPACA, yardstick, yardstick.sessions())], yardstick)
    stored = checked.rows.with_columns(known_at=pl.col("bar_end"), nominal=pl.lit(True)).select(STORED_BARS.keys())
    decision = decisions_at(AT, symbol="AAPL").with_columns(session_open=pl.lit(FIRST), anchor=pl.lit(FIRST))
    indicators, withheld = decide_indicators(stored, empty(STORED_CORPORATE_ACTIONS), decision, MAX_AGE)
    sentiment = aggregate(empty(STORED_ARTICLE_SENTIMENT), decision, timedelta(days=3), timedelta(hours=12))
    signals, undecided = SignalGenerator().decide(indicators, sentiment)
    reasons = pl.concat([withheld, undecided])["reason"].to_list()
    return Outcome(checked.refusals["reason"].to_list(), reasons, signals, indicators)


def nan_inside() -> Rows:
    return [row if step != 150 else bar(row["t"], c=float("nan")) for step, row in enumerate(good())]


def gap() -> Rows:
    return [row for step, row in enumerate(good()) if step != 150]


def flat() -> Rows:
    return [bar(row["t"], o=50.0, h=50.0, l=50.0, c=50.0, vw=50.0) for row in good()]


def unsorted() -> Rows:
    rows = good()
    return [rows[place] for place in np.random.default_rng(0).permutation(COUNT)]


def duplicated() -> Rows:
    return [row for row in good() for _ in range(2)]


def mixed_zones() -> Rows:
    offsets = ("+00:00", "-04:00", "+09:00")
    return [minute(step, row["c"], offsets[step % 3]) for step, row in enumerate(good())]


def without_zone() -> Rows:
    return [bar(row["t"][:-6], **{key: row[key] for key in "ohlc"}) if step == 150 else row
            for step, row in enumerate(good())]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "refused", "same_as", "withheld"),
    [
        (good, [], good, None),
        (nan_inside, ["not_finite"], gap, None),
        (flat, [], None, "the price has not moved in 300 bars"),
        (lambda: good()[-1:], [], None, "only 1 of 250 bars"),
        (lambda: good()[-249:], [], None, "only 249 of 250 bars"),
        (lambda: good()[:-30], [], None, "newest bar ended 2014-06-09 18:00:00 UTC, 1800 s before the decision"),
        (unsorted, [], good, None),
        (duplicated, ["duplicate_bar"], good, None),
        (mixed_zones, [], good, None),
        (without_zone, ["bad_timestamp"], gap, None),
        (list, [], None, "no bars since"),
    ],
    ids=[
        "good", "NaN inside", "flat", "one bar", "too few bars", "stale", "unsorted", "duplicated", "mixed time zones",
        "no time zone", "no bars",
    ],
)  # fmt: skip
def test_each_bad_input_has_its_outcome(
    rows: Callable[[], Rows], refused: list[str], same_as: Callable[[], Rows] | None, withheld: str | None
) -> None:
    """Refused with a reason and the rest used as if it had never come, or withheld with a reason; nothing else."""
    found = outcome(rows())
    assert found.refused == refused
    if withheld is not None:
        assert found.signals.is_empty()
        assert [reason[: len(withheld)] for reason in found.withheld] == [withheld]
        return
    assert same_as is not None
    assert found.withheld == []
    expected = outcome(same_as())
    assert found.indicators.equals(expected.indicators)
    assert found.signals.equals(expected.signals)
    assert found.signals.height == 1


def test_a_symbol_without_news_is_decided_on_its_technicals_and_says_so() -> None:
    signal = outcome(good()).signals.row(0, named=True)
    assert "No news on this symbol: confidence lowered" in signal["reasons"]
    assert signal["confidence"] < 0.8
