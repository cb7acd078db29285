"""Trend, range, volume, divergence and regime beside the first indicators."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = "double precision"
_TEXT = 'text COLLATE "C"'

_ADDED: Mapping[str, tuple[str, str]] = {
    "price": (_NUMBER, "Close of the newest bar on the footing of the values: restated for actions since."),
    "sma_20": (_NUMBER, "Mean of the last 20 closes."),
    "sma_50": (_NUMBER, "Mean of the last 50 closes."),
    "sma_200": (_NUMBER, "Mean of the last 200 closes."),
    "ema_20": (_NUMBER, "Exponential mean of the closes over 20 bars."),
    "ema_50": (_NUMBER, "Exponential mean of the closes over 50 bars."),
    "ema_200": (_NUMBER, "Exponential mean of the closes over 200 bars; null before 431 bars."),
    "atr_14": (_NUMBER, "Average true range over 14 bars (Wilder), in the unit of the price."),
    "atr_percent": (_NUMBER, "atr_14 / price."),
    "adx_14": (_NUMBER, "Average directional index over 14 bars (Wilder), 0 to 100; 25 and more is a trend."),
    "obv": (_NUMBER, "On-balance volume in shares since the start of the history."),
    "obv_share": (_NUMBER, "Change of OBV over 20 bars / volume of 20 bars, in [-1, 1]."),
    "volume_ratio": (_NUMBER, "Volume of the newest bar / mean volume of 20 bars."),
    "volatility_20": (_NUMBER, "Standard deviation of the last 20 returns, a bar."),
    "volatility_ratio": (_NUMBER, "volatility_20 / its mean over 200 bars."),
    "vwap_distance": (_NUMBER, "price / volume-weighted price of 20 bars - 1."),
    "turnover_20": (_NUMBER, "Value traded a bar, mean of 20 bars, in the currency of the exchange."),
    "bb_squeeze": ("boolean", "Whether the Bollinger bands are within a tenth of their narrowest of 125 bars."),
    "macd_divergence": (
        _TEXT,
        "bullish (lower low of the price, higher low of macd), bearish or none; confirmed in the last 10 bars.",
    ),
    "rsi_divergence": (_TEXT, "As macd_divergence, of rsi_14."),
    "regime": (_TEXT, "trend, range or high_volatility."),
}

_LATEST = """
    CREATE OR REPLACE VIEW indicators_latest AS
    WITH RECURSIVE heads AS (
        (SELECT symbol, horizon FROM technical_indicators ORDER BY symbol, horizon LIMIT 1)
        UNION ALL
        SELECT next.* FROM heads h CROSS JOIN LATERAL (
            SELECT t.symbol, t.horizon FROM technical_indicators t
            WHERE (t.symbol, t.horizon) > (h.symbol, h.horizon)
            ORDER BY t.symbol, t.horizon LIMIT 1) next
    )
    SELECT latest.* FROM heads h CROSS JOIN LATERAL (
        SELECT * FROM technical_indicators t
        WHERE t.symbol = h.symbol AND t.horizon = h.horizon
        ORDER BY t.as_of DESC LIMIT 1) latest
"""


def upgrade() -> None:
    """Add the columns, empty in the rows that are there, and show them to analysts."""
    columns = ", ".join(f"ADD COLUMN {name} {kind}" for name, (kind, _) in _ADDED.items())
    op.execute(f"ALTER TABLE technical_indicators {columns}")
    op.execute(_LATEST)
    for target in ("technical_indicators", "indicators_latest"):
        for name, (_, text) in _ADDED.items():
            op.execute(f"COMMENT ON COLUMN {target}.{name} IS '{text}'")


def downgrade() -> None:
    """Drop the columns. A view cannot lose some, so it is made anew, with what analysts may see of it."""
    op.execute("DROP VIEW indicators_latest")
    op.execute("ALTER TABLE technical_indicators " + ", ".join(f"DROP COLUMN {name}" for name in _ADDED))
    op.execute(_LATEST)
    op.execute("GRANT SELECT ON indicators_latest TO paiid_analyst")
