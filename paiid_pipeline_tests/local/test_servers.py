"""The embedded servers: real, private, and found again after anything."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from paiid_pipeline.local import processes, servers
from paiid_pipeline.local.servers import RunningServer, start_postgres, start_redis
from paiid_pipeline.warehouse.roles import close_to_public, ensure_database, with_database, without_password


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home in a folder that only its owner may enter."""
    with tempfile.TemporaryDirectory(prefix="paiid-embedded-") as folder:
        yield Path(folder) / "deep" / "home with space"


def _query(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def _family(server: RunningServer) -> list[psutil.Process]:
    master = psutil.Process(server.process.pid)
    return [master, *master.children(recursive=True)]


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)  # its new parent may be slow to bury it
    except psutil.NoSuchProcess:
        return False


def test_a_fixture_schema_is_empty_and_is_the_one_that_tables_land_in(postgres_url: str) -> None:
    assert _query(postgres_url, "select current_schema() like 'test_%', count(*) from pg_tables "
                                "where schemaname = current_schema()") == [(True, 0)]  # fmt: skip
    _query(postgres_url, "create table here (a int)")
    assert _query(postgres_url, "select schemaname = current_schema() from pg_tables where tablename = 'here'") == [
        (True,)
    ]


def test_a_fixture_redis_is_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_data_survives_a_stop_and_a_second_start(home: Path) -> None:
    server = start_postgres(home)
    ensure_database(server.url("postgres"), "one")
    ensure_database(server.url("postgres"), "one")
    _query(server.url("one"), "create table kept as select 7 as a")
    server.stop()
    cache = start_redis(home)
    with redis.Redis.from_url(cache.url(3)) as client:
        client.set("k", b"v")
    cache.stop()

    server, cache = start_postgres(home), start_redis(home)
    assert _query(server.url("one"), "select a from kept") == [(7,)]
    with redis.Redis.from_url(cache.url(3)) as client:
        assert client.get("k") == b"v"
    server.stop()
    cache.stop()


def test_a_transaction_killed_midway_leaves_nothing_and_a_committed_one_everything(home: Path) -> None:
    server = start_postgres(home)
    url = server.url("postgres")
    _query(url, "create table t (a int)")
    _query(url, "insert into t select generate_series(1, 1000)")
    _query(url, "checkpoint")
    half = psycopg2.connect(url)
    half.cursor().execute("insert into t select generate_series(1, 5000)")
    processes.kill(_family(server))
    half.close()

    server = start_postgres(home)
    assert _query(server.url("postgres"), "select count(*) from t") == [(1000,)]
    server.stop()


def test_children_that_outlive_their_postmaster_do_not_block_the_next_start(home: Path) -> None:
    server = start_postgres(home)
    _query(server.url("postgres"), "create table t as select 1 as a")
    _query(server.url("postgres"), "checkpoint")
    family = _family(server)
    for process in family[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):  # a connection's own process may just be leaving
            process.suspend()  # now they cannot notice that the postmaster is gone
    family[0].kill()
    server.process.wait()
    assert any(process.is_running() for process in family[1:])

    again = start_postgres(home)
    assert _query(again.url("postgres"), "select a from t") == [(1,)]
    assert not any(process.is_running() for process in family)
    again.stop()


def test_redis_killed_with_signal_9_keeps_what_it_had_acknowledged(home: Path) -> None:
    server = start_redis(home)
    with redis.Redis.from_url(server.url(0)) as client:
        client.mset({f"k{number}": number for number in range(500)})
    server.process.kill()
    server.process.wait()

    again = start_redis(home)
    with redis.Redis.from_url(again.url(0)) as client:
        assert client.dbsize() == 500
    again.stop()


def test_servers_of_a_killed_owner_are_gone_before_the_next_owner_starts(home: Path) -> None:
    program = f"""
        import os
        from pathlib import Path
        from paiid_pipeline.local.servers import start_postgres, start_redis
        servers = start_postgres(Path({str(home)!r})), start_redis(Path({str(home)!r}))
        print(*(server.process.pid for server in servers), flush=True)
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    """
    owner = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert owner.returncode == -signal.SIGKILL, owner.stderr
    left = [int(pid) for pid in owner.stdout.split()]

    server, cache = start_postgres(home), start_redis(home)
    assert len(left) == 2
    assert not any(_runs(pid) for pid in left)
    assert _query(server.url("postgres"), "select 1") == [(1,)]
    server.stop()
    cache.stop()


def test_a_kill_during_the_first_start_leaves_no_half_data_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(servers.processes, "spawn", killed)
        with pytest.raises(KeyboardInterrupt):
            start_postgres(home)
    assert (home / "postgres.new").exists()
    assert not (home / "postgres").exists()
    assert not (home / "postgres.password").exists()

    server = start_postgres(home)
    assert _query(server.url("postgres"), "select 1") == [(1,)]
    server.stop()


