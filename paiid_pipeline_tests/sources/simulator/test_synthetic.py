"""The synthetic exchange: the same bits however it is asked, sane prices, and no knowledge of what comes later."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from paiid_pipeline.sources.simulator import synthetic
from paiid_pipeline.sources.simulator.backend import BarQuery
from paiid_pipeline.sources.simulator.synthetic_exchange import SyntheticExchange

NOW = datetime(2026, 3, 2, 10, 30, 30, tzinfo=UTC)
EXCHANGE = SyntheticExchange()

symbols = st.from_regex(r"[A-Z][A-Z0-9.]{0,5}", fullmatch=True)
moments = st.datetimes(datetime(1999, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def bars(
    named: tuple[str, ...], timeframe: str, start: datetime, end: datetime, now: datetime | None = None
) -> pl.DataFrame:
    query = BarQuery(tuple(sorted(named)), timeframe, start, end, None, now or end + timedelta(days=3))
    return pl.concat([pl.DataFrame(), *EXCHANGE.bars(query)], how="diagonal")


@settings(deadline=None, max_examples=25)
@given(symbols, symbols, moments, st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000))
def test_any_minutes_equal_the_slice_of_more_minutes_of_more_symbols(
    symbol: str, other: str, begin: datetime, before: int, span: int, after: int
) -> None:
    start, end = begin + timedelta(minutes=before), begin + timedelta(minutes=before + span)
    part = bars((symbol,), "1Min", start, end)
    more = bars((symbol, other), "1Min", begin, end + timedelta(minutes=after))
    cut = more.filter((pl.col("S") == symbol) & pl.col("t").is_between(start, end)).unique(maintain_order=True)
    assert part.equals(cut)


@settings(deadline=None, max_examples=10)
@given(symbols, moments, st.integers(0, 100), st.integers(0, 100))
def test_any_days_equal_the_slice_of_more_days(symbol: str, begin: datetime, before: int, span: int) -> None:
    start = begin + timedelta(days=before)
    part = bars((symbol,), "1Day", start, start + timedelta(days=span))
    more = bars((symbol,), "1Day", begin, start + timedelta(days=span + 70))
    assert part.equals(more.filter(pl.col("t").is_between(start, start + timedelta(days=span))))


@settings(deadline=None, max_examples=10)
@given(symbols, moments)
def test_prices_are_sane_and_a_day_is_the_sum_of_its_minutes(symbol: str, moment: datetime) -> None:
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    minutes = bars((symbol,), "1Min", start, start + timedelta(minutes=1439))
    assert 1300 < minutes.height < 1440
    assert minutes.filter(
        (pl.col("l") <= 0)
        | (pl.col("l") > pl.min_horizontal("o", "c"))
        | (pl.col("h") < pl.max_horizontal("o", "c"))
        | (pl.col("v") < 1)
        | ~pl.col("vw").is_between(pl.col("l"), pl.col("h"))
    ).is_empty()
    (day,) = bars((symbol,), "1Day", start, start).iter_rows(named=True)
    assert day["o"] == minutes["o"][0]
    assert day["c"] == minutes["c"][-1]
    assert (day["h"], day["l"]) == (minutes["h"].max(), minutes["l"].min())
    assert (day["v"], day["n"]) == (minutes["v"].sum(), minutes["n"].sum())


def test_another_process_makes_the_same_bits() -> None:
    script = (
        "from paiid_pipeline.sources.simulator import synthetic as s; import hashlib\n"
        "d = s.daily('AAPL', 20000, 20070); print(hashlib.sha256(b''.join(d[k].tobytes() for k in d)).hexdigest())\n"
        "print(repr(s.news(['AAPL'], 20000, 20003)))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_nothing_is_served_before_it_has_happened() -> None:
    start = NOW - timedelta(days=2)
    minutes = bars(("AAPL",), "1Min", start, NOW + timedelta(days=1), NOW)
    days = bars(("AAPL",), "1Day", start, NOW + timedelta(days=1), NOW)
    assert NOW - timedelta(minutes=3) < minutes["t"].max() <= NOW - timedelta(minutes=1)
    assert days["t"].to_list() == [datetime(2026, 3, 1, tzinfo=UTC)]
    out = EXCHANGE.news(["AAPL"], start, NOW + timedelta(days=1), NOW)
    assert out
    assert max(article["updated_at"] for article in out) <= NOW
    assert set(EXCHANGE.actions(["AAPL"], NOW.date() + timedelta(days=1), NOW.date() + timedelta(days=999), NOW)) <= {
        "forward_splits", "reverse_splits", "cash_dividends"}  # fmt: skip
    later = EXCHANGE.actions(["AAPL"], NOW.date() + timedelta(days=1), NOW.date() + timedelta(days=999), NOW)
    assert not any(later.values())


def test_there_are_gaps_jumps_and_regimes() -> None:
    days = np.arange(20_000, 20_200)
    keys = np.full(days.size, synthetic.symbol_key("MSFT"), np.uint64)
    made = synthetic.minutes(keys, days)
    missing = (~made.traded).sum(axis=1)
    assert missing.min() > 0
    assert missing.max() > 20
    moves = np.abs(np.log(made.close / made.open))
    assert (moves.max(axis=1) > 12 * moves.mean(axis=1)).sum() >= 5
    volatility = moves.mean(axis=1)
    assert volatility.max() > 3 * volatility.min()


def test_raw_prices_fall_by_a_splits_ratio_and_a_dividends_amount() -> None:
    seen: set[str] = set()
    for symbol in ("AAPL", "MSFT", "NVDA", "GOOG", "KO", "DIS"):
        found = synthetic.actions(symbol, 18_000, 20_500)
        for kind, rows in found.items():
            for row in rows[:3]:
                day = synthetic.day_number(datetime.fromisoformat(row["ex_date"]).date())
                two = synthetic.daily(symbol, day - 1, day)
                close, following = two["close"][0], two["open"][1]
                if kind == "cash_dividends":
                    expected = close - row["rate"]
                    assert abs(following - expected) < 0.25 * row["rate"] + 0.01 * close
                else:
                    expected = close * row["old_rate"] / row["new_rate"]
                    assert abs(following / expected - 1.0) < 0.02
                seen.add(kind)
    assert seen == {"forward_splits", "reverse_splits", "cash_dividends"}


def test_the_price_stays_within_reach_for_decades() -> None:
    for symbol in ("A", "ZZZZ", "BRK.B"):
        closes = np.concatenate([synthetic.daily(symbol, day, day + 3)["close"] for day in range(7_000, 30_000, 500)])
        assert closes.min() > 0.5
        assert closes.max() < 5_000


def news(symbol: str, days: int = 400) -> list[dict[str, Any]]:
    return synthetic.news([symbol], 20_000, 20_000 + days)


def test_headlines_are_varied_some_are_updated_and_some_are_about_two_symbols() -> None:
    versions = news("AAPL")
    articles = {version["id"]: version for version in versions}
    assert 2 <= len(articles) / 400 <= 7
    assert len({version["headline"] for version in versions}) > 15
    assert any(len(version["symbols"]) == 2 for version in versions)
    updated = [version for version in versions if version["updated_at"] > version["created_at"]]
    assert 0.05 < len(updated) / len(articles) < 0.2
    assert all(version["headline"].startswith("UPDATE: ") for version in updated)


def test_an_article_about_two_is_the_same_article_for_both() -> None:
    def about_two(symbol: str) -> list[dict[str, Any]]:
        return [version for version in news(symbol, 50) if len(version["symbols"]) == 2]

    assert about_two("AAPL") == about_two("MSFT")


def test_headlines_lean_towards_the_hour_before_them_and_not_towards_the_hour_after() -> None:
    tones = {"climb": 1, "upgrade": 1, "record": 1, "wins": 1, "grows": 1,
             "drop": -1, "downgrade": -1, "warns": -1, "lawsuit": -1, "Trouble": -1}  # fmt: skip
    score, past, future = [], [], []
    for version in (v for symbol in ("AAPL", "KO", "XYZ") for v in news(symbol, 250)):
        if len(version["symbols"]) == 2 or version["updated_at"] > version["created_at"]:
            continue
        at = int((version["created_at"] - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) // 60
        minute, day = at % 1440, at // 1440
        if not 60 <= minute < 1380:
            continue
        key = np.array([synthetic.symbol_key(version["symbols"][0])], np.uint64)
        path = np.log(synthetic._path(key, np.array([day]))[0])
        score.append(next((tone for word, tone in tones.items() if word in version["headline"]), 0))
        past.append(path[minute] - path[minute - 60])
        future.append(path[minute + 60] - path[minute + 1])
    assert np.corrcoef(score, past)[0, 1] > 0.1
    assert abs(np.corrcoef(score, future)[0, 1]) < 4 / np.sqrt(len(score))


def test_splitmix64_agrees_with_its_published_sequence() -> None:
    """The reference generator, seeded with 1234567, begins with these numbers."""
    golden, state = 0x9E3779B97F4A7C15, 1234567
    states = np.array([(state + golden * step) % 2**64 for step in (1, 2, 3)], np.uint64)
    assert synthetic._mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_consecutive_days_join_without_a_gap() -> None:
    key = synthetic.symbol_key("JPM")
    paths = synthetic._path(np.full(5, key, np.uint64), np.arange(20_000, 20_005))
    for before, after in pairwise(paths):
        assert abs(before[-1] / after[0] - 1.0) < 1e-12
