"""`paiid up` and `paiid demo` as processes: the pass, interrupts, kills and restarts."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import psycopg2
import pytest
import redis

from paiid_pipeline_tests.cli.harness import LIMIT, PAIID, environment, home, of_home, run, started, words_of
from paiid_pipeline_tests.sources.fake_vendor import Reply, Vendor, serving

__all__ = ["environment", "home"]


@pytest.mark.slow
def test_demo_prints_signals_and_leaves_nothing_running(environment: dict[str, str], home: Path) -> None:
    done = run(environment, "demo")
    assert done.returncode == 0, done.stderr
    assert "AAPL" in done.stdout
    assert 'paiid sql "select * from signals_latest"' in done.stdout
    assert of_home(home) == []
    again = run(environment, "sql", "select distinct symbol from signals_latest order by 1", "--format", "csv")
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
    assert of_home(home) == []


@pytest.mark.slow
def test_ctrl_c_during_the_pass_stops_everything(environment: dict[str, str], home: Path) -> None:
    with started(environment, "demo", until="news_articles") as process:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 130
        assert "SIGINT: stopping" in output
        assert "Traceback" not in output
    assert of_home(home) == []


@pytest.mark.slow
def test_a_demo_whose_pass_fails_says_why(environment: dict[str, str], home: Path) -> None:
    """A vendor that refuses the key fails the pass, not the start."""
    keys = {"PAIID_ALPACA_KEY_ID": "key", "PAIID_ALPACA_SECRET_KEY": "very-secret"}
    with serving(Vendor(lambda _asking: Reply({"message": "forbidden."}, status=403))) as url:
        done = run(environment, "demo", PAIID_SOURCE="alpaca", PAIID_SOURCE_URL=url, **keys)
    assert done.returncode == 1
    assert "check PAIID_ALPACA_KEY_ID" in done.stderr
    assert "the pass failed with status 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert "very-secret" not in done.stderr
    assert of_home(home) == []


@pytest.mark.slow
def test_up_refuses_a_second_start_answers_meanwhile_and_ctrl_c_stops_all_of_it(
    environment: dict[str, str], home: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment["PAIID_WEB_PORT"] = str(taken.getsockname()[1])
        with started(environment, "up", until="Refreshing") as first:
            second = run(environment, "up")
            assert second.returncode == 1
            assert f"pid {first.pid}" in second.stderr
            assert "UI at http://127.0.0.1:" in second.stderr
            status = run(environment, "status").stdout
            assert "***" in status
            for name in (home / "secrets").iterdir():
                assert name.read_text() not in status
            with redis.Redis.from_url(run(environment, "url", "redis").stdout.strip()) as client:
                assert client.exists("signals:v1:AAPL") or client.dbsize() > 0
            connection = psycopg2.connect(run(environment, "url", "analyst").stdout.strip())
            connection.close()
            assert len(of_home(home)) > 8

            first.send_signal(signal.SIGINT)
            output, _ = first.communicate(timeout=LIMIT)
            assert first.returncode == 0, output
            assert "stopped" in output
    assert of_home(home) == []


@pytest.mark.slow
def test_a_killed_up_is_cleared_away_by_the_next_start(environment: dict[str, str], home: Path) -> None:
    environment["PAIID_WEB_PORT"] = "23000"
    with started(environment, "up", until="Refreshing") as first:
        workers = of_home(home)
        first.kill()
        first.wait()
    done = run(environment, "demo")
    assert done.returncode == 0, done.stderr
    assert of_home(home) == []
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.slow
def test_whoever_dies_once_is_started_again_at_the_same_address(environment: dict[str, str], home: Path) -> None:
    environment["PAIID_WEB_PORT"] = "23100"
    with started(environment, "up", until="Refreshing") as process:
        assert process.stdout is not None
        for name, words in (
            ("dagster-webserver", "dagster_webserver"),
            ("PostgreSQL", "--listen_addresses"),
            ("Redis", "redis-server"),
        ):
            before = run(environment, "url", "postgres").stdout, run(environment, "url", "redis").stdout
            next(p for p in of_home(home) if words in words_of(p)).kill()
            assert any(f"{name} is started again" in line for line in process.stdout), name
            assert before == (run(environment, "url", "postgres").stdout, run(environment, "url", "redis").stdout)
        assert "(1 row)" in run(environment, "sql", "select count(*) from signals_latest").stdout
        Path(environment["PAIID_UNIVERSE"]).write_text('[segments]\nother = ["AAPL"]\n')
        assert any("has changed: restart `paiid up` to apply it" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
    assert of_home(home) == []


@pytest.mark.slow
def test_a_database_that_dies_again_and_again_ends_the_whole(environment: dict[str, str], home: Path) -> None:
    environment["PAIID_WEB_PORT"] = "23200"
    with started(environment, "up", until="Refreshing") as process:
        assert process.stdout is not None
        for _ in range(3):
            next(p for p in of_home(home) if "redis-server" in words_of(p)).kill()
            assert any("Redis is started again" in line for line in process.stdout)
        next(p for p in of_home(home) if "redis-server" in words_of(p)).kill()
        output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 1
        assert "Redis ended 4 times in 10 minutes" in output
    assert of_home(home) == []
