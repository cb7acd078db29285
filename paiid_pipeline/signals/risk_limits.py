"""Limits on positions: the table ``[risk]`` of a rules file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from paiid_pipeline.signals.strict_toml import Section
from paiid_pipeline.trading_calendar import HORIZONS, Horizon

_SHARES = ("max_symbol", "max_segment", "max_portfolio", "min_stop", "max_stop")


@dataclass(frozen=True)
class HorizonLimits:
    """The limits of one horizon. Distances in ATR, shares of the capital, durations in hours.

    ``min_turnover``: mean value traded a bar. ``max_stops`` and ``max_drawdown`` look back over
    ``window_hours`` and hold for a segment.
    """

    stop_atr: float
    take_profit_atr: float
    risk_per_trade: float
    min_turnover: float
    cooldown_hours: float
    window_hours: float
    max_stops: float
    max_drawdown: float
    halt_hours: float

    @property
    def memory(self) -> timedelta:
        """The longest lookback of the limits.

        >>> limits = HorizonLimits(2, 3, 0.01, 0, cooldown_hours=1, window_hours=24, max_stops=8, max_drawdown=0.05,
        ...                        halt_hours=4)
        >>> limits.memory
        datetime.timedelta(days=1)
        """
        return timedelta(hours=max(self.cooldown_hours, self.window_hours, self.halt_hours))


@dataclass(frozen=True)
class RiskLimits:
    """Caps on positions as shares of the capital, and the distance of a stop as a share of the price."""

    max_symbol: float
    max_segment: float
    max_portfolio: float
    min_stop: float
    max_stop: float
    horizons: Mapping[Horizon, HorizonLimits]


def read_limits(whole: Section) -> RiskLimits:
    """The limits of a rules file. Raises ValueError naming the file, the key, the value and the remedy."""
    table = whole.section("risk", (*_SHARES, *HORIZONS))
    max_portfolio = table.number("max_portfolio", 0, 10)
    max_segment = table.number("max_segment", 0, max_portfolio)
    min_stop = table.number("min_stop", 1e-6, 0.5)
    return RiskLimits(
        max_symbol=table.number("max_symbol", 0, min(1.0, max_segment)),
        max_segment=max_segment,
        max_portfolio=max_portfolio,
        min_stop=min_stop,
        max_stop=table.number("max_stop", min_stop, 0.9),
        horizons={horizon: _horizon(table.section(horizon, _KEYS)) for horizon in HORIZONS},
    )


_KEYS: Mapping[str, tuple[float, float]] = {
    "stop_atr": (0.1, 100),
    "take_profit_atr": (0.1, 100),
    "risk_per_trade": (0, 1),
    "min_turnover": (0, 1e15),
    "cooldown_hours": (0, 24 * 366),
    "window_hours": (0, 24 * 366),
    "max_stops": (1, 1e6),
    "max_drawdown": (1e-6, 1),
    "halt_hours": (0, 24 * 366),
}


def _horizon(table: Section) -> HorizonLimits:
    return HorizonLimits(**{key: table.number(key, low, high) for key, (low, high) in _KEYS.items()})
