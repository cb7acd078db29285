"""Indicators as of a decision: held to a plain reading of the definition, and to every way to have none."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import DECISIONS, INDICATORS, STORED_BARS, STORED_CORPORATE_ACTIONS, WITHHELD, empty
from paiid_pipeline.technicals.adjustment import adjust
from paiid_pipeline.technicals.decision_indicators import decide_indicators
from paiid_pipeline.trading_calendar import TradingCalendar
from paiid_pipeline_tests.lookahead.histories import DECISION_LAG, MAX_AGE, MINUTE, OPEN, random_history
from paiid_pipeline_tests.technicals.factor_files import actions_of

NEW_YORK = "America/New_York"
NO_ACTIONS = empty(STORED_CORPORATE_ACTIONS)


def minute_bars(closes: list[float | None], symbol: str = "S0", end: datetime = OPEN + 5 * MINUTE) -> pl.DataFrame:
    """Bars without a gap, the last of them ending at ``end``, each known at its end."""
    starts = [end - MINUTE * (len(closes) - i) for i in range(len(closes))]
    frame = pl.DataFrame({"bar_start": starts, "close": pl.Series(closes, dtype=pl.Float64)})
    prices = {name: pl.col("close") for name in ("open", "high", "low")}
    return frame.with_columns(
        symbol=pl.lit(symbol),
        timeframe=pl.lit("1Min"),
        bar_end=pl.col("bar_start") + MINUTE,
        known_at=pl.col("bar_start") + MINUTE,
        volume=pl.lit(1.0),
        vwap=None,
        trade_count=None,
        source=pl.lit("test"),
        nominal=pl.lit(False),
        **prices,
    ).select(pl.col(name).cast(kind) for name, kind in STORED_BARS.items())


def decisions_at(*moments: datetime, symbol: str = "S0", anchor: datetime = OPEN - 10_000 * MINUTE) -> pl.DataFrame:
    rows = [(symbol, "intraday", moment, moment + DECISION_LAG, OPEN.date(), OPEN, anchor) for moment in moments]
    return pl.DataFrame(rows, schema=DECISIONS, orient="row")


AT = OPEN + 5 * MINUTE


def wander(count: int, seed: int = 1) -> list[float]:
    steps = np.random.default_rng(seed).normal(0, 0.5, count)
    return np.round(100 + np.cumsum(steps) * 0.3, 2).tolist()


def plainly(history_bars: pl.DataFrame, actions: pl.DataFrame, decision: dict[str, object]) -> list[float] | None:
    """The definition, one decision at a time: what was known, the newest version of it, adjusted, TA-Lib."""
    timeframe = {"intraday": "1Min", "daily": "1Day"}[str(decision["horizon"])]
    mine = (pl.col("symbol") == decision["symbol"]) & (pl.col("known_at") <= decision["known_by"])
    bars = (
        history_bars.filter(mine & (pl.col("timeframe") == timeframe))
        .filter((pl.col("bar_end") <= decision["as_of"]) & (pl.col("bar_end") > decision["anchor"]))
        .sort("bar_start", "known_at")
        .unique("bar_start", keep="last", maintain_order=True)
    )
    known = actions.filter(mine).sort("known_at").unique("action_id", keep="last", maintain_order=True)
    known = known.filter(pl.col("effective_at") <= decision["session_open"])
    age = decision["as_of"] - bars["bar_end"][-1] if bars.height else timedelta.max  # type: ignore[operator]
    if bars.height < 250 or age > MAX_AGE[str(decision["horizon"])]:
        return None
    adjusted = adjust(bars, known)
    close, high, low, volume = (adjusted[name].to_numpy().copy() for name in ("close", "high", "low", "volume"))
    values = (talib.RSI(close, 14), *talib.MACD(close, 12, 26, 9), *talib.BBANDS(close, 20, 2.0, 2.0, 0))
    wider = (talib.SMA(close, 200), talib.EMA(close, 50), talib.ATR(high, low, close, 14))
    wider += (talib.ADX(high, low, close, 14), talib.OBV(close, volume))
    return [float(value[-1]) for value in (*values, *wider)]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_decision_equals_the_plain_definition_to_the_last_bit(seed: int) -> None:
    """Epochs and shared prefixes are an optimisation only, over late, restated and adjusted bars."""
    history = random_history(seed)
    read, withheld = decide_indicators(history.bars, history.actions, history.decisions, MAX_AGE)
    names = ["rsi_14", "macd", "macd_signal", "macd_histogram", "bb_upper", "bb_middle", "bb_lower"]
    names += ["sma_200", "ema_50", "atr_14", "adx_14", "obv"]
    found = {row[:3]: list(row[3:]) for row in read.select("symbol", "horizon", "as_of", *names).rows()}
    for decision in history.decisions.to_dicts():
        key = (decision["symbol"], decision["horizon"], decision["as_of"])
        assert found.get(key) == plainly(history.bars, history.actions, decision)
    assert read.height + withheld.height == history.decisions.height


def decide(bars: pl.DataFrame, decisions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    read, withheld = decide_indicators(bars, NO_ACTIONS, decisions, MAX_AGE)
    assert read.schema == pl.Schema(INDICATORS)
    assert withheld.schema == pl.Schema(WITHHELD)
    return read, withheld


def test_the_row_tells_its_newest_bar_and_raw_price() -> None:
    closes = wander(300)
    read, withheld = decide(minute_bars(closes), decisions_at(AT))
    row = read.row(0, named=True)
    assert withheld.is_empty()
    assert (row["bars"], row["close"]) == (300, closes[-1])
    assert (row["bar_start"], row["bar_end"]) == (AT - MINUTE, AT)
    assert len(row["inputs_hash"]) == 64


def test_fewer_than_250_bars_are_withheld_with_their_count() -> None:
    read, withheld = decide(minute_bars(wander(249)), decisions_at(AT))
    assert read.is_empty()
    assert withheld["reason"].to_list() == ["only 249 of 250 bars since 2014-06-02 01:20:00 UTC"]
    assert decide(minute_bars(wander(250)), decisions_at(AT))[0].height == 1


def test_a_stale_newest_bar_is_withheld_with_its_age() -> None:
    late = decisions_at(AT + 15 * MINUTE, AT + 16 * MINUTE)
    read, withheld = decide(minute_bars(wander(300)), late)
    assert read["as_of"].to_list() == [AT + 15 * MINUTE]
    assert withheld["reason"].to_list() == [
        "newest bar ended 2014-06-09 00:05:00 UTC, 960 s before the decision; at most 900 s is allowed"
    ]


def test_no_bars_and_one_bar_are_withheld() -> None:
    for bars, reason in ((empty(STORED_BARS), "no bars since"), (minute_bars([5.0]), "only 1 of 250 bars")):
        _, withheld = decide(bars, decisions_at(AT))
        assert withheld["reason"][0].startswith(reason)


def test_no_decisions_give_no_rows() -> None:
    read, withheld = decide(minute_bars(wander(300)), empty(DECISIONS))
    assert read.is_empty()
    assert withheld.is_empty()


def test_a_price_that_never_moved_is_withheld_and_not_oversold() -> None:
    """TA-Lib reads RSI 0 off a flat series; one that falls at every bar really is 0."""
    _, withheld = decide(minute_bars([50.0] * 300), decisions_at(AT))
    assert withheld["reason"][0].startswith("the price has not moved in 300 bars")
    falling, _ = decide(minute_bars([1000.0 - i for i in range(300)]), decisions_at(AT))
    assert falling["rsi_14"].to_list() == [0.0]


def test_flat_bands_give_no_percent_b_and_no_crossing() -> None:
    read, _ = decide(minute_bars([*wander(280), *[100.1] * 30]), decisions_at(AT))
    row = read.row(0, named=True)
    assert (row["bb_percent_b"], row["bb_position"], row["bb_cross"]) == (None, None, "none")
    assert row["rsi_14"] > 0


def test_holes_leave_the_series_as_if_the_bar_were_not_there() -> None:
    """None, NaN, infinity, zero and negative closes poison nothing; TA-Lib would read RSI 0 for ever."""
    whole = minute_bars(wander(320))
    for bad in (None, float("nan"), float("inf"), 0.0, -3.0):
        hole = pl.when(pl.col("bar_start") == AT - 100 * MINUTE).then(pl.lit(bad, dtype=pl.Float64))
        spoilt, _ = decide(whole.with_columns(hole.otherwise("close").alias("close")), decisions_at(AT))
        without, _ = decide(whole.filter(pl.col("bar_start") != AT - 100 * MINUTE), decisions_at(AT))
        assert spoilt.equals(without)
        assert spoilt["bars"].to_list() == [319]


def test_order_and_duplicates_do_not_matter() -> None:
    bars = minute_bars(wander(300))
    jumbled = pl.concat([bars, bars]).sample(fraction=1.0, shuffle=True, seed=3)
    assert decide(jumbled, decisions_at(AT))[0].equals(decide(bars, decisions_at(AT))[0])


def test_the_hash_follows_the_values_and_not_when_they_came() -> None:
    bars = minute_bars(wander(300))
    earlier = bars.with_columns(pl.col("known_at") - timedelta(seconds=1))
    other = bars.with_columns(
        pl.when(pl.col("bar_end") == AT - 200 * MINUTE).then(100.25).otherwise("close").alias("close")
    )
    first, same, changed = (decide(b, decisions_at(AT))[0]["inputs_hash"][0] for b in (bars, earlier, other))
    assert first == same != changed


@pytest.mark.parametrize(
    ("column", "bad"),
    [("high", None), ("low", 0.0), ("high", float("inf")), ("volume", float("nan")), ("volume", -1.0)],
)
def test_a_hole_in_any_column_that_is_read_is_a_hole(column: str, bad: float | None) -> None:
    whole = minute_bars(wander(320))
    hole = pl.when(pl.col("bar_start") == AT - 100 * MINUTE).then(pl.lit(bad, dtype=pl.Float64))
    spoilt, _ = decide(whole.with_columns(hole.otherwise(column).alias(column)), decisions_at(AT))
    without, _ = decide(whole.filter(pl.col("bar_start") != AT - 100 * MINUTE), decisions_at(AT))
    assert spoilt.equals(without)


def test_a_restated_volume_alone_is_seen_from_when_it_is_known() -> None:
    bars = minute_bars(wander(300))
    restated = bars[-3:-2].with_columns(pl.col("known_at") + 5 * MINUTE, volume=pl.lit(50.0))
    at = decisions_at(AT, AT + 5 * MINUTE)
    before, after = (decide(pl.concat([bars, *more]), at)[0] for more in ([], [restated]))
    assert after["obv"].to_list()[0] == before["obv"].to_list()[0]
    assert after["volume_ratio"].to_list()[1] != before["volume_ratio"].to_list()[1]
    assert after["inputs_hash"][1] != before["inputs_hash"][1]


def test_a_split_leaves_every_value_without_a_scale_as_it_was() -> None:
    """Seven for one, raw prices and volumes before it: nothing but the unit of what has one changes."""
    minutes = minute_bars(wander(600)).with_columns(volume=pl.Series(np.arange(600) % 37 + 1.0))
    at = decisions_at(AT)
    before = pl.col("bar_end") <= OPEN
    raw = minutes.with_columns(
        *(pl.when(before).then(pl.col(name) * 7).otherwise(name).alias(name) for name in ("close", "high", "low")),
        volume=pl.when(before).then(pl.col("volume") / 7).otherwise("volume"),
    )
    split = ("s", "S0", "split", OPEN.date(), OPEN, 7.0, None, "test", OPEN, False)
    actions = pl.DataFrame([split], schema=STORED_CORPORATE_ACTIONS, orient="row")
    [plain], [adjusted] = (
        decide_indicators(bars, known, at, MAX_AGE)[0].drop("inputs_hash").to_dicts()
        for bars, known in ((minutes, NO_ACTIONS), (raw, actions))
    )
    for name, value in plain.items():
        assert adjusted[name] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), name


def test_crossings_are_read_at_the_newest_bar() -> None:
    """A price that jumps after a calm crosses the upper band and turns MACD up, at that bar only."""
    calm = [100.0 + 0.1 * (i % 2) for i in range(300)]
    bars = minute_bars([*calm, 103.0, 103.1])
    read, _ = decide(bars, decisions_at(AT - MINUTE, AT))
    assert read["bb_cross"].to_list() == ["crossed_above_upper", "none"]
    assert read["bb_position"].to_list() == ["above", "above"]
    assert read["macd_cross"].to_list()[1] == "none"


def test_a_feed_that_is_always_late_costs_one_series_and_not_one_a_decision() -> None:
    """A constant delay beyond the settle time keeps the order of arrival, so no epoch is opened."""
    from paiid_pipeline.technicals.point_in_time import take_snapshots

    bars = minute_bars(wander(360), end=OPEN + 60 * MINUTE).with_columns(pl.col("known_at") + timedelta(minutes=15))
    decisions = decisions_at(*(OPEN + 5 * MINUTE * step for step in range(1, 13)))
    assert len(take_snapshots(bars, NO_ACTIONS, decisions).offsets) - 1 == 1


@pytest.mark.parametrize(("symbol", "raw_width"), [("AAPL", 2.0), ("TWX", 0.05)])
def test_the_split_and_the_spin_off_of_2014_06_09_are_no_crash(data_dir: Path, symbol: str, raw_width: float) -> None:
    """Real minute bars across AAPL's 7:1 split and TWX's spin-off: calm all day, and not calm without the actions."""
    minutes = pl.read_parquet(data_dir / "bars" / "us_equity_minute_raw.parquet").filter(
        (pl.col("symbol") == symbol) & pl.col("ts").dt.time().is_between(time(9, 30), time(15, 59))
    )
    start = pl.col("ts").dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
    bars = minutes.with_columns(
        timeframe=pl.lit("1Min"),
        bar_start=start,
        bar_end=start + MINUTE,
        known_at=start + MINUTE,
        nominal=True,
        vwap=None,
        trade_count=None,
        source=pl.lit("test"),
    ).select(pl.col(name).cast(kind) for name, kind in STORED_BARS.items())
    known = datetime(2014, 6, 1, tzinfo=UTC)
    actions = actions_of(data_dir / "bars" / "factor_files", symbol).with_columns(
        known_at=pl.lit(known).cast(STORED_CORPORATE_ACTIONS["known_at"]), nominal=pl.lit(True)
    )
    calendar = TradingCalendar("XNYS")
    session = calendar.session(date(2014, 6, 9))
    assert session is not None
    anchor = calendar.session_back(session.day, 2).open
    rows = [
        (symbol, "intraday", moment, moment + DECISION_LAG, session.day, session.open, anchor)
        for moment in calendar.decision_times(session, "intraday")
    ]
    decisions = pl.DataFrame(rows, schema=DECISIONS, orient="row")
    read, _ = decide_indicators(bars, actions, decisions, MAX_AGE)
    crashed, _ = decide_indicators(bars, NO_ACTIONS, decisions, MAX_AGE)
    assert read.height == 78
    assert read["bb_bandwidth"].max() < 0.03  # type: ignore[operator]
    assert (read["macd"].abs() / read["close"]).max() < 0.005  # type: ignore[operator]
    assert 20 < read["rsi_14"].min() < read["rsi_14"].max() < 95  # type: ignore[operator]
    assert ((read["bb_middle"] / read["close"]) - 1).abs().max() < 0.015  # type: ignore[operator]
    for name, calm in (
        ("atr_percent", 0.003),
        ("volatility_20", 0.003),
        ("vwap_distance", 0.02),
    ):
        assert read[name].abs().max() < calm, name  # type: ignore[operator]
    assert ((read["sma_200"] / read["price"]) - 1).abs().max() < 0.03  # type: ignore[operator]
    assert crashed["volatility_20"].max() > 0.007  # type: ignore[operator]
    assert crashed["bb_bandwidth"].max() > raw_width  # type: ignore[operator]
