"""What the warehouse's promises cost: an upsert against a plain append, and a refresh on long against short history.

    python -m paiid_pipeline_tests.benchmarks.bench_warehouse                 100 k bars; 100 symbols
    BENCH=full python -m paiid_pipeline_tests.benchmarks.bench_warehouse      1 M bars; 500 symbols

Runs on the server in ``PAIID_TEST_POSTGRES_URL``, or on an embedded one of its own, in schemas that it drops.
The contestants take turns in one run; the table gives medians.

The long history is five years in 61 monthly partitions. Its last five sessions have every minute, as in the
short one; the older ones are thinned to every ``thinned``-th minute, so that the load stays within minutes: what
could make a refresh slower (partitions to leave out, depth of the indexes, daily bars) is there in kind.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import polars as pl
import psycopg2

from paiid_pipeline.local.servers import start_postgres
from paiid_pipeline.schemas import BARS, INDICATORS
from paiid_pipeline.warehouse import CoveredRange, Warehouse, migrate
from paiid_pipeline.warehouse.roles import ensure_database
from paiid_pipeline_tests.benchmarks.table import Row, show

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OPENS = timedelta(hours=14, minutes=30)
LENGTH = 390


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    bars: int
    rounds: int
    symbols: int
    thinned: int
    minutes: int


SMALL = Size(bars=100_000, rounds=5, symbols=100, thinned=120, minutes=15)
FULL = Size(bars=1_000_000, rounds=5, symbols=500, thinned=30, minutes=30)


@contextmanager
def server() -> Iterator[str]:
    """The address of a database to measure on."""
    given = os.environ.get("PAIID_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="paiid-bench-") as home:
        running = start_postgres(Path(home))
        ensure_database(running.url("postgres"), "paiid_bench")
        try:
            yield running.url("paiid_bench")
        finally:
            running.stop()


@contextmanager
def schema(url: str, name: str) -> Iterator[str]:
    """The address of a migrated warehouse in a schema of its own, dropped afterwards."""
    execute(url, f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")
    own = f"{url}{'&' if urlsplit(url).query else '?'}options=-csearch_path%3D{name}"
    migrate(own)
    yield own
    execute(url, f"DROP SCHEMA {name} CASCADE")


def execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def timed(call: Callable[[], object]) -> float:
    """Seconds on the wall: most of the work is the server's."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def random_bars(
    starts: list[datetime], symbols: int, timeframe: str = "1Min", length: timedelta = MINUTE
) -> pl.DataFrame:
    """Bars of all symbols at the moments given, sorted by symbol and moment."""
    count = len(starts) * symbols
    prices = np.random.default_rng(0).normal(100, 5, count).round(4)
    names = pl.DataFrame({"symbol": [f"S{number:03d}" for number in range(symbols)]})
    at = pl.DataFrame({"bar_start": pl.Series(starts, dtype=pl.Datetime("us", "UTC"))})
    shape = names.join(at, how="cross", maintain_order="left_right").with_columns(
        close=pl.Series(prices), trade_count=pl.Series(np.arange(count))
    )
    close = pl.col("close")
    made = shape.with_columns(
        timeframe=pl.lit(timeframe), bar_end=pl.col("bar_start") + length, open=close + 0.5, high=close + 1,
        low=close - 1, volume=(close * 10).round(), vwap=close + 0.1, source=pl.lit("bench"),
    )  # fmt: skip
    return made.select(list(BARS))


def sessions(count: int) -> list[datetime]:
    """The opens of the last weekdays before NOW, oldest first."""
    days = [NOW - timedelta(days=back) for back in range(1, count * 2 + 9)]
    return sorted(day + OPENS for day in days if day.weekday() < 5)[-count:]


def minutes(opens: list[datetime], step: int) -> list[datetime]:
    return [start + number * MINUTE for start in opens for number in range(0, LENGTH, step)]


