"""The command `paiid`, run as a person runs it: as a process, with a home of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from paiid_pipeline.console import table
from paiid_pipeline.local import processes
from paiid_pipeline.local.home import OccupiedError, lock, profile_of, redis_database, running, share
from paiid_pipeline.local.stack import free_port
from paiid_pipeline.settings import load_settings
from paiid_pipeline.warehouse import migrate

PAIID = [sys.executable, "-m", "paiid_pipeline.cli"]
LIMIT = 180  # seconds: far beyond what is needed, so that a hang fails


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose servers are certainly gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="paiid-cli-") as folder:
        home = Path(folder) / "home"
        yield home
        processes.sweep(home)
        processes.kill([process for process in psutil.process_iter() if str(home) in _words(process)])


@pytest.fixture
def environment(home: Path, tmp_path: Path) -> dict[str, str]:
    """The settings of a small synthetic exchange, and none of the tester's own."""
    universe = tmp_path / "universe.toml"
    universe.write_text('[segments]\ntech = ["AAPL", "TWX"]\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PAIID_", "DAGSTER_"))}
    return kept | {"PAIID_HOME": str(home), "PAIID_UNIVERSE": str(universe)}


def _words(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), process.cwd()])
    except (psutil.Error, OSError):
        return ""


def _of_home(home: Path) -> list[psutil.Process]:
    """Every process that has to do with a home."""
    me = os.getpid()
    return [p for p in psutil.process_iter() if p.pid != me and (str(home) in _words(p) or _marker(p) == str(home))]


def _marker(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(processes.MARKER)
    except (psutil.Error, OSError):
        return None


def _run(environment: dict[str, str], *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PAIID, *words], env=environment | more, capture_output=True, text=True, timeout=LIMIT, check=False
    )


