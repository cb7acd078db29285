"""Several writers at once, and a writer that is killed: nothing doubled, nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import polars as pl
import psycopg2

from paiid_pipeline.warehouse import CoveredRange, Warehouse, WriteResult, migrate
from paiid_pipeline_tests.warehouse.rows import LATER, MINUTE, T0, article, bar, bars, news, sentiment, sentiments

MONTH = timedelta(days=31)


def at_once(*calls: Callable[[], WriteResult]) -> list[WriteResult]:
    """Run calls in threads that start together."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], WriteResult]) -> WriteResult:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_identical_live_batches_at_once_are_stored_once(warehouse: Warehouse) -> None:
    warehouse.coverage.add([CoveredRange("test", "1Min", ("AAPL",), T0 - MINUTE, T0)])
    rows = bars(*(bar(T0 + step * MINUTE) for step in range(500)))
    received = [T0 + 8 * MINUTE + timedelta(seconds=number) for number in range(4)]
    done = at_once(*(lambda at=at: warehouse.bars.write(rows, at, live=True) for at in received))  # type: ignore[misc]
    assert sum(one.inserted for one in done) == 500
    assert sum(one.restated for one in done) == 0
    assert warehouse.bars.versions(["AAPL"], "1Min", T0, LATER, LATER).height == 500


def test_batches_that_meet_in_opposite_orders_do_not_block_each_other(warehouse: Warehouse) -> None:
    rows = [bar(symbol=f"S{number}") for number in range(300)]
    done = at_once(
        lambda: warehouse.bars.write(bars(*rows), LATER), lambda: warehouse.bars.write(bars(*reversed(rows)), LATER)
    )
    assert sorted(one.inserted for one in done) == [0, 300]


def test_the_same_article_in_two_segments_at_once_is_stored_once(warehouse: Warehouse) -> None:
    rows = news(*(article(number, symbols=["AAPL", "TWX"]) for number in range(200)))
    done = at_once(*[lambda: warehouse.news.write(rows, LATER)] * 3)
    assert sorted(one.inserted for one in done) == [0, 0, 200]


def test_partitions_that_several_need_at_once_are_made_once(warehouse: Warehouse) -> None:
    def rows(symbol: str) -> Callable[[], WriteResult]:
        frame = sentiments(*(sentiment(T0 + number * MONTH, symbol) for number in range(12)))
        return lambda: warehouse.symbol_sentiment.write(frame)

    assert at_once(*(rows(symbol) for symbol in "ABCD")) == [WriteResult(12, 0, 0)] * 4


def test_migrations_at_once_make_one_schema(postgres_url: str) -> None:
    """From several processes, and from several threads of one."""
    code = "import sys; from paiid_pipeline.warehouse import migrate; migrate(sys.argv[1])"
    processes = [subprocess.Popen([sys.executable, "-c", code, postgres_url]) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrate, [postgres_url] * 2))
    assert [process.wait() for process in processes] == [0, 0]
    with Warehouse(postgres_url) as warehouse:
        assert warehouse.bars.write(bars(bar()), LATER).inserted == 1


COUNT = 100_000

_CHILD = """
import sys
from paiid_pipeline.warehouse import Warehouse
from paiid_pipeline_tests.warehouse.rows import LATER
from paiid_pipeline_tests.warehouse.test_concurrency import many, whole
Warehouse(sys.argv[1]).bars.write(many(), LATER, covers=[whole()])
"""


def many() -> pl.DataFrame:
    """A large batch of one symbol."""
    step = (pl.int_range(COUNT, eager=True) * 60_000_000).cast(pl.Duration("us"))
    one = bars(bar()).select(pl.all().repeat_by(COUNT).explode())
    return one.with_columns(bar_start=one["bar_start"] + step, bar_end=one["bar_end"] + step)


def whole() -> CoveredRange:
    return CoveredRange("test", "1Min", ("AAPL",), T0, T0 + COUNT * MINUTE)


def test_a_writer_killed_in_the_middle_leaves_nothing_and_the_next_one_writes_all(
    warehouse: Warehouse, warehouse_url: str
) -> None:
    """The writer is held at its last row by a rival's uncommitted row of the same key, and killed there."""
    rows = many()
    warehouse.bars.write(rows.tail(1).with_columns(symbol=pl.lit("MSFT")), LATER)
    rival = psycopg2.connect(warehouse_url)
    with rival.cursor() as cursor:
        cursor.execute(
            "INSERT INTO market_bars SELECT 'AAPL', timeframe, bar_start, bar_end, 1, 1, 1, 1, 1, null, null, 'rival',"
            " known_at, nominal FROM market_bars"
        )
        child = subprocess.Popen([sys.executable, "-c", _CHILD, warehouse_url])
        _wait_until_someone_waits(warehouse_url)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    rival.rollback()
    rival.close()
    assert warehouse.bars.versions(["AAPL"], "1Min", T0, LATER, LATER).is_empty()
    assert len(warehouse.coverage.missing("test", "1Min", ["AAPL"], T0, T0 + COUNT * MINUTE)) == 1
    assert warehouse.bars.write(rows, LATER, covers=[whole()]) == WriteResult(COUNT, 0, 0)
    assert warehouse.coverage.missing("test", "1Min", ["AAPL"], T0, T0 + COUNT * MINUTE) == []


def _wait_until_someone_waits(url: str) -> None:
    """Return once a writer waits for another's transaction to end."""
    observer = psycopg2.connect(url)
    observer.autocommit = True
    deadline = time.monotonic() + 120
    with observer.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'transactionid'"
                " AND datname = current_database() AND pg_backend_pid() <> pid"
            )
            row = cursor.fetchone()
            if row and row[0]:
                observer.close()
                return
            cursor.execute("SELECT pg_sleep(0.05)")
    raise AssertionError("no writer came to wait for the rival's row")
