"""Processes that live no longer than the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from paiid_pipeline.local import processes
from paiid_pipeline.local.processes import Child

STUBBORN = (
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
)
WAITING = "import signal; print('ready', flush=True); signal.pause()"


def _python(program: str, tmp_path: Path, **options: object) -> subprocess.Popen[bytes]:
    process = processes.spawn(
        [sys.executable, "-c", textwrap.dedent(program)], log=tmp_path / "log", read_output=True, **options
    )  # type: ignore[arg-type]
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is not None:
        process.stdout.close()


def test_a_stubborn_process_is_killed_and_its_children_with_it(tmp_path: Path) -> None:
    family = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdout=subprocess.PIPE)
        child.stdout.readline()
        exec({STUBBORN!r})
    """
    process = _python(family, tmp_path)
    children = processes.descendants(process.pid)
    assert len(children) == 1
    assert processes.stop(process, ((signal.SIGTERM, 0.1),)) == -signal.SIGKILL
    assert not any(child.is_running() for child in children)
    _close(process)


def test_a_willing_process_is_asked_and_not_killed(tmp_path: Path) -> None:
    process = _python(WAITING, tmp_path)
    assert processes.stop(process, ((signal.SIGTERM, 30.0),)) == -signal.SIGTERM
    _close(process)


@pytest.mark.skipif(sys.platform != "linux", reason="a child is made ready only on Linux")
def test_a_child_hears_what_its_parent_ignores_and_holds_back(tmp_path: Path) -> None:
    """As it does while it stops: what is started then must still be stoppable."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        process = _python(WAITING, tmp_path)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGTERM, before)
    assert processes.stop(process, ((signal.SIGTERM, 30.0),)) == -signal.SIGTERM
    _close(process)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells only on Linux")
def test_a_process_is_told_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = f"""
        import os, signal, sys
        from pathlib import Path
        from paiid_pipeline.local import processes
        command = [sys.executable, "-c", {WAITING!r}]
        child = processes.spawn(command, log=Path({str(tmp_path / "child")!r}), read_output=True)
        child.stdout.readline()
        print(child.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(parent)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    _wait_until_gone(int(done.stdout))


def test_a_sweep_finds_what_carries_the_marker_of_its_home_and_nothing_else(tmp_path: Path) -> None:
    def env(home: Path) -> dict[str, str]:
        return {**os.environ, processes.MARKER: str(home)}

    ours = _python(WAITING, tmp_path, env=env(tmp_path / "a"))
    others = _python(WAITING, tmp_path, env=env(tmp_path / "b"))
    assert processes.sweep(tmp_path / "a") == [f"{psutil.Process(others.pid).name()} ({ours.pid})"]
    assert ours.poll() is not None
    assert others.poll() is None
    processes.stop(others, ())
    _close(ours)
    _close(others)


def test_a_child_that_ends_too_often_may_not_start_again(tmp_path: Path) -> None:
    child = Child("clerk", [sys.executable, "-c", "raise SystemExit('out of ink')"], tmp_path / "log", dict(os.environ))
    allowed = 0
    while child.may_restart(3, window=600):
        child.start()
        assert child.process is not None
        child.process.wait()
        allowed += 1
    assert allowed == 4
    assert child.ended()
    assert "clerk ended with status 1" in child.exit_report()
    assert "out of ink" in child.exit_report()


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert processes.tail(log, 2) == "    line 9998\n    line 9999"
    assert processes.tail(tmp_path / "missing") == ""


def _wait_until_gone(pid: int) -> None:
    """Raises psutil.TimeoutExpired where it lives on."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)


def test_a_log_is_turned_over_while_a_process_writes_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT", 1000)
    log = tmp_path / "log"
    program = """
        import sys
        print("x" * 2000, file=sys.stderr, flush=True); print("ready", flush=True)
        sys.stdin.readline()
        print("after", file=sys.stderr, flush=True); print("done", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("ab"),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    assert processes.rotate(log)
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.stdout.readline() == b"done\n"
    process.wait()
    _close(process)
    assert log.read_bytes() == b"after\n"
    assert log.with_name("log.old").stat().st_size == 2001
    assert not processes.rotate(log)


@pytest.mark.parametrize(("little", "words"), [(1, ""), (10**18, "is full")])
def test_a_disk_counts_as_full_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little: int, words: str
) -> None:
    monkeypatch.setattr(processes, "LITTLE_SPACE", little)
    said = processes.no_space(tmp_path)
    assert bool(said) == bool(words)
    assert words in said
