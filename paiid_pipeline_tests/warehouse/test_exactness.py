"""What is written comes back: bits of floats, microseconds, text of any kind, arrays."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta

import polars as pl
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paiid_pipeline import schemas
from paiid_pipeline.warehouse import Warehouse, WriteResult, bitemporal
from paiid_pipeline_tests.warehouse.rows import (
    LATER,
    MINUTE,
    T0,
    article,
    bar,
    bars,
    frame,
    indicator,
    indicators,
    news,
    sentiment,
    sentiments,
    signal,
    signals,
)
from paiid_pipeline_tests.warehouse.test_as_of import symbol_of_its_own

finite = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def bits(values: list[float]) -> list[bytes]:
    return [struct.pack("<d", value) for value in values]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(finite, min_size=1, max_size=50), step=st.integers(0, 59_999_999))
def test_floats_keep_their_bits_and_moments_their_microseconds(
    warehouse: Warehouse, values: list[float], step: int
) -> None:
    at = [T0 + number * timedelta(days=1) + timedelta(microseconds=step) for number in range(len(values))]
    symbol = symbol_of_its_own()
    rows = sentiments(*(sentiment(moment, symbol, score=value) for moment, value in zip(at, values, strict=True)))
    warehouse.symbol_sentiment.write(rows)
    found = warehouse.symbol_sentiment.read([symbol], "intraday", at[0], at[-1])
    assert found["as_of"].to_list() == at
    assert bits(found["score"].to_list()) == bits(values)


@pytest.mark.parametrize("value", [-0.0, 5e-324, -2.2250738585072009e-308, 1.7976931348623157e308, 0.1 + 0.2])
def test_the_floats_at_the_edges_keep_their_bits(warehouse: Warehouse, value: float) -> None:
    warehouse.bars.write(bars(bar(close=value)), LATER)
    found = warehouse.bars.read(["AAPL"], "1Min", T0, LATER, LATER)
    for column in ("open", "high", "low", "close"):
        assert bits(found[column].to_list()) == bits([value])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(headline=text, summary=st.none() | text, symbols=st.lists(text, max_size=3))
def test_text_of_any_kind_comes_back(
    warehouse: Warehouse, headline: str, summary: str | None, symbols: list[str]
) -> None:
    name = symbol_of_its_own()
    warehouse.news.write(news(article(article_id=name, headline=headline, summary=summary, symbols=symbols)), LATER)
    found = warehouse.news.read(None, T0, LATER, LATER).filter(pl.col("article_id") == name)
    assert found.select("headline", "summary", "symbols").rows() == [(headline, summary, symbols)]


def test_lines_that_mean_something_to_copy_are_only_text(warehouse: Warehouse) -> None:
    hard = '\\.\n"\\."\n\\N,\r\n\t""'
    warehouse.news.write(news(article(headline=hard, summary="", url="")), LATER)
    found = warehouse.news.read(None, T0, LATER, LATER)
    assert found.select("headline", "summary", "url").row(0) == (hard, "", "")


def test_a_character_that_postgres_cannot_hold_does_not_lose_the_row(warehouse: Warehouse) -> None:
    warehouse.news.write(news(article(headline="a\0b")), LATER)
    assert warehouse.news.read(None, T0, LATER, LATER)["headline"].to_list() == ["a␀b"]


def test_a_headline_of_ten_megabytes_is_stored(warehouse: Warehouse) -> None:
    warehouse.news.write(news(article(headline="x" * 10_000_000)), LATER)
    assert warehouse.news.read(None, T0, LATER, LATER)["headline"].str.len_bytes().to_list() == [10_000_000]


def test_empty_frames_and_no_symbols_are_fine(warehouse: Warehouse) -> None:
    assert warehouse.bars.write(schemas.empty(schemas.BARS), LATER) == WriteResult(0, 0, 0)
    assert warehouse.signals.write(schemas.empty(schemas.SIGNALS), "run") == WriteResult(0, 0, 0)
    assert warehouse.quarantine.write(schemas.empty(schemas.REFUSALS), LATER) == 0
    assert warehouse.bars.read([], "1Min", T0, LATER, LATER).schema == pl.Schema(schemas.STORED_BARS)
    assert warehouse.news.read([], T0, LATER, LATER).schema == pl.Schema(schemas.STORED_NEWS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_by_name(warehouse: Warehouse, value: float) -> None:
    with pytest.raises(ValueError, match=r"technical_indicators: column 'rsi_14' holds NaN or infinity"):
        warehouse.indicators.write(indicators(indicator(T0, rsi_14=value)))
    with pytest.raises(ValueError, match=r"market_bars: column 'vwap'"):
        warehouse.bars.write(bars(bar(vwap=value)), LATER)


def test_a_frame_of_another_shape_is_refused_by_name(warehouse: Warehouse) -> None:
    with pytest.raises(ValueError, match=r"market_bars: the frame has no column 'vwap'"):
        warehouse.bars.write(bars(bar()).drop("vwap"), LATER)
    with pytest.raises(ValueError, match=r"market_bars: column 'volume' is Int64, cast it to Float64"):
        warehouse.bars.write(bars(bar()).with_columns(pl.col("volume").cast(pl.Int64)), LATER)
    with pytest.raises(ValueError, match=r"market_bars: column 'bar_start' has a null"):
        warehouse.bars.write(bars(bar(), {**bar(), "bar_start": None}), LATER)
    with pytest.raises(ValueError, match=r"signals: column 'inputs_hash' has a null"):
        warehouse.signals.write(signals(signal(T0, inputs_hash=None)), "run")


def test_every_column_of_every_contract_comes_back(warehouse: Warehouse) -> None:
    """Each column gets a value of its own, so that two swapped columns would show."""
    filled = {
        name: float(number) for number, (name, kind) in enumerate(schemas.INDICATORS.items()) if kind == pl.Float64
    }
    texts = ("macd_cross", "bb_position", "bb_cross", "macd_divergence", "rsi_divergence", "regime")
    filled |= {name: name for name in texts} | {"bb_squeeze": True}  # type: ignore[misc]
    rows = indicators(indicator(T0, **filled))
    warehouse.indicators.write(rows)
    assert warehouse.indicators.read(["AAPL"], "intraday", T0, T0).equals(rows)

    given = signals(signal(T0, stop_loss=1.0, take_profit=2.0, position_fraction=0.5, reasons='[{"rule": "x"}]'))
    warehouse.signals.write(given, "run-1")
    found = warehouse.signals.read(["AAPL"], "intraday", T0, T0)
    assert found.drop("run_id").equals(given)
    assert found["run_id"].to_list() == ["run-1"]

    sent = sentiments(
        sentiment(T0, score=0.1, confidence=0.2, disagreement=0.3, newest_published_at=T0, model="m", model_version="v")
    )
    warehouse.symbol_sentiment.write(sent)
    assert warehouse.symbol_sentiment.read(["AAPL"], "intraday", T0, T0).equals(sent)


def test_an_upsert_changes_only_what_is_distinct(warehouse: Warehouse) -> None:
    rows = indicators(indicator(T0, rsi_14=30.0), indicator(T0 + MINUTE, rsi_14=None))
    assert warehouse.indicators.write(rows) == WriteResult(2, 0, 0)
    assert warehouse.indicators.write(rows) == WriteResult(0, 0, 2)
    more = indicators(indicator(T0, rsi_14=31.0), indicator(T0 + MINUTE), indicator(T0 + 2 * MINUTE))
    assert warehouse.indicators.write(more) == WriteResult(1, 1, 1)
    assert warehouse.indicators.read(["AAPL"], "intraday", T0, LATER)["rsi_14"].to_list() == [31.0, None, None]


def test_signals_are_added_and_never_changed(warehouse: Warehouse) -> None:
    warehouse.signals.write(signals(signal(T0, signal="BUY")), "first")
    assert warehouse.signals.write(signals(signal(T0, signal="SELL")), "second") == WriteResult(0, 0, 1)
    assert warehouse.signals.write(signals(signal(T0, signal="SELL", inputs_hash="other")), "third") == WriteResult(
        1, 0, 0
    )
    found = warehouse.signals.read(["AAPL"], "intraday", T0, T0)
    assert found.select("signal", "run_id").rows() == [("BUY", "first"), ("SELL", "third")]


def test_the_quarantine_keeps_what_came_twice_once_with_its_first_receipt(
    warehouse: Warehouse, warehouse_url: str
) -> None:
    refused = [{"source": "s", "reason": "negative_price", "payload": "{}"}]
    assert warehouse.quarantine.write(frame(schemas.REFUSALS, refused * 2), LATER) == 1
    assert warehouse.quarantine.write(frame(schemas.REFUSALS, refused), LATER + MINUTE) == 0
    assert warehouse.quarantine.write(frame(schemas.REFUSALS, [{**refused[0], "payload": "not json \0"}]), LATER) == 1
    with psycopg2.connect(warehouse_url) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT payload, received_at FROM quarantine ORDER BY payload COLLATE "C"')
        assert cursor.fetchall() == [("not json ␀", LATER), ("{}", LATER)]
    connection.close()


def test_prior_positions_come_back_in_the_order_of_writing(warehouse: Warehouse) -> None:
    later = T0 + 5 * MINUTE
    sized = {"stop_loss": 90.0, "take_profit": 99.0, "position_fraction": 0.05}
    warehouse.signals.write(signals(signal(T0), signal(later, **sized), signal(later, "MSFT", engine="ml")), "first")
    warehouse.signals.write(signals(signal(later, inputs_hash="i", position_fraction=0.0)), "second")
    found = warehouse.signals.prior_positions(["AAPL", "MSFT"], "intraday", "rules", T0, later)
    assert found.schema == pl.Schema(schemas.PRIOR_POSITIONS)
    assert found.select("symbol", "as_of", "stop_loss", "position_fraction").rows() == [
        ("AAPL", later, 90.0, 0.05),
        ("AAPL", later, None, 0.0),
    ]
    assert warehouse.signals.prior_positions(["AAPL"], "daily", "rules", T0, later).is_empty()


def test_quarantined_bars_are_found_by_symbol_and_moment(warehouse: Warehouse) -> None:
    """Whatever else is in quarantine: news, copies of good bars, and what is no JSON."""
    payloads = [
        ("high_below_low", '{"symbol": "AAPL", "c": 1}'),
        ("duplicate_bar", '{"symbol": "AAPL", "c": 2}'),
        ("not_finite", '{"symbol": "KO", "c": "NaN"}'),
        ("empty_headline", '{"id": 1, "symbols": ["AAPL"]}'),
        ("bad_type", "not json \\u0000"),
    ]
    rows = [{"source": "s", "reason": reason, "payload": payload} for reason, payload in payloads]
    warehouse.quarantine.write(frame(schemas.REFUSALS, rows), LATER)
    found = warehouse.quarantine.bars(["AAPL", "MSFT"], LATER - MINUTE, LATER)
    assert found.schema == pl.Schema(schemas.QUARANTINED_BARS)
    assert found.rows() == [("AAPL", LATER, "high_below_low")]
    assert warehouse.quarantine.bars(["AAPL"], LATER, LATER + MINUTE).is_empty()


def test_months_at_the_borders_of_years_have_their_partitions(warehouse: Warehouse) -> None:
    """Rows on both sides of each border are stored and read together."""
    borders = [
        datetime(2013, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(2014, 1, 1, tzinfo=UTC),
        datetime(2016, 2, 29, tzinfo=UTC),
        datetime(1998, 1, 1, tzinfo=UTC),
        datetime(2031, 12, 31, tzinfo=UTC),
    ]
    warehouse.symbol_sentiment.write(sentiments(*(sentiment(moment) for moment in borders)))
    assert warehouse.symbol_sentiment.read(["AAPL"], "intraday", min(borders), max(borders))[
        "as_of"
    ].to_list() == sorted(borders)
    warehouse.bars.write(bars(*(bar(moment) for moment in borders)), LATER)
    assert warehouse.bars.read(["AAPL"], "1Min", borders[0], borders[1] + MINUTE, LATER).height == 2


def test_a_bar_that_lasts_too_long_is_refused_by_the_table(warehouse: Warehouse) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)market_bars.*quarantine"):
        warehouse.bars.write(bars(bar(bar_end=T0 + 2 * MINUTE)), LATER)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(finite, st.none() | finite, st.none() | st.integers(0, 2**63 - 1), text, st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_a_large_batch_is_stored_as_a_small_one_is(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[float, float | None, int | None, str, bool]]
) -> None:
    """Binary and CSV: texts of any length, nulls in any column, floats of any size."""
    stored = []
    for large in (1, 10**9):
        monkeypatch.setattr(bitemporal, "_LARGE", large)
        symbol = symbol_of_its_own()
        batch = bars(
            *(
                bar(T0 + number * MINUTE, close, symbol, vwap=vwap, trade_count=count, source=source)
                for number, (close, vwap, count, source, wanted) in enumerate(rows)
                if wanted or not number
            )
        )
        assert warehouse.bars.write(batch, LATER).inserted == batch.height
        stored.append(warehouse.bars.versions([symbol], "1Min", T0, LATER, LATER).drop("symbol"))
        assert stored[-1].drop("known_at", "nominal").equals(batch.drop("symbol"), null_equal=True)
    assert stored[0].equals(stored[1])
