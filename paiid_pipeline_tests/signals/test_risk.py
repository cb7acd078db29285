"""The risk manager: bounds and caps, stops, and every reason to stake nothing; alone, in company and in pieces."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.schemas import PRIOR_POSITIONS, QUARANTINED_BARS, SIDES, STORED_CORPORATE_ACTIONS
from paiid_pipeline.signals.risk import RiskInputs, RiskManager
from paiid_pipeline.signals.rules import load_rules

LIMITS = load_rules().limits
INTRADAY = LIMITS.horizons["intraday"]
T = datetime(2014, 6, 9, 15, tzinfo=UTC)
STEP = timedelta(minutes=5)
SCHEMA = {
    "symbol": pl.String, "horizon": pl.String, "as_of": pl.Datetime("us", "UTC"), "signal": pl.String,
    "confidence": pl.Float64, "price": pl.Float64, "atr_percent": pl.Float64, "turnover_20": pl.Float64,
    "valid_until": pl.Datetime("us", "UTC"),
}  # fmt: skip


def row(symbol: str = "S0", at: int = 0, signal: str = "BUY", **other: Any) -> dict[str, Any]:
    """A decision ``at`` steps after T."""
    moment = T + STEP * at
    given = {"confidence": 0.8, "price": 100.0, "atr_percent": 0.002, "turnover_20": 1e6, "horizon": "intraday"}
    return {"symbol": symbol, "as_of": moment, "signal": signal, "valid_until": moment + STEP, **given, **other}


def size(
    *rows: dict[str, Any], risk_inputs: RiskInputs | None = None, segments: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    frame = pl.DataFrame(list(rows), schema=SCHEMA)
    return RiskManager(LIMITS, segments).size(frame, risk_inputs or RiskInputs()).to_dicts()


def stored(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows).select(pl.col(name).cast(kind) for name, kind in PRIOR_POSITIONS.items())


def test_the_fraction_loses_the_risk_asked_for_at_the_stop() -> None:
    [calm, wild] = size(row(atr_percent=0.002), row("S1", atr_percent=0.01))
    for sized, atr in ((calm, 0.002), (wild, 0.01)):
        assert sized["stop_loss"] == pytest.approx(100 * (1 - INTRADAY.stop_atr * atr))
        assert sized["take_profit"] == pytest.approx(100 * (1 + INTRADAY.take_profit_atr * atr))
        lost = sized["position_fraction"] * INTRADAY.stop_atr * atr
        assert lost == pytest.approx(0.8 * INTRADAY.risk_per_trade, abs=1e-7)
        assert sized["adjustments"] == []


def test_a_sell_is_upside_down_and_a_hold_is_bare() -> None:
    sell, hold = size(row(signal="STRONG_SELL"), row("S1", signal="HOLD"))
    assert sell["take_profit"] < 100 < sell["stop_loss"]
    assert sell["position_fraction"] > 0
    assert [hold[name] for name in ("stop_loss", "take_profit", "position_fraction")] == [None] * 3


def test_a_calm_symbol_is_capped_and_the_reason_says_so() -> None:
    [calm] = size(row(atr_percent=0.0))
    assert calm["position_fraction"] == LIMITS.max_symbol
    assert calm["stop_loss"] == pytest.approx(100 * (1 - LIMITS.min_stop))
    assert calm["adjustments"] == ["Position cut from 40.0% to 10.0%: the most in one symbol"]


def test_a_segment_shares_its_budget_and_leaves_the_others_theirs() -> None:
    """Two segments of six: half the portfolio each, of which the cap of a segment leaves 30 %."""
    segments = {f"S{i}": "a" if i < 6 else "b" for i in range(12)}
    crowd = [row(f"S{i}", atr_percent=0.0) for i in range(7)]
    sized = size(*crowd, segments=segments)
    assert [one["position_fraction"] for one in sized] == pytest.approx([0.05] * 6 + [0.1], abs=1e-5)
    assert "the signals of a segment share its budget" in sized[0]["adjustments"][1]
    assert size(crowd[6], segments=segments)[0]["position_fraction"] == sized[6]["position_fraction"]


def test_rounding_never_takes_a_segment_over_its_budget() -> None:
    for count in (3, 7, 11, 13, 27):
        sized = size(
            *(row(f"S{i}", atr_percent=0.0) for i in range(count)), segments={f"S{i}": "a" for i in range(count)}
        )
        assert LIMITS.max_segment - 1e-4 < sum(one["position_fraction"] for one in sized) <= LIMITS.max_segment + 1e-12


signals = st.sampled_from(sorted(SIDES))
rows_at = st.lists(
    st.tuples(signals, st.floats(0, 1), st.floats(0.01, 1e5), st.floats(0, 2), st.floats(0, 1e7)),
    min_size=1,
    max_size=12,
)


@given(decisions=rows_at, groups=st.integers(1, 4))
def test_bounds_caps_and_stops_hold_whatever_comes(decisions: list[tuple[Any, ...]], groups: int) -> None:
    rows = [
        row(f"S{i:02}", signal=signal, confidence=sure, price=price, atr_percent=atr, turnover_20=turnover)
        for i, (signal, sure, price, atr, turnover) in enumerate(decisions)
    ]
    segments = {f"S{i:02}": f"g{i % groups}" for i in range(12)}
    sized = size(*rows, segments=segments)
    used = dict.fromkeys(segments.values(), 0.0)
    for one in sized:
        if one["signal"] == "HOLD":
            assert one["stop_loss"] is one["take_profit"] is one["position_fraction"] is None
            continue
        low, high = sorted((one["stop_loss"], one["take_profit"]))
        assert 0 < low < one["price"] < high < float("inf")
        assert (one["stop_loss"] < one["price"]) == one["signal"].endswith("BUY")
        assert 0 <= one["position_fraction"] <= LIMITS.max_symbol
        used[segments[one["symbol"]]] += one["position_fraction"]
    assert all(total <= LIMITS.max_segment + 1e-12 for total in used.values())
    assert sum(used.values()) <= LIMITS.max_portfolio + 1e-12


def test_too_little_traded_or_none_known_stakes_nothing() -> None:
    thin, unknown = size(row(turnover_20=10.0), row("S1", turnover_20=None))
    assert thin["position_fraction"] == unknown["position_fraction"] == 0
    assert thin["adjustments"] == ["No position: 10 traded a bar, at least 1,000 is asked for"]
    assert thin["stop_loss"] < 100


def test_after_a_stop_a_symbol_cools_down_and_others_do_not() -> None:
    falls = [row(at=0), row(at=1, price=99.0), *(row(at=at, price=99.0) for at in range(2, 8)), row("S1", at=1)]
    sized = size(*falls)
    fractions = [one["position_fraction"] for one in sized]
    assert fractions[0] > 0
    assert fractions[1:7] == [0] * 6
    assert fractions[7] > 0
    assert fractions[8] > 0
    assert sized[2]["adjustments"] == ["No position: its stop was hit 0.1 h ago, within the 0.5 h of cooling down"]


def test_a_price_above_its_stop_or_after_the_signal_expired_is_no_stop() -> None:
    for second in (row(at=1, price=99.5), row(at=2, price=90.0)):
        assert size(row(), second)[1]["position_fraction"] > 0
    assert size(row(), row("S1", at=1), row(at=2, price=90.0))[2]["position_fraction"] > 0


def test_of_two_writings_of_an_earlier_signal_the_last_counts() -> None:
    [sized] = size(row())
    bare = sized | {"position_fraction": 0.0}
    for writings, stopped in (([sized, bare], False), ([bare, sized], True)):
        [now] = size(row(at=1, price=90.0), risk_inputs=RiskInputs(earlier=stored(writings)))
        assert (now["position_fraction"] == 0) == stopped


def test_too_many_stops_in_a_segment_stop_the_segment() -> None:
    symbols = [f"S{i}" for i in range(8)]
    before = [row(symbol) for symbol in symbols]
    after = [row(symbol, 1, price=98.9) for symbol in symbols]
    sized = size(*before, *after, row("S8", 1), segments={**dict.fromkeys([*symbols, "S8"], "a"), "S9": "b"})
    assert sized[-1]["adjustments"] == ["No position: 8 stops of its segment were hit in 2 h"]
    assert sized[-1]["position_fraction"] == 0


def test_a_drawdown_stops_the_segment_until_it_is_out_of_the_window() -> None:
    """10 % in one symbol that halves: 5 % of the capital."""
    crash = [row(atr_percent=0.0), row(at=1, price=50.0), row("S1", at=1), row("S1", at=26)]
    sized = size(*crash)
    assert sized[2]["adjustments"] == ["No position: its segment lost 5.0% of the capital in 2 h"]
    assert sized[3]["position_fraction"] > 0


def test_a_quarantined_bar_halts_its_symbol_from_when_it_is_known() -> None:
    quarantined = pl.DataFrame([("S0", T + STEP, "high_below_low")], schema=QUARANTINED_BARS, orient="row")
    sized = size(
        *(row(at=at) for at in (0, 1, 12, 13)), row("S1", at=1), risk_inputs=RiskInputs(quarantined=quarantined)
    )
    assert [one["position_fraction"] > 0 for one in sized] == [True, False, False, True, True]
    assert sized[1]["adjustments"] == ["No position: a bar was quarantined (high_below_low)"]


def action(kind: str, known: datetime, ratio: float | None = None, amount: float | None = None) -> pl.DataFrame:
    day = T + timedelta(hours=9)
    given = ("a", "S0", kind, day.date(), day, ratio, amount, "test", known, False)
    return pl.DataFrame([given], schema=STORED_CORPORATE_ACTIONS, orient="row")


@pytest.mark.parametrize(
    ("known", "price", "stopped"),
    [
        (action("split", T, ratio=7.0), 100 / 7, False),
        (action("split", T, ratio=7.0), 80 / 7, True),
        (action("split", T, ratio=0.05), 2000.0, False),
        (action("cash_dividend", T, amount=20.0), 80.0, False),
        (action("split", T + timedelta(days=3), ratio=7.0), 100 / 7, True),
        (action("name_change", T), 100 / 7, True),
    ],
)
def test_a_split_over_night_is_no_stop_and_a_crash_is(known: pl.DataFrame, price: float, stopped: bool) -> None:
    """One that is announced only later does not help: the decision did not know of it."""
    day = timedelta(days=1)
    common = {"horizon": "daily", "atr_percent": 0.02}
    rows = [
        row(valid_until=T + day, **common),
        row(price=price, **common) | {"as_of": T + day, "valid_until": T + 2 * day},
    ]
    sized = size(*rows, risk_inputs=RiskInputs(actions=known))
    assert (sized[1]["position_fraction"] == 0) == stopped


def named(name: str, known: pl.DataFrame) -> pl.DataFrame:
    return known.with_columns(action_id=pl.lit(name))


@pytest.mark.parametrize("second", [action("split", T, ratio=2.0), action("stock_dividend", T, ratio=2.0)])
def test_an_event_under_two_ids_moves_a_stop_once(second: pl.DataFrame) -> None:
    """Counted twice, the stop of a crash to half would lie at a quarter and never be hit."""
    day, common = timedelta(days=1), {"horizon": "daily", "atr_percent": 0.02}
    risk_inputs = RiskInputs(actions=pl.concat([action("split", T, ratio=2.0), named("b", second)]))
    for price, stopped in ((50.0, False), (35.0, True)):
        rows = [
            row(valid_until=T + day, **common),
            row(price=price, **common) | {"as_of": T + day, "valid_until": T + 2 * day},
        ]
        assert (size(*rows, risk_inputs=risk_inputs)[1]["position_fraction"] == 0) == stopped


def test_a_history_put_on_another_price_basis_is_no_stop() -> None:
    day, common = timedelta(days=1), {"horizon": "daily", "atr_percent": 0.02}
    rows = [
        row(valid_until=T + day, **common),
        row(price=25.0, **common) | {"as_of": T + day, "valid_until": T + 2 * day},
    ]
    assert size(*rows, risk_inputs=RiskInputs(actions=action("rebased", T, ratio=4.0)))[1]["position_fraction"] > 0
    assert size(*rows)[1]["position_fraction"] == 0


def world(seed: int) -> list[list[dict[str, Any]]]:
    """Decisions of eight symbols at forty moments, with gaps, wild enough for every limit to bite."""
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.012, (40, 8)), axis=0))
    return [
        [
            row(
                f"S{i}", at, str(rng.choice(sorted(SIDES))), price=float(prices[at, i]), confidence=float(rng.random()),
                atr_percent=float(rng.uniform(0, 0.004)), turnover_20=float(rng.choice([1e6, 10.0], p=[0.95, 0.05])),
            )
            for i in range(8)
            if rng.random() < 0.95
        ]
        for at in range(40)
    ]  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_one_moment_at_a_time_on_what_was_stored_equals_all_at_once_to_the_bit(seed: int) -> None:
    """And on no more of it than the limits say they look back on; and a segment without the others."""
    moments = world(seed)
    segments = {f"S{i}": "ab"[i % 2] for i in range(8)}
    key = ("symbol", "as_of")
    whole = {tuple(one[k] for k in key): one for one in size(*(r for rows in moments for r in rows), segments=segments)}
    reach = INTRADAY.memory + timedelta(hours=1)
    made: list[dict[str, Any]] = []
    for rows in moments:
        for segment in "ab":
            own = [r for r in rows if segments[r["symbol"]] == segment]
            now = rows[0]["as_of"]
            past = [one for one in made if now - reach < one["as_of"] < now]
            sized = (
                size(*own, risk_inputs=RiskInputs(earlier=stored(past)) if past else RiskInputs(), segments=segments)
                if own
                else []
            )
            assert sized == [whole[tuple(r[k] for k in key)] for r in own]
            made += sized
    texts = " ".join(text for one in whole.values() for text in one["adjustments"])
    assert "cooling down" in texts
    assert "share its budget" in texts or "most in one symbol" in texts
