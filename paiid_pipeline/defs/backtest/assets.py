"""The weekly backtest of the stored daily signals."""

from datetime import datetime, timedelta

import dagster as dg
import polars as pl
from pydantic import Field

from paiid_pipeline.backtest.accounts import Costs
from paiid_pipeline.backtest.prices import HISTORY, price_panel
from paiid_pipeline.backtest.simulation import Options, backtest
from paiid_pipeline.defs.backtest.report import report
from paiid_pipeline.defs.factories import OWNERS, background_job, scheduled
from paiid_pipeline.defs.ingestion.assets import market_bars
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.signals.assets import trading_signals
from paiid_pipeline.schemas import EPOCH
from paiid_pipeline.technicals.adjustment import owned
from paiid_pipeline.trading_calendar import TIMEFRAME

ROUNDING = 1e-9
"""The tolerance of the difference between equity and the sum of the symbols' profits and losses."""


class BacktestConfig(dg.Config):
    """Which signals to trade, and what trading costs."""

    engine: str = "rules"
    commission_bp: list[float] = Field(default=[0.0, 5.0, 10.0], description="Per side; one set of accounts each.")
    slippage_bp: float = Field(default=1.0, description="Per side, on top of every commission.")
    borrow_rate: float = Field(default=0.01, description="Per year, on the value of short positions.")
    trials_elsewhere: int = Field(
        default=0, description="Variants tried without stored signals, for the deflated Sharpe ratio."
    )


@dg.asset(
    name="backtest",
    group_name="models",
    deps=[trading_signals, market_bars],
    owners=OWNERS,
    kinds={"polars", "numpy"},
    tags={"layer": "evaluation", "cadence": "weekly"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=15), warn_window=timedelta(days=8)),
    check_specs=[
        dg.AssetCheckSpec(
            "accounts_add_up",
            asset="backtest",
            blocking=True,
            description="Equity is finite, and equals the sum of the symbols' profits and losses.",
        )
    ],
)
def backtest_asset(config: BacktestConfig, pipeline: PipelineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The daily signals traded at the next open, against buy and hold, momentum and random signals.

    Net of commission, slippage and borrow; prices are adjusted for splits and dividends. The universe is that of
    the decisions, without survivorship bias: a symbol enters at its first decision and leaves at its last
    close. Every model version that has stored signals counts as a trial.
    """
    warehouse, now = pipeline.warehouse, pipeline.clock.now()
    stored = warehouse.signals.read(None, "daily", EPOCH, now)
    symbols = stored["symbol"].unique(maintain_order=True).to_list()
    actions = warehouse.corporate_actions.read(symbols, now)
    decided = stored.filter(pl.col("engine") == config.engine).with_columns(bar_end="as_of", known_at=pl.lit(EPOCH))
    traded = owned(decided, actions)
    if traded.is_empty():
        raise dg.Failure(f"no daily signals of engine {config.engine!r} are stored: backfill trading_signals first")
    start: datetime = traded["as_of"].min()  # type: ignore[assignment]
    bars = warehouse.bars.read(symbols, TIMEFRAME["daily"], start - HISTORY, now, now)
    try:
        options = Options(
            costs=Costs(config.commission_bp, config.slippage_bp, config.borrow_rate),
            decision_lag=pipeline.settings.decision_lag,
            trials=stored.select("engine", "model_version").n_unique() + config.trials_elsewhere,
        )
        result = backtest(traded, price_panel(bars, actions), options)
    except ValueError as error:
        raise dg.Failure(str(error)) from error
    finite = bool(result.curves.select(pl.col("equity").is_finite().all()).item())
    return dg.MaterializeResult(
        metadata={
            **report(result),
            "dagster/row_count": result.executed,
            "symbols": traded["symbol"].n_unique(),
            "symbols no longer followed": sorted(set(traded["symbol"]) - set(pipeline.universe.symbols)),
            "signals on a company that had the ticker before": decided.height - traded.height,
        },
        check_results=[
            dg.AssetCheckResult(
                passed=finite and result.reconciliation_error <= ROUNDING,
                check_name="accounts_add_up",
                metadata={"equity is finite": finite, "largest gap": result.reconciliation_error},
            )
        ],
    )


backtest_job = background_job("backtest_job", backtest_asset, description="Backtests the stored daily signals.")
backtest_schedule = scheduled(backtest_job, "0 6 * * 6", "Every Saturday: backtests the stored daily signals.")