@contextmanager
def _started(environment: dict[str, str], *words: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """A `paiid` that has printed ``until``; killed at the end if it still runs."""
    process = subprocess.Popen(
        [*PAIID, *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if until in line:
                break
        else:
            pytest.fail(f"{words} ended without {until!r}:\n{''.join(seen)}")
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT)


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
    environment: dict[str, str], home: Path, name: str, value: str, said: str
) -> None:
    done = _run(environment, "demo", **{name: value})
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
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
    done = _run(environment, "with-services", "python", "-c", program)
    assert done.stdout.split() == ["paiid_synthetic", "dagster_synthetic", "True", "200", "True", "True"], done.stderr
    assert done.returncode == 7
    assert _of_home(home) == []


def test_with_services_says_what_it_cannot_run_and_how_a_command_was_killed(environment: dict[str, str]) -> None:
    missing = _run(environment, "with-services", "no-such-command")
    assert missing.returncode == 127
    assert "no-such-command" in missing.stderr
    assert _run(environment, "with-services", "--", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL
    assert _run(environment, "with-services").returncode == 2


def test_with_services_hands_a_signal_to_the_command_and_then_stops_its_servers(
    environment: dict[str, str], home: Path
) -> None:
    program = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with _started(environment, "with-services", "sh", "-c", program, until="ready") as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT)
        assert "caught" in output
        assert process.returncode == 5
    assert _of_home(home) == []


def test_a_second_command_uses_the_servers_of_the_first(environment: dict[str, str]) -> None:
    with _started(environment, "with-services", "sh", "-c", "echo ready; read line", until="ready") as first:
        assert _run(environment, "sql", "create table seen (a int); insert into seen values (1)").returncode == 0
        answer = _run(environment, "sql", "select a from seen", "--format", "csv")
        assert answer.stdout == "a\n1\n"
        assert "nothing runs" not in answer.stderr
        refused = _run(environment, "demo")
        assert refused.returncode == 1
        assert f"pid {first.pid}" in refused.stderr
        other = _run(environment, "sql", "select 1", PAIID_SOURCE="tradier")
        assert other.returncode == 1
        assert "runs synthetic, not tradier" in other.stderr
    stored = _run(environment, "sql", "select a from seen", "--format", "csv")
    assert stored.stdout == "a\n1\n"
    assert "stored data of synthetic" in stored.stderr


def test_sql_prints_tables_csv_and_json_that_a_person_or_program_can_read(environment: dict[str, str]) -> None:
    query = (
        "select 'AAPL' as symbol, 0.1::float8 as score, null::int as missing, "
        "timestamptz '2014-06-09 15:00-04' as as_of, '{\"a\": [1, null]}'::jsonb as doc union all "
        "select 'T', -12.5, 3, null, null"
    )
    shown = _run(environment, "sql", query)
    assert shown.stdout.splitlines() == [
        "symbol | score | missing | as_of                | doc",
        "-------+-------+---------+----------------------+-----------------",
        'AAPL   |   0.1 |    null | 2014-06-09 19:00:00Z | {"a": [1, null]}',
        "T      | -12.5 |       3 | null                 | null",
        "(2 rows)",
    ]
    rows = list(csv.DictReader(io.StringIO(_run(environment, "sql", query, "--format", "csv").stdout)))
    assert [(row["symbol"], row["score"], row["missing"]) for row in rows] == [("AAPL", "0.1", ""), ("T", "-12.5", "3")]
    documents = json.loads(_run(environment, "sql", query, "--format", "json").stdout)
    assert documents[0] == {
        "symbol": "AAPL",
        "score": 0.1,
        "missing": None,
        "as_of": "2014-06-09T19:00:00+00:00",
        "doc": {"a": [1, None]},
    }
    wrong = _run(environment, "sql", "select nothing")
    assert wrong.returncode == 1
    assert 'column "nothing" does not exist' in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_the_analyst_reads_the_views_and_nothing_else(environment: dict[str, str]) -> None:
    count = "select session_user as who, count(*) from signals_latest"
    seen = _run(environment, "sql", "--analyst", count, "--format", "csv")
    assert seen.stdout == "who,count\npaiid_analyst,0\n", seen.stderr
    for statement in (
        "select * from market_bars",
        "reset role; select * from market_bars",
        "create table mine (a int)",
        "set default_transaction_read_only = off; create temporary table mine (a int)",
        "insert into signals select * from signals",
    ):
        refused = _run(environment, "sql", "--analyst", statement)
        assert refused.returncode == 1, statement
        assert "permission denied" in refused.stderr or "read-only" in refused.stderr


def test_nothing_running_is_said_by_url_and_status(environment: dict[str, str]) -> None:
    address = _run(environment, "url", "postgres")
    assert address.returncode == 1
    assert "paiid up" in address.stderr
    assert _run(environment, "status").returncode == 1


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


def test_a_database_of_ones_own_is_used_and_dagster_gets_one_beside_it(
    environment: dict[str, str], home: Path, postgres_server_url: str, redis_url: str
) -> None:
    name = f"own_{os.getpid()}"
    connection = psycopg2.connect(postgres_server_url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"create database {name}")
    own_url = postgres_server_url.rpartition("/")[0] + f"/{name}"
    try:
        done = _run(
            environment,
            "with-services",
            "sh",
            "-c",
            'echo "$PAIID_POSTGRES_URL $PAIID_DAGSTER_POSTGRES_URL $PAIID_REDIS_URL"',
            PAIID_POSTGRES_URL=own_url,
            PAIID_REDIS_URL=redis_url,
        )
        assert done.stdout.split() == [own_url, f"{own_url}_dagster", redis_url], done.stderr
        assert not (home / "postgres").exists()
        assert not (home / "redis").exists()
        secret = own_url.split(":")[2].split("@")[0]
        assert secret not in done.stderr
    finally:
        cursor.execute(f"drop database {name}")
        cursor.execute(f"drop database if exists {name}_dagster")
        connection.close()


def test_a_database_that_does_not_answer_is_one_line_without_the_password(environment: dict[str, str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://me:very-secret@127.0.0.1:{closed.getsockname()[1]}/db"
        done = _run(environment, "with-services", "true", PAIID_POSTGRES_URL=url)
    assert done.returncode == 1
    assert "no connection to postgresql://me:***@" in done.stderr
    assert "very-secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_redis_that_does_not_answer_is_said_at_the_start(environment: dict[str, str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"redis://:very-secret@127.0.0.1:{closed.getsockname()[1]}/0"
        done = _run(environment, "with-services", "true", PAIID_REDIS_URL=url)
    assert done.returncode == 1
    assert "no Redis at redis://" in done.stderr
    assert "check PAIID_REDIS_URL" in done.stderr
    assert "very-secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_sql_asks_a_database_of_ones_own_without_the_right_to_make_another(
    environment: dict[str, str], postgres_server_url: str
) -> None:
    name = f"asked_{os.getpid()}"
    connection = psycopg2.connect(postgres_server_url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"create role {name} login nocreatedb createrole password 'p'")
    cursor.execute(f"create database {name} owner {name}")
    host = postgres_server_url.rpartition("@")[2].rpartition("/")[0]
    try:
        migrate(f"{postgres_server_url.rpartition('/')[0]}/{name}")
        cursor.execute(f"grant pg_read_all_data to {name}")
        done = _run(
            environment, "sql", "select 41 + 1 as answer", PAIID_POSTGRES_URL=f"postgresql://{name}:p@{host}/{name}"
        )
        assert done.stdout.split()[:3] == ["answer", "------", "42"], done.stderr
    finally:
        cursor.execute(f"drop database {name}")
        cursor.execute(f"drop role {name}")
        connection.close()


@pytest.mark.slow
def test_demo_prints_signals_and_leaves_nothing_running(environment: dict[str, str], home: Path) -> None:
    done = _run(environment, "demo")
    assert done.returncode == 0, done.stderr
    assert "AAPL" in done.stdout
    assert 'paiid sql "select * from signals_latest"' in done.stdout
    assert _of_home(home) == []
    again = _run(environment, "sql", "select distinct symbol from signals_latest order by 1", "--format", "csv")
    assert again.stdout == "symbol\nAAPL\nTWX\n"


@pytest.mark.slow
def test_two_demos_at_once_are_one_demo_and_one_that_says_so(environment: dict[str, str], home: Path) -> None:
    demos = [
        subprocess.Popen([*PAIID, "demo"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {demo.pid: demo.communicate(timeout=LIMIT) for demo in demos}
    first, second = sorted(demos, key=lambda demo: demo.returncode)
    assert (first.returncode, second.returncode) == (0, 1), said
    assert f"(pid {first.pid}," in said[second.pid][1]
    assert _of_home(home) == []


@pytest.mark.slow
def test_ctrl_c_during_the_pass_stops_everything(environment: dict[str, str], home: Path) -> None:
    with _started(environment, "demo", until="news_articles") as process:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 130
        assert "SIGINT: stopping" in output
        assert "Traceback" not in output
    assert _of_home(home) == []


@pytest.mark.slow
def test_a_demo_whose_pass_fails_says_why_and_where(environment: dict[str, str], home: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = _run(environment, "demo", PAIID_REDIS_URL=f"redis://127.0.0.1:{closed.getsockname()[1]}/0")
    assert done.returncode == 1
    assert str(home / "logs" / "once.log") in done.stderr
    assert "Traceback" not in done.stderr.partition("once.log")[0]
    assert _of_home(home) == []


@pytest.mark.slow
def test_up_refuses_a_second_start_answers_meanwhile_and_ctrl_c_stops_all_of_it(
    environment: dict[str, str], home: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment["PAIID_WEB_PORT"] = str(taken.getsockname()[1])
        with _started(environment, "up", until="Refreshing") as first:
            second = _run(environment, "up")
            assert second.returncode == 1
            assert f"pid {first.pid}" in second.stderr
            assert "UI at http://127.0.0.1:" in second.stderr
            status = _run(environment, "status").stdout
            assert "***" in status
            for name in (home / "secrets").iterdir():
                assert name.read_text() not in status
            with redis.Redis.from_url(_run(environment, "url", "redis").stdout.strip()) as client:
                assert client.exists("signals:v1:AAPL") or client.dbsize() > 0
            connection = psycopg2.connect(_run(environment, "url", "analyst").stdout.strip())
            connection.close()
            assert len(_of_home(home)) > 8

            first.send_signal(signal.SIGINT)
            output, _ = first.communicate(timeout=LIMIT)
            assert first.returncode == 0, output
            assert "stopped" in output
    assert _of_home(home) == []


@pytest.mark.slow
def test_a_killed_up_is_cleared_away_by_the_next_start(environment: dict[str, str], home: Path) -> None:
    environment["PAIID_WEB_PORT"] = "43000"
    with _started(environment, "up", until="Refreshing") as first:
        workers = _of_home(home)
        first.kill()
        first.wait()
    done = _run(environment, "demo")
    assert done.returncode == 0, done.stderr
    assert _of_home(home) == []
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.slow
def test_whoever_dies_once_is_started_again_at_the_same_address(environment: dict[str, str], home: Path) -> None:
    environment["PAIID_WEB_PORT"] = "43100"
    with _started(environment, "up", until="Refreshing") as process:
        assert process.stdout is not None
        for name, words in (
            ("dagster-webserver", "dagster_webserver"),
            ("PostgreSQL", "--listen_addresses"),
            ("Redis", "redis-server"),
        ):
            before = _run(environment, "url", "postgres").stdout, _run(environment, "url", "redis").stdout
            next(p for p in _of_home(home) if words in _words(p)).kill()
            assert any(f"{name} is started again" in line for line in process.stdout), name
            assert before == (_run(environment, "url", "postgres").stdout, _run(environment, "url", "redis").stdout)
        assert "(1 row)" in _run(environment, "sql", "select count(*) from signals_latest").stdout
        Path(environment["PAIID_UNIVERSE"]).write_text('[segments]\nother = ["AAPL"]\n')
        assert any("has changed: restart `paiid up` to apply it" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
    assert _of_home(home) == []


@pytest.mark.slow
def test_a_database_that_dies_again_and_again_ends_the_whole(environment: dict[str, str], home: Path) -> None:
    environment["PAIID_WEB_PORT"] = "43200"
    with _started(environment, "up", until="Refreshing") as process:
        assert process.stdout is not None
        for _ in range(3):
            next(p for p in _of_home(home) if "redis-server" in _words(p)).kill()
            assert any("Redis is started again" in line for line in process.stdout)
        next(p for p in _of_home(home) if "redis-server" in _words(p)).kill()
        output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 1
        assert "Redis ended 4 times in 10 minutes" in output
    assert _of_home(home) == []


def test_a_home_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with lock(tmp_path, "up") as lease:
        lease.publish(web="http://127.0.0.1:3000")
        said = rf"`paiid up` \(pid {os.getpid()}.*UI at http://127.0.0.1:3000"
        with pytest.raises(OccupiedError, match=said), lock(tmp_path, "demo"):
            pass
    assert running(tmp_path) is None
    with lock(tmp_path, "demo"), share(tmp_path / "other") as state:
        assert state is None


def test_a_state_file_without_its_owner_counts_for_nothing(tmp_path: Path) -> None:
    with lock(tmp_path, "up") as lease:
        lease.publish(environment={"PAIID_POSTGRES_URL": "x"})
        stale = (tmp_path / "run" / "state.json").read_text()
        assert running(tmp_path) is not None
    (tmp_path / "run" / "state.json").write_text(stale)
    with share(tmp_path) as state:
        assert state is None


def test_the_state_file_is_private_and_its_passwords_stay_out_of_reprs(tmp_path: Path) -> None:
    with lock(tmp_path, "up") as lease:
        lease.publish(environment={"PAIID_POSTGRES_URL": "postgresql://a:very-secret@h/d"})
        assert (tmp_path / "run" / "state.json").stat().st_mode & 0o077 == 0
        assert "very-secret" not in repr(running(tmp_path)) + str(running(tmp_path))


def test_a_profile_keeps_its_redis_database_and_two_data_folders_are_two_profiles(tmp_path: Path) -> None:
    profiles = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settings = load_settings({"PAIID_SOURCE": "replay", "PAIID_DATA_DIR": str(tmp_path / name)})
        profiles.append(profile_of(settings))
    assert len(set(profiles)) == 2
    numbers = [redis_database(tmp_path, profile) for profile in ["synthetic", *profiles]]
    assert numbers == [0, 1, 2]
    assert [redis_database(tmp_path, profile) for profile in [*profiles, "synthetic"]] == [1, 2, 0]


def test_redis_databases_run_out_with_the_remedy(tmp_path: Path) -> None:
    for number in range(64):
        redis_database(tmp_path, f"p{number}")
    with pytest.raises(ValueError, match=r"redis_databases\.json"):
        redis_database(tmp_path, "one more")


def test_a_taken_port_gives_way_to_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert free_port(taken.getsockname()[1]) > taken.getsockname()[1]


def test_a_table_is_aligned() -> None:
    assert table(["a", "number"], [["x", "1"], ["long", "-22"]], [False, True]) == [
        "a    | number",
        "-----+-------",
        "x    |      1",
        "long |    -22",
    ]
