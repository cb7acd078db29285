"""The public entry to the indicators: bars in, indicators out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline.technicals.panel import indicator_panel
from paiid_pipeline.trading_calendar import HORIZONS, Horizon

_KEYS = ("symbol", "timeframe")
_NO_LIMIT = timedelta(days=36_500)


class TechnicalAnalyzer:
    """Indicators of bars: at every bar, or as of decisions.

    ``max_bar_age``: the greatest age of the newest bar of a decision, by horizon; unlimited by default.
    """

    def __init__(self, max_bar_age: Mapping[Horizon, timedelta] | None = None) -> None:
        self._max_bar_age = max_bar_age or dict.fromkeys(HORIZONS, _NO_LIMIT)

    def indicator_panel(self, bars: pl.DataFrame) -> pl.DataFrame:
        """``bars`` with every indicator of `schemas.INDICATORS` at every bar; see `panel`.

        ``bars``: close, high, low, volume and, where they are known, vwap, adjusted to one price basis a series. They
        are sorted by ``bar_start`` where there is one, and are in order otherwise; a series is a symbol and timeframe,
        where there are such columns. Rows are returned by series and time.
        """
        keys = [name for name in _KEYS if name in bars.columns]
        order = [*keys, *(name for name in ("bar_start",) if name in bars.columns)]
        ordered = bars.sort(order, maintain_order=True) if order else bars
        if keys:
            return indicator_panel(ordered, keys)
        return indicator_panel(ordered.with_columns(symbol=pl.lit("")), ["symbol"]).drop("symbol")

    def decide_indicators(
        self, versions: pl.DataFrame, actions: pl.DataFrame, decisions: pl.DataFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Indicators as of each decision, and the withheld ones; see `decision_indicators`."""
        return decide_indicators(versions, actions, decisions, self._max_bar_age)