def upserts(url: str, size: Size) -> list[Row]:
    """bars.write of new bars, of the same again, and of a batch that overlaps, against ADBC's append of new ones.

    Both have their connection open and their partitions made; the append's rows are in Arrow already.
    """
    symbols = 10
    starts = [datetime(2025, 1, 1, tzinfo=UTC) + number * MINUTE for number in range(size.bars // symbols)]
    batch = random_bars(starts, symbols)
    odd = pl.int_range(pl.len()) % 100 == 0
    overlapping = batch.with_columns(close=pl.when(odd).then(pl.col("close") + 1).otherwise("close"))
    half = batch.gather_every(2)
    appended = batch.with_columns(known_at=pl.col("bar_end"), nominal=pl.lit(True)).to_arrow()
    times: dict[str, list[float]] = {"new": [], "append": [], "again": [], "overlapping": []}
    for number in range(size.rounds):
        with schema(url, "bench_ours") as ours, schema(url, "bench_append") as theirs:
            for one in (ours, theirs):
                make_months(one, starts[0], starts[-1])
            with Warehouse(ours) as warehouse, adbc.connect(theirs) as connection:
                warehouse.coverage.missing("bench", "1Min", [], starts[0], starts[-1])
                contestants = {
                    "append": partial(append, connection, appended),
                    "new": partial(warehouse.bars.write, batch, NOW),
                }
                for name in sorted(contestants, reverse=bool(number % 2)):
                    times[name].append(timed(contestants[name]))
                times["again"].append(timed(contestants["new"]))
                execute(ours, "TRUNCATE market_bars")
                warehouse.bars.write(half, NOW)
                times["overlapping"].append(timed(partial(warehouse.bars.write, overlapping, NOW)))
    said = {
        "new": f"upsert of {size.bars:,} new bars",
        "overlapping": "half of them stored, 1 % restated",
        "again": "all of them stored",
    }
    return [row(what, times[name], times["append"], has_goal=name == "new") for name, what in said.items()]


def make_months(url: str, first: datetime, last: datetime) -> None:
    """The partitions from the month of one moment to that of another."""
    with Warehouse(url) as warehouse:
        for month in pl.date_range(first.date().replace(day=1), last.date(), "1mo", eager=True):
            warehouse.ensure_partitions(datetime(month.year, month.month, 1, tzinfo=UTC))


def row(what: str, ours: list[float], theirs: list[float], has_goal: bool) -> Row:
    """Speed of ours in units of theirs: the median over the rounds of each round's ratio."""
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    goal = f"≥ 0.6 ×: {'met' if ratio >= 0.6 else 'missed'}" if has_goal else ""
    against = f"ADBC append of new: {statistics.median(theirs):.2f} s"
    return Row(what, f"{statistics.median(ours):.2f} s", against, ratio, goal)


def append(connection: adbc.Connection, rows: object) -> None:
    """What anyone would write for speed alone."""
    with connection.cursor() as cursor:
        cursor.adbc_ingest("market_bars", rows, mode="append")
    connection.commit()


def fill(warehouse: Warehouse, size: Size, older: list[datetime], recent: list[datetime]) -> None:
    """Minute and daily bars, and the decisions made on them."""
    names = tuple(f"S{number:03d}" for number in range(size.symbols))
    for first in range(0, len(older), 60):
        warehouse.bars.write(random_bars(minutes(older[first : first + 60], size.thinned), size.symbols), NOW)
    warehouse.bars.write(random_bars(minutes(recent, 1)[: -size.minutes], size.symbols), NOW)
    closes = [*older, *recent[:-1]]
    warehouse.bars.write(random_bars(closes, size.symbols, "1Day", LENGTH * MINUTE), NOW)
    decided = random_bars(closes, size.symbols).select(
        "symbol", "bar_start", "bar_end", horizon=pl.lit("daily"), as_of=pl.col("bar_end"),
        bars=pl.lit(250, pl.Int64), close="close", rsi_14="close", inputs_hash=pl.lit("0" * 64),
    )  # fmt: skip
    lacking = [pl.lit(None, kind).alias(name) for name, kind in INDICATORS.items() if name not in decided.columns]
    warehouse.indicators.write(decided.with_columns(lacking).select(list(INDICATORS)))
    warehouse.coverage.add(
        [CoveredRange("bench", "1Min", names, closes[0], recent[-1] + (LENGTH - size.minutes) * MINUTE)]
    )


def refresh(warehouse: Warehouse, size: Size, start: datetime, anchor: datetime) -> dict[str, float]:
    """One minute: what is missing, one bar a symbol, the window of the decisions, the newest indicators; seconds."""
    names = [f"S{number:03d}" for number in range(size.symbols)]
    end = start + MINUTE
    batch = random_bars([start], size.symbols)
    return {
        "write": timed(lambda: write_one(warehouse, batch, names, end)),
        "read": timed(
            lambda: (
                warehouse.bars.versions(names, "1Min", anchor, end, end + MINUTE),
                warehouse.bars.read(names, "1Day", anchor - timedelta(days=9), end, end),
                warehouse.indicators.read(names, "daily", anchor - timedelta(days=2), end),
                warehouse.bars.newest(names, "1Min", end, end + MINUTE),
            )
        ),
    }


def write_one(warehouse: Warehouse, batch: pl.DataFrame, names: list[str], end: datetime) -> None:
    for gap in warehouse.coverage.missing("bench", "1Min", names, end - 10 * MINUTE, end):
        warehouse.bars.write(batch, end + timedelta(seconds=2), live=True, covers=[gap])


def refreshes(url: str, size: Size) -> list[Row]:
    """The same minutes on five years and on five days of history, in turns."""
    recent, older = sessions(5), sessions(5 * 252)[:-5]
    anchor, first = recent[-4], recent[-1] + (LENGTH - size.minutes) * MINUTE
    with schema(url, "bench_long") as one, schema(url, "bench_short") as other:
        with Warehouse(one) as long, Warehouse(other) as short:
            fill(long, size, older, recent)
            fill(short, size, [], recent)
            for filled in (one, other):
                execute(filled, "VACUUM ANALYZE market_bars, technical_indicators")
            times: dict[str, list[tuple[float, float]]] = {"write": [], "read": [], "refresh": []}
            for number in range(size.minutes):
                order = (long, short) if number % 2 else (short, long)
                took = {id(w): refresh(w, size, first + number * MINUTE, anchor) for w in order}
                for part in ("write", "read"):
                    times[part].append((took[id(long)][part], took[id(short)][part]))
                times["refresh"].append((sum(took[id(long)].values()), sum(took[id(short)].values())))
        counts = [count(one), count(other)]
    said = {
        "refresh": f"a minute of {size.symbols} symbols, 5 years of history",
        "write": "  of which storing the new bars",
        "read": "  of which reading what decisions need",
    }
    return [compared(what, times[part], counts, part == "refresh") for part, what in said.items()]


def compared(what: str, times: list[tuple[float, float]], counts: list[int], has_goal: bool) -> Row:
    """Medians; the ratio is that of the medians, as single minutes are noisy."""
    long, short = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = long / short
    goal = f"≤ 1.1 ×: {'met' if ratio <= 1.1 else 'missed'}" if has_goal else ""
    ours = f"{1000 * long:.0f} ms" + (f" ({counts[0]:,} bars)" if has_goal else "")
    theirs = f"5 days: {1000 * short:.0f} ms" + (f" ({counts[1]:,} bars)" if has_goal else "")
    return Row(what, ours, theirs, ratio, goal)


def count(url: str) -> int:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM market_bars")
        (found,) = cursor.fetchone() or (0,)
    connection.close()
    return int(found)


def main() -> None:
    """Print both tables."""
    size = FULL if os.environ.get("BENCH") == "full" else SMALL
    with server() as url:
        show("Warehouse: upsert against a plain append (speed, × the append's)", upserts(url, size))
        sys.stdout.write(f"older minutes thinned to one in {size.thinned}; filling …\n")
        show("Warehouse: a refresh on long against short history (cost, × the short one's)", refreshes(url, size))


if __name__ == "__main__":
    main()
