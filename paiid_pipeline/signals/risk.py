"""Position sizing, stop-loss and take-profit, and the conditions under which no position is opened.

A signal is a target position, held until the next decision on its symbol or until it expires. Stops hit and losses
follow from the earlier signals, each of which carries the price of its moment; so sizing at T depends only on signals
before T, and is the same live and recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import polars as pl

from paiid_pipeline.arrays import Floats, Indices
from paiid_pipeline.schemas import (
    MOMENT,
    PRIOR_POSITIONS,
    QUARANTINED_BARS,
    SIDES,
    STORED_CORPORATE_ACTIONS,
    Schema,
    empty,
)
from paiid_pipeline.signals.risk_limits import HorizonLimits, RiskLimits
from paiid_pipeline.signals.rules import load_rules
from paiid_pipeline.technicals.adjustment import REBASED
from paiid_pipeline.technicals.corporate_actions import counted
from paiid_pipeline.trading_calendar import HORIZONS, Horizon

LONGEST_HOLD: Mapping[Horizon, timedelta] = {"intraday": timedelta(hours=1), "daily": timedelta(days=10)}
"""The longest holding period, whatever ``valid_until`` is; it spans an exchange's closed days."""

_ONE_SEGMENT = "all"
_FRACTION_STEPS = 1e6
"""Fractions are rounded down to multiples of 1 / this."""
_LONG_AGO = np.iinfo(np.int64).min // 2
_HOUR = 3_600_000_000


@dataclass(frozen=True)
class RiskInputs:
    """The state that sizing depends on besides the rows to size; each decision uses only what was known at its moment.

    ``earlier``: signals before (`schemas.PRIOR_POSITIONS`), of several rows of a decision the newest last; a decision
    uses those of its horizon, before it, within :func:`risk_lookback`. ``actions``:
    `schemas.STORED_CORPORATE_ACTIONS`, all versions. ``quarantined``: `schemas.QUARANTINED_BARS`.
    """

    earlier: pl.DataFrame = field(default_factory=lambda: empty(PRIOR_POSITIONS))
    actions: pl.DataFrame = field(default_factory=lambda: empty(STORED_CORPORATE_ACTIONS))
    quarantined: pl.DataFrame = field(default_factory=lambda: empty(QUARANTINED_BARS))


def risk_lookback(limits: RiskLimits, horizon: Horizon) -> timedelta:
    """How far back the earlier signals reach that a decision may use."""
    return limits.horizons[horizon].memory + LONGEST_HOLD[horizon]


