"""The main job as a user starts it, on real bars and posts: `paiid demo` over 9 June 2014, Apple's 7:1 split."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

PAIID = [sys.executable, "-m", "paiid_pipeline.cli"]


@pytest.fixture(scope="module")
def environment(data_dir: Path) -> Iterator[dict[str, str]]:
    """A new user's environment: two symbols, one afternoon, an empty home."""
    with TemporaryDirectory(prefix="paiid-demo-") as folder:
        universe = Path(folder) / "universe.toml"
        universe.write_text('[segments]\ntechnology = ["AAPL"]\nmedia = ["TWX"]\n')
        given = {name: value for name, value in os.environ.items() if not name.startswith("PAIID_")}
        yield given | {
            "PAIID_HOME": f"{folder}/.paiid",
            "PAIID_SOURCE": "replay",
            "PAIID_DATA_DIR": str(data_dir),
            "PAIID_UNIVERSE": str(universe),
            "PAIID_CLOCK": "replay:2014-06-09T15:00:00-04:00@1",
        }


@pytest.fixture(scope="module")
def demo(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """One pass."""
    return run(environment, "demo")


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PAIID, *arguments], env=environment, capture_output=True, text=True, timeout=300)


def ask(environment: dict[str, str], query: str, *options: str) -> list[dict[str, Any]]:
    done = run(environment, "sql", query, "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_it_succeeds_and_shows_the_signals(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "AAPL   | intraday | 2014-06-09 15:00" in demo.stdout
    assert "TWX    | intraday | 2014-06-09 15:00" in demo.stdout


@pytest.mark.usefixtures("demo")
def test_an_analyst_reads_the_newest_decision_of_each_symbol(environment: dict[str, str]) -> None:
    query = "select symbol, as_of, price from signals_latest where horizon = 'intraday' order by symbol"
    rows = ask(environment, query, "--analyst")
    assert [(row["symbol"], row["as_of"][:16].replace("T", " ")) for row in rows] == [
        ("AAPL", "2014-06-09 19:00"),
        ("TWX", "2014-06-09 19:00"),
    ]
    assert 90 < rows[0]["price"] < 95


@pytest.mark.usefixtures("demo")
def test_the_split_is_known_and_is_no_crash_to_any_indicator(environment: dict[str, str]) -> None:
    (split,) = ask(environment, "select * from corporate_actions where kind = 'split' and ex_date = '2014-06-09'")
    assert split["ratio"] == 7
    (facts,) = ask(
        environment,
        "select count(*) as decisions, min(rsi_14) as low, max(rsi_14) as high, max(bb_bandwidth) as widest,"
        " max(abs(macd) / close) as steepest from technical_indicators"
        " where symbol = 'AAPL' and horizon = 'intraday' and as_of >= '2014-06-09'",
    )
    assert facts["decisions"] == 66
    assert facts["low"] > 5
    assert facts["high"] < 95
    assert facts["widest"] < 0.05
    assert facts["steepest"] < 0.01


@pytest.mark.usefixtures("demo")
def test_a_second_start_reuses_the_data_and_changes_no_row(environment: dict[str, str]) -> None:
    digest = "select '{0}' as name, md5(string_agg(t::text, '|' order by t::text)) as digest, count(*) from {0} t"
    tables = (
        "market_bars",
        "news_articles",
        "article_sentiment",
        "symbol_sentiment",
        "technical_indicators",
        "signals",
    )
    digests = " union all ".join(digest.format(table) for table in tables) + " order by name"
    before = ask(environment, digests)
    assert all(row["count"] for row in before), before
    assert run(environment, "demo").returncode == 0
    assert ask(environment, digests) == before
