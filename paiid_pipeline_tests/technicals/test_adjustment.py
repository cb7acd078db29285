"""Back-adjustment: what each kind of action does, when, and on real splits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.schemas import CORPORATE_ACTIONS, MOMENT
from paiid_pipeline.technicals.adjustment import adjust, owned
from paiid_pipeline.technicals.indicators import indicators
from paiid_pipeline_tests.technicals.factor_files import actions_of

DAY = timedelta(days=1)
START = datetime(2020, 1, 1, 21, tzinfo=UTC)


def bars(*closes: float, symbol: str = "S0") -> pl.DataFrame:
    ends = [START + DAY * i for i in range(len(closes))]
    frame = pl.DataFrame(
        {"bar_end": pl.Series(ends, dtype=MOMENT), "close": pl.Series(closes, dtype=pl.Float64)},
    )
    return frame.with_columns(symbol=pl.lit(symbol), open=pl.col("close") - 1, volume=pl.lit(700.0))


def action(
    kind: str,
    before_bar: int,
    ratio: float | None = None,
    amount: float | None = None,
    name: str = "a",
    symbol: str = "S0",
) -> pl.DataFrame:
    """An action that is effective in the night before a bar."""
    at = START + DAY * before_bar - timedelta(hours=16)
    row = (name, symbol, kind, at.date(), at, ratio, amount, "test")
    return pl.DataFrame([row], schema=CORPORATE_ACTIONS, orient="row")


def test_a_split_divides_prices_and_multiplies_volume_before_it() -> None:
    got = adjust(bars(700, 707, 101), action("split", 2, ratio=7.0))
    assert got["close"].to_list() == pytest.approx([100, 101, 101])
    assert got["open"].to_list() == pytest.approx([699 / 7, 706 / 7, 100])
    assert got["volume"].to_list() == [4900, 4900, 700]


def test_a_reverse_split_and_a_stock_dividend_work_the_same_way() -> None:
    assert adjust(bars(1, 1.1, 22), action("split", 2, ratio=0.05))["close"].to_list() == pytest.approx([20, 22, 22])
    assert adjust(bars(105, 100), action("stock_dividend", 1, ratio=1.05))["close"].to_list() == pytest.approx(
        [100, 100]
    )


def test_a_cash_dividend_takes_its_share_of_the_last_raw_close() -> None:
    got = adjust(bars(90, 100, 98), action("cash_dividend", 2, amount=2.0))
    assert got["close"].to_list() == pytest.approx([90 * 0.98, 98, 98])
    assert got["volume"].to_list() == [700, 700, 700]


def test_actions_chain_and_their_order_in_the_frame_does_not_show() -> None:
    chain = [
        action("split", 1, ratio=2.0, name="a"),
        action("cash_dividend", 2, amount=5.0, name="b"),
        action("split", 2, ratio=3.0, name="c"),
    ]
    got = adjust(bars(600, 300, 95), pl.concat(chain))
    dividend = 1 - 5 / 300
    assert got["close"].to_list() == pytest.approx([600 / 6 * dividend, 100 * dividend, 95])
    assert got.equals(adjust(bars(600, 300, 95), pl.concat(chain[::-1])))


def test_only_bars_that_ended_by_then_are_adjusted() -> None:
    """One that ends at the very moment is; one that is under way is not."""
    at = START + DAY
    exact = action("split", 2, ratio=2.0).with_columns(effective_at=pl.lit(at).cast(MOMENT))
    assert adjust(bars(100, 100, 50), exact)["close"].to_list() == [50, 50, 50]
    earlier = exact.with_columns(effective_at=pl.lit(at - timedelta(seconds=1)).cast(MOMENT))
    assert adjust(bars(100, 51, 50), earlier)["close"].to_list() == [50, 51, 50]


def test_a_change_of_name_leaves_out_what_was_known_before_it_of_the_days_before_it() -> None:
    """A bar of the days before is the company's own where it became known under this ticker by the change."""
    change = action("name_change", 3)
    at = change["effective_at"][0]
    series = bars(1.0, 2.0, 3.0, 4.0, 5.0).with_columns(known_at=pl.col("bar_end"))
    assert owned(series, change)["close"].to_list() == [4.0, 5.0]
    renamed = series.with_columns(known_at=pl.when(pl.col("close") > 1).then(pl.max_horizontal("known_at", pl.lit(at))))
    renamed = renamed.with_columns(pl.col("known_at").fill_null(pl.col("bar_end")))
    assert owned(renamed, change)["close"].to_list() == [2.0, 3.0, 4.0, 5.0]
    other = series.with_columns(symbol=pl.lit("S1"))
    assert owned(pl.concat([series, other]), change)["symbol"].value_counts().sort("symbol")["count"].to_list() == [
        2,
        5,
    ]
    assert owned(series, change.clear()).equals(series)
    again = pl.concat([change, action("name_change", 1, name="b")])
    assert owned(series, again)["close"].to_list() == [4.0, 5.0]


