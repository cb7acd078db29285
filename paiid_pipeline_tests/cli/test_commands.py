"""The commands of `paiid` as processes: settings, servers of their own, SQL, addresses."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paiid_pipeline.cli import main
from paiid_pipeline_tests.cli.harness import LIMIT, PAIID, apply, environment, home, of_home, run, served, started

__all__ = ["environment", "home", "served"]

Sql = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sql(served: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sql:
    """`paiid sql …` on the running servers, within this process: exit code, stdout, stderr."""
    apply(served, monkeypatch)

    def run_here(*words: str) -> tuple[int, str, str]:
        code = main(["sql", *words])
        return code, *capsys.readouterr()

    return run_here


def test_bare_paiid_prints_help_without_importing_anything_heavy() -> None:
    program = (
        "import sys; from paiid_pipeline.cli import main; main([]); "
        "print([m for m in ('dagster', 'polars', 'pandas', 'pydantic', 'sqlalchemy', 'psycopg2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: paiid")
    assert "with-services" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PAIID_SOURCE", "synthetc", "did you mean 'synthetic'"),
        ("PAIID_SOURCE", "replay", "needs PAIID_DATA_DIR"),
        ("PAIID_CLOCK", "replay:2014-06-09T15:00:00", "no UTC offset"),
        ("PAIID_WEB_PORT", "http", "not a port"),
        ("PAIID_POSTGRES_ULR", "x", "did you mean PAIID_POSTGRES_URL"),
        ("PAIID_UNIVERSE", "/nowhere.toml", "/nowhere.toml"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_remedy(
    environment: dict[str, str],
    home: Path,
    name: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    apply(environment, monkeypatch)
    monkeypatch.setenv(name, value)
    assert main(["demo"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not home.exists()


def test_with_services_gives_a_command_working_addresses_and_returns_its_exit_code(
    environment: dict[str, str], home: Path
) -> None:
    program = """
import os, json, urllib.request, psycopg2, redis
for name in ("PAIID_POSTGRES_URL", "PAIID_DAGSTER_POSTGRES_URL"):
    connection = psycopg2.connect(os.environ[name])
    cursor = connection.cursor()
    cursor.execute("select current_database()")
    print(cursor.fetchone()[0])
    connection.close()
print(redis.Redis.from_url(os.environ["PAIID_REDIS_URL"]).ping())
print(urllib.request.urlopen(os.environ["PAIID_SOURCE_URL"] + "/health").status)
print(os.path.exists(os.path.join(os.environ["DAGSTER_HOME"], "dagster.yaml")))
print("127.0.0.1" in os.environ["NO_PROXY"].split(","))
raise SystemExit(7)
"""
    environment["http_proxy"] = "http://127.0.0.1:9"  # must not stand between processes of this machine
    done = run(environment, "with-services", "python", "-c", program)
    assert done.stdout.split() == ["paiid_synthetic", "dagster_synthetic", "True", "200", "True", "True"], done.stderr
    assert done.returncode == 7
    assert of_home(home) == []


def test_with_services_says_what_it_cannot_run_and_how_a_command_was_killed(environment: dict[str, str]) -> None:
    missing = run(environment, "with-services", "no-such-command")
    assert missing.returncode == 127
    assert "no-such-command" in missing.stderr
    assert run(environment, "with-services", "--", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL
    assert run(environment, "with-services").returncode == 2


def test_with_services_hands_a_signal_to_the_command_and_then_stops_its_servers(
    environment: dict[str, str], home: Path
) -> None:
    program = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with started(environment, "with-services", "sh", "-c", program, until="ready") as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT)
        assert "caught" in output
        assert process.returncode == 5
    assert of_home(home) == []


def test_a_second_command_uses_the_servers_of_the_first(environment: dict[str, str]) -> None:
    with started(environment, "with-services", "sh", "-c", "echo ready; read line", until="ready") as first:
        assert run(environment, "sql", "create table seen (a int); insert into seen values (1)").returncode == 0
        answer = run(environment, "sql", "select a from seen", "--format", "csv")
        assert answer.stdout == "a\n1\n"
        assert "nothing runs" not in answer.stderr
        refused = run(environment, "demo")
        assert refused.returncode == 1
        assert f"pid {first.pid}" in refused.stderr
        other = run(environment, "sql", "select 1", PAIID_SOURCE="tradier")
        assert other.returncode == 1
        assert "runs synthetic, not tradier" in other.stderr
    stored = run(environment, "sql", "select a from seen", "--format", "csv")
    assert stored.stdout == "a\n1\n"
    assert "stored data of synthetic" in stored.stderr


def test_sql_prints_tables_csv_and_json_that_a_person_or_program_can_read(sql: Sql) -> None:
    query = (
        "select 'AAPL' as symbol, 0.1::float8 as score, null::int as missing, "
        "timestamptz '2014-06-09 15:00-04' as as_of, '{\"a\": [1, null]}'::jsonb as doc union all "
        "select 'T', -12.5, 3, null, null"
    )
    _, shown, _ = sql(query)
    assert shown.splitlines() == [
        "symbol | score | missing | as_of                | doc",
        "-------+-------+---------+----------------------+-----------------",
        'AAPL   |   0.1 |    null | 2014-06-09 19:00:00Z | {"a": [1, null]}',
        "T      | -12.5 |       3 | null                 | null",
        "(2 rows)",
    ]
    rows = list(csv.DictReader(io.StringIO(sql(query, "--format", "csv")[1])))
    assert [(row["symbol"], row["score"], row["missing"]) for row in rows] == [("AAPL", "0.1", ""), ("T", "-12.5", "3")]
    documents = json.loads(sql(query, "--format", "json")[1])
    assert documents[0] == {
        "symbol": "AAPL",
        "score": 0.1,
        "missing": None,
        "as_of": "2014-06-09T19:00:00+00:00",
        "doc": {"a": [1, None]},
    }
    code, _, error = sql("select nothing")
    assert code == 1
    assert 'column "nothing" does not exist' in error
    assert "Traceback" not in error


def test_the_analyst_reads_the_views_and_nothing_else(sql: Sql) -> None:
    count = "select session_user as who, count(*) from signals_latest"
    _, seen, error = sql("--analyst", count, "--format", "csv")
    assert seen == "who,count\npaiid_analyst,0\n", error
    for statement in (
        "select * from market_bars",
        "reset role; select * from market_bars",
        "create table mine (a int)",
        "set default_transaction_read_only = off; create temporary table mine (a int)",
        "insert into signals select * from signals",
    ):
        code, _, error = sql("--analyst", statement)
        assert code == 1, statement
        assert "permission denied" in error or "read-only" in error


def test_nothing_running_is_said_by_url_and_status(environment: dict[str, str]) -> None:
    address = run(environment, "url", "postgres")
    assert address.returncode == 1
    assert "paiid up" in address.stderr
    assert run(environment, "status").returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests already run as a user who is not root")
def test_a_user_who_is_not_root_gets_the_same(environment: dict[str, str]) -> None:
    another = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if subprocess.run([*another, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system lets nobody be another user in a user namespace")
    done = subprocess.run(
        [*another, *PAIID, "with-services", "sh", "-c", "exit $(id -u | cut -c1)"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