class RiskManager:
    """Sizes signals, by default within the limits of the shipped rules.

    ``segments``: segment by symbol; by default all symbols are one. The signals of a segment at one decision time share
    a budget, so they must be sized together. The budget is the segment's cap or, if less, its share of the portfolio's
    cap by number of symbols, so that segments are independent.
    """

    def __init__(self, limits: RiskLimits | None = None, segments: Mapping[str, str] | None = None) -> None:
        self._limits, self._segments = limits or load_rules().limits, dict(segments or {})

    def size(self, rows: pl.DataFrame, risk_inputs: RiskInputs) -> pl.DataFrame:
        """``rows`` with ``stop_loss``, ``take_profit``, ``position_fraction`` and ``adjustments``, in their order.

        ``rows``: symbol, horizon, as_of, signal, confidence in [0, 1], price (above 0) and atr_percent (at
        least 0), both finite, turnover_20 (null counts as illiquid), valid_until. For HOLD the first three
        are null; for others the fraction lies in [0, max_symbol], 0 where no position may be opened. ``adjustments``:
        texts of what was cut or blocked, and why.
        """
        numbered = rows.with_row_index("_row")
        sized = [
            self._sized(part, risk_inputs, horizon)
            for horizon in HORIZONS
            if (part := numbered.filter(pl.col("horizon") == horizon)).height
        ]
        outcome = pl.concat(sized) if sized else pl.DataFrame(schema={"_row": pl.UInt32, **_OUTCOME})
        return numbered.join(outcome, on="_row", how="left", maintain_order="left").drop("_row")

    def _sized(self, rows: pl.DataFrame, risk_inputs: RiskInputs, horizon: Horizon) -> pl.DataFrame:
        limits = self._limits.horizons[horizon]
        proposed = self._proposed(rows, limits)
        ledger = _Ledger(proposed, risk_inputs, horizon, self._segment_of)
        blocks = _PositionBlocks(limits, ledger, proposed, risk_inputs.quarantined)
        budgets = self._budgets(ledger.segments)
        volatility_sized, side = proposed["fraction"].to_numpy(), proposed["side"].to_numpy()
        capped = np.minimum(volatility_sized, self._limits.max_symbol)
        fractions = np.zeros(rows.height)
        texts: list[list[str]] = [[] for _ in range(rows.height)]
        for moment in range(len(ledger.times)):
            ledger.mark_to_market(moment)
            here = ledger.rows_at(moment)
            blocked = blocks.reasons(moment, here[side[here] != 0])
            allowed = np.where(np.isin(here, list(blocked)), 0.0, capped[here])
            fractions[here] = _within(allowed, ledger.segment[ledger.column[here]], budgets)
            ledger.open_positions(moment, here, side[here] * fractions[here])
            for row, text in blocked.items():
                texts[row].append(text)
        cut = (fractions < volatility_sized) & (side != 0)
        for row in np.flatnonzero(cut).tolist():
            if not texts[row]:
                texts[row] = _cuts(volatility_sized[row], capped[row], fractions[row])
        held = pl.col("side") != 0
        return proposed.with_columns(pl.Series("position_fraction", fractions)).select(
            "_row",
            *(pl.when(held).then(name).alias(name) for name in ("stop_loss", "take_profit", "position_fraction")),
            pl.Series("adjustments", texts, dtype=pl.List(pl.String)),
        )

    def _proposed(self, rows: pl.DataFrame, limits: HorizonLimits) -> pl.DataFrame:
        """``rows`` with side, stop_loss, take_profit and ``fraction``, the position sized by volatility alone."""
        lowest, highest = self._limits.min_stop, self._limits.max_stop
        side = pl.col("signal").replace_strict(SIDES, return_dtype=pl.Float64)
        stop = (pl.col("atr_percent") * limits.stop_atr).clip(lowest, highest)
        gain = (pl.col("atr_percent") * limits.take_profit_atr).clip(lowest, 0.9)
        shares = rows.with_columns(side.alias("side"), stop.alias("_stop"), gain.alias("_gain"))
        return shares.with_columns(
            (pl.col("price") * (1.0 - pl.col("side") * pl.col("_stop"))).alias("stop_loss"),
            (pl.col("price") * (1.0 + pl.col("side") * pl.col("_gain"))).alias("take_profit"),
            (pl.col("side").abs() * pl.col("confidence") * limits.risk_per_trade / pl.col("_stop")).alias("fraction"),
        )

    def _segment_of(self, symbol: str) -> str:
        return self._segments.get(symbol, _ONE_SEGMENT)

    def _budgets(self, segments: list[str]) -> Floats:
        everyone = list(self._segments.values())
        if not everyone:
            return np.full(len(segments), self._limits.max_portfolio)
        shares = (everyone.count(name) / len(everyone) for name in segments)
        return np.array([min(self._limits.max_segment, self._limits.max_portfolio * share) for share in shares])


_OUTCOME: Schema = {
    "stop_loss": pl.Float64,
    "take_profit": pl.Float64,
    "position_fraction": pl.Float64,
    "adjustments": pl.List(pl.String),
}


def _within(fractions: Floats, segment: Indices, budgets: Floats) -> Floats:
    """The fractions scaled down to the budget of their segment, and rounded down, so that no sum exceeds it."""
    total = np.bincount(segment, weights=fractions, minlength=len(budgets))
    scale = np.ones(len(budgets))
    np.divide(budgets, total, out=scale, where=total > budgets)
    cut: Floats = np.floor(fractions * scale[segment] * _FRACTION_STEPS) / _FRACTION_STEPS
    return cut


def _cuts(wanted: float, capped: float, granted: float) -> list[str]:
    texts = []
    if wanted > capped:
        texts.append(f"Position cut from {wanted:.1%} to {capped:.1%}: the most in one symbol")
    if capped > granted + 2 / _FRACTION_STEPS:
        texts.append(f"Position cut from {capped:.2%} to {granted:.2%}: the signals of a segment share its budget")
    return texts