def test_a_wrong_password_is_refused_and_the_right_one_is_private(home: Path) -> None:
    server, cache = start_postgres(home), start_redis(home)
    wrong = server.url("postgres").replace((home / "secrets/postgres_password").read_text(), "wrong")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)
    with redis.Redis(port=cache.port, retry=Retry(NoBackoff(), 0)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    for path in (home / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == os.geteuid()
        secret = path.read_text()
        assert secret not in repr(server) + repr(cache)
        arguments = [word for process in _family(server) + _family(cache) for word in process.cmdline()]
        assert not any(secret in word for word in arguments)
        assert not any(secret in log.read_text() for log in (home / "logs").iterdir())
    assert stat.S_IMODE((home / "secrets").stat().st_mode) == 0o700
    server.stop()
    cache.stop()


def test_servers_listen_on_loopback_only(home: Path) -> None:
    server, cache = start_postgres(home), start_redis(home)
    for started in (server, cache):
        listening = {
            connection.laddr.ip
            for process in _family(started)
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
    server.stop()
    cache.stop()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(home: Path) -> None:
    start_postgres(home).stop()
    (home / "postgres" / "PG_VERSION").write_text("11\n")
    with pytest.raises(RuntimeError, match="initialized by PostgreSQL version 11"):
        start_postgres(home)


def test_a_taken_port_is_given_up_for_another(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start_redis(home)
    free, offered = servers._free_port, iter([first.port])
    monkeypatch.setattr(servers, "_free_port", lambda: next(offered, None) or free())
    second = start_redis(home.with_name("other"))
    assert second.port != first.port
    second.stop()
    first.stop()


@pytest.mark.parametrize("start", [start_postgres, start_redis])
def test_the_port_is_kept_over_a_stop_a_kill_and_a_second_death(
    home: Path, start: Callable[[Path], RunningServer]
) -> None:
    first = start(home)
    first.stop()
    second = start(home)
    second.process.kill()
    second.process.wait()
    third = second.again()
    third.process.kill()
    third.process.wait()
    fourth = third.again()
    assert {first.port, second.port, third.port} == {fourth.port}
    fourth.stop()


@pytest.mark.parametrize("kept", ["", "no port", "99999999"])
def test_a_kept_port_that_is_none_is_replaced(home: Path, kept: str) -> None:
    (home / "run").mkdir(parents=True)
    (home / "run" / "redis.port").write_text(kept)
    server = start_redis(home)
    assert (home / "run" / "redis.port").read_text() == f"{server.port}\n"
    server.stop()


def test_a_kept_port_that_another_has_taken_is_given_up(home: Path) -> None:
    first = start_redis(home)
    first.stop()
    with socket.socket() as other:
        other.bind((servers.HOST, first.port))
        other.listen()
        second = start_redis(home)
        assert second.port != first.port
        second.stop()


def test_a_server_without_room_on_its_disk_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_postgres(home).stop()
    (home / "postgres" / "PG_VERSION").write_text("11\n")
    monkeypatch.setattr(processes, "LITTLE_SPACE", 1e18)
    with pytest.raises(RuntimeError, match=r"did not start: the disk of .* is full .* make room"):
        start_postgres(home)


def test_a_role_that_may_not_create_a_database_is_told_what_to_do(home: Path) -> None:
    server = start_postgres(home)
    _query(server.url("postgres"), "create role guest login password 'guest'")
    guest = f"postgresql://guest:guest@127.0.0.1:{server.port}/postgres"
    with pytest.raises(PermissionError, match="grant the role CREATEDB") as caught:
        ensure_database(guest, "wanted")
    assert "guest:guest" not in str(caught.value)
    server.stop()


def test_every_database_of_ours_is_closed_to_roles_that_were_not_let_in(home: Path) -> None:
    server = start_postgres(home)
    url = server.url("postgres")
    for name in ("one", "two"):
        _query(url, f"create database {name}")
    _query(url, "create role guest login password 'guest'")
    _query(url, "create role other login createdb password 'other'")
    _query(f"postgresql://other:other@127.0.0.1:{server.port}/postgres", "create database theirs")
    owner = f"postgresql://other:other@127.0.0.1:{server.port}/theirs"
    assert close_to_public(owner) == ["one", "postgres", "template1", "two"]  # not its own to close
    assert close_to_public(url, "one") == []
    _query(f"postgresql://guest:guest@127.0.0.1:{server.port}/two", "create temp table t (a int)")
    assert close_to_public(url) == []
    for name in ("one", "two", "theirs", "postgres", "template1"):
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(f"postgresql://guest:guest@127.0.0.1:{server.port}/{name}")
    server.stop()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:pa#ss-w0rd@host/db",
        "postgresql://me:pa/ss-w0rd@host/db",
        "postgresql://me:pa%zz-w0rd@host/db",
        "postgresql://me:pa@ss-w0rd@[host/db",
    ],
)
def test_no_part_of_a_password_is_shown_of_an_address_that_cannot_be_read(url: str) -> None:
    with pytest.raises((ConnectionError, ValueError)) as caught:
        ensure_database(url, "one")
    assert "w0rd" not in str(caught.value)
    assert "ss-" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host:5432/db?a=b", "postgresql://me:***@host:5432/db?a=b"),
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://token@host:6379/0", "redis://token@host:6379/0"),
        ("postgresql://me:se@cr/et#@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://host/db?user=me&password=secret&a=b", "postgresql://host/db?user=me&password=***&a=b"),
    ],
)
def test_a_masked_address_shows_all_but_the_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_with_database_keeps_the_rest_of_the_address() -> None:
    assert with_database("postgresql://a:b@h:1/x?sslmode=require", "y") == "postgresql://a:b@h:1/y?sslmode=require"