@pytest.mark.parametrize(
    ("kind", "ratio", "amount"),
    [
        ("split", None, None),
        ("split", 0.0, None),
        ("split", -2.0, None),
        ("split", float("nan"), None),
        ("cash_dividend", None, None),
        ("cash_dividend", None, 100.0),
        ("cash_dividend", None, float("inf")),
        ("name_change", None, None),
        ("spin_off", 2.0, 3.0),
    ],
)
def test_an_action_without_a_usable_factor_moves_nothing(kind: str, ratio: float | None, amount: float | None) -> None:
    raw = bars(99, 100, 98)
    assert adjust(raw, action(kind, 2, ratio, amount)).equals(raw)


def test_an_action_before_the_first_bar_or_on_another_symbol_moves_nothing() -> None:
    raw = bars(99, 100, 98)
    assert adjust(raw, action("split", 0, ratio=2.0)).equals(raw)
    assert adjust(raw, action("split", 2, ratio=2.0, symbol="S1")).equals(raw)
    assert adjust(raw.clear(), action("split", 2, ratio=2.0)).is_empty()


@given(
    closes=st.lists(st.floats(0.01, 1e5), min_size=2, max_size=12),
    moves=st.lists(st.tuples(st.integers(1, 11), st.booleans(), st.floats(0.01, 50)), max_size=5),
)
def test_a_series_has_the_same_bits_alone_and_beside_others(
    closes: list[float], moves: list[tuple[int, bool, float]]
) -> None:
    """And so has every prefix of it that holds all the actions' moments."""
    made = [
        action(
            "split" if split else "cash_dividend", at, size if split else None, None if split else size, name=f"a{i}"
        )
        for i, (at, split, size) in enumerate(moves)
    ]
    actions = pl.concat([pl.DataFrame(schema=CORPORATE_ACTIONS), *made])
    alone = adjust(bars(*closes), actions)
    beside = adjust(
        pl.concat([bars(3.0, 4.0, symbol="R"), bars(*closes), bars(5.0, 7.0, symbol="Z")]),
        pl.concat([actions, action("split", 1, 3.0, symbol="Z"), action("cash_dividend", 1, None, 0.5, symbol="R")]),
    )
    assert beside.filter(pl.col("symbol") == "S0").equals(alone)


@pytest.mark.parametrize(
    ("symbol", "first", "last", "raw_move"),
    [
        ("AAPL", "2014-05-01", "2014-07-01", -0.85),
        ("AAPL", "2020-08-01", "2020-09-20", -0.74),
        ("AIG", "2009-06-01", "2009-08-01", 15.0),
    ],
)
def test_real_splits_leave_no_jump(data_dir: Path, symbol: str, first: str, last: str, raw_move: float) -> None:
    """7:1 and 4:1 splits and a 1:20 reverse split (amid a real fall by two thirds), from raw daily bars."""
    daily = pl.read_parquet(data_dir / "bars" / "us_equity_daily_raw.parquet").filter(pl.col("symbol") == symbol)
    ends = pl.col("ts").dt.replace_time_zone("America/New_York").dt.offset_by("16h").dt.convert_time_zone("UTC")
    raw = daily.sort("ts").with_columns(bar_end=ends.cast(MOMENT)).filter(pl.col("ts") < pl.lit(last).str.to_datetime())
    now = datetime.fromisoformat(last).replace(tzinfo=UTC)
    actions = actions_of(data_dir / "bars" / "factor_files", symbol).filter(pl.col("effective_at") <= now)
    window = pl.col("ts") >= pl.lit(first).str.to_datetime()

    def extreme(frame: pl.DataFrame) -> float:
        moves = frame.with_columns(move=pl.col("close").pct_change()).filter(window)["move"]
        return max(moves, key=abs)

    adjusted = adjust(raw, actions)
    assert abs(extreme(raw)) >= abs(raw_move)
    assert abs(extreme(adjusted)) < (0.3 if symbol == "AIG" else 0.1)
    read = indicators(adjusted, ["symbol"]).filter(window)
    middle, upper, lower = (read[f"bb_{name}"] for name in ("middle", "upper", "lower"))
    assert read["rsi_14"].min() > 15  # type: ignore[operator]
    assert ((upper - lower) / middle).max() < (1.6 if symbol == "AIG" else 0.35)  # type: ignore[operator]
    assert (read["macd"].abs() / read["close"]).max() < (0.6 if symbol == "AIG" else 0.15)  # type: ignore[operator]