class _Ledger:
    """Positions, prices, stops hit and gains, (moments, symbols) or (moments, segments); filled in order of time."""

    def __init__(
        self, proposed: pl.DataFrame, risk_inputs: RiskInputs, horizon: Horizon, segment_of: Callable[[str], str]
    ) -> None:
        seen = _observations(proposed, risk_inputs, horizon)
        moments, symbols = seen["as_of"].unique().sort(), seen["symbol"].unique().sort()
        self.times = _microseconds(moments)
        self.segments = sorted({segment_of(symbol) for symbol in symbols})
        self.segment = np.array([self.segments.index(segment_of(symbol)) for symbol in symbols], dtype=np.int64)
        place = np.searchsorted(self.times, _microseconds(seen["as_of"])).astype(np.int64)
        column = seen["symbol"].replace_strict(symbols, range(len(symbols)), return_dtype=pl.Int64).to_numpy()
        shape = (len(self.times), len(symbols))
        self._price, self._stop, self._position = (np.full(shape, np.nan) for _ in range(3))
        self._until = np.full(shape, _LONG_AGO, dtype=np.int64)
        for target, name in ((self._price, "price"), (self._stop, "stop_loss"), (self._position, "position")):
            target[place, column] = seen[name].fill_null(float("nan")).to_numpy()
        self._until[place, column] = _microseconds(seen["until"])
        own = seen["_own"].to_numpy()
        self._rows = seen["_place"].to_numpy()[own]
        self.column = np.empty(proposed.height, dtype=np.int64)
        self.column[self._rows] = column[own]
        self._moment = place[own]
        self._factor = _factors(risk_inputs.actions, symbols.to_list(), self.times, self._price)
        self._last = {name: np.full(len(symbols), np.nan) for name in ("price", "stop", "position")}
        self._last_until = np.full(len(symbols), _LONG_AGO, dtype=np.int64)
        self.stopped_at = np.full(len(symbols), _LONG_AGO, dtype=np.int64)
        self._gains, self._stops = (np.zeros((len(self.times), len(self.segments))) for _ in range(2))

    def rows_at(self, moment: int) -> Indices:
        """The rows to be sized at a moment."""
        first, last = (np.searchsorted(self._moment, moment, side=side) for side in ("left", "right"))
        rows: Indices = self._rows[first:last]
        return rows

    def mark_to_market(self, moment: int) -> None:
        """Book gains and stops of the open positions at the prices of a moment."""
        last, price = self._last, self._price[moment]
        last["price"] *= self._factor[moment]
        last["stop"] *= self._factor[moment]
        held = ~np.isnan(price) & (np.nan_to_num(last["position"]) != 0) & (self.times[moment] <= self._last_until)
        change = np.zeros(len(price))
        np.divide(price, last["price"], out=change, where=held)
        gain = np.where(held, last["position"] * (change - 1.0), 0.0)
        hit = held & (np.sign(last["position"]) * (price - last["stop"]) <= 0)
        self.stopped_at[hit] = self.times[moment]
        groups = len(self.segments)
        self._gains[moment] = np.bincount(self.segment, weights=gain, minlength=groups)
        self._stops[moment] = np.bincount(self.segment, weights=hit, minlength=groups)

    def open_positions(self, moment: int, rows: Indices, sized: Floats) -> None:
        """Open the positions of a moment: those just sized (``sized``), and those of earlier signals."""
        self._position[moment, self.column[rows]] = sized
        seen = ~np.isnan(self._price[moment])
        for name, source in (("price", self._price), ("stop", self._stop), ("position", self._position)):
            self._last[name][seen] = source[moment, seen]
        self._last_until[seen] = self._until[moment, seen]

    def recent(self, moment: int, hours: float) -> tuple[Floats, Floats]:
        """By segment: stops hit within so many hours, and the drawdown of the capital over them."""
        first = int(np.searchsorted(self.times, self.times[moment] - int(hours * _HOUR), side="right"))
        part = slice(first, moment + 1)
        capital = np.cumsum(self._gains[part], axis=0)
        peak = np.maximum(np.max(capital, axis=0), 0.0)
        return np.sum(self._stops[part], axis=0), peak - capital[-1]


def _observations(proposed: pl.DataFrame, risk_inputs: RiskInputs, horizon: Horizon) -> pl.DataFrame:
    """The rows to size and the earlier signals, by time and symbol, with position and the end of holding."""
    key = ["symbol", "as_of"]
    held = pl.col("signal").replace_strict(SIDES, return_dtype=pl.Float64) * pl.col("position_fraction")
    earlier = risk_inputs.earlier.filter((pl.col("horizon") == horizon) & (pl.col("as_of") < proposed["as_of"].max()))
    earlier = earlier.unique(key, keep="last", maintain_order=True).join(proposed.select(key), on=key, how="anti")
    until = pl.min_horizontal("valid_until", pl.col("as_of") + LONGEST_HOLD[horizon]).alias("until")
    columns = [*key, "price", "stop_loss", "position", "until", "_place", "_own"]
    own = proposed.with_row_index("_place").with_columns(
        until,
        pl.lit(None, dtype=pl.Float64).alias("position"),
        pl.col("_place").cast(pl.Int64),
        pl.lit(True).alias("_own"),
    )
    past = earlier.with_columns(
        until, held.alias("position"), pl.lit(-1, dtype=pl.Int64).alias("_place"), pl.lit(False).alias("_own")
    )
    return pl.concat([own.select(columns), past.select(columns)]).sort("as_of", "symbol")


def _factors(actions: pl.DataFrame, symbols: list[str], times: Indices, price: Floats) -> Floats:
    """Adjustment factors, (moments, symbols): what prices and stops from before a moment are multiplied by.

    A corporate action counts once (see :func:`corporate_actions.counted`), at the first price of its symbol at or after
    ``effective_at``, in the newest version known by then.
    """
    factors = np.ones(price.shape)
    split = pl.when(pl.col("kind") == REBASED).then(pl.lit("split")).otherwise("kind").alias("kind")
    known = actions.filter(pl.col("symbol").is_in(symbols)).with_columns(split).sort("known_at")
    for versions in known.partition_by("symbol", maintain_order=True):
        column = symbols.index(versions["symbol"][0])
        priced = np.flatnonzero(~np.isnan(price[:, column]))
        place = np.searchsorted(times[priced], _microseconds(versions["effective_at"]))
        for next_ in np.unique(place[(place > 0) & (place < len(priced))]).tolist():
            night = priced[next_ - 1 : next_ + 1]
            by_then = versions.with_columns(_place=place).filter(_microseconds(versions["known_at"]) <= times[night[1]])
            newest = by_then.unique("action_id", keep="last", maintain_order=True).filter(pl.col("_place") == next_)
            closes = {"bar_end": times[night], "close": price[night, column]}
            bars = pl.DataFrame(closes).cast({"bar_end": MOMENT}).with_columns(symbol=pl.lit(symbols[column]))
            factors[night[1], column] = counted(newest, bars)["_price"].product() if newest.height else 1.0
    return factors


def _microseconds(moments: pl.Series) -> Indices:
    physical: Indices = moments.to_physical().to_numpy().astype(np.int64)
    return physical


class _PositionBlocks:
    """Why no position may be opened: liquidity, cooldown after a stop, stops or drawdown of a segment, quarantine."""

    def __init__(
        self, limits: HorizonLimits, ledger: _Ledger, proposed: pl.DataFrame, quarantined: pl.DataFrame
    ) -> None:
        self._limits, self._ledger = limits, ledger
        self._turnover = proposed["turnover_20"].fill_null(-1.0).to_numpy()
        self._symbol = proposed["symbol"].to_list()
        self._quarantined = quarantined.sort("known_at")

    def reasons(self, moment: int, rows: Indices) -> dict[int, str]:
        """The reason by row, of the rows that are blocked."""
        stops, drawdown = self._ledger.recent(moment, self._limits.window_hours)
        quarantined = self._recently_quarantined(moment)
        found = {}
        for row in rows.tolist():
            reason = quarantined.get(self._symbol[row]) or self._reason(row, moment, stops, drawdown)
            if reason:
                found[row] = f"No position: {reason}"
        return found

    def _reason(self, row: int, moment: int, stops: Floats, drawdown: Floats) -> str | None:
        limits, column = self._limits, self._ledger.column[row]
        segment = self._ledger.segment[column]
        if self._turnover[row] < limits.min_turnover:
            return f"{max(self._turnover[row], 0):,.0f} traded a bar, at least {limits.min_turnover:,.0f} is asked for"
        since = self._ledger.times[moment] - self._ledger.stopped_at[column]
        if since < limits.cooldown_hours * _HOUR:
            return f"its stop was hit {since / _HOUR:.1f} h ago, within the {limits.cooldown_hours:g} h of cooling down"
        if stops[segment] >= limits.max_stops:
            return f"{stops[segment]:.0f} stops of its segment were hit in {limits.window_hours:g} h"
        if drawdown[segment] >= limits.max_drawdown:
            return f"its segment lost {drawdown[segment]:.1%} of the capital in {limits.window_hours:g} h"
        return None

    def _recently_quarantined(self, moment: int) -> dict[str, str]:
        now = self._ledger.times[moment]
        known = _microseconds(self._quarantined["known_at"])
        recent = (known <= now) & (known > now - int(self._limits.halt_hours * _HOUR))
        rows = self._quarantined.filter(pl.Series(recent, dtype=pl.Boolean))
        return {
            symbol: f"a bar was quarantined ({reason})" for symbol, reason in rows.select("symbol", "reason").rows()
        }
