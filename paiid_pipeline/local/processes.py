"""Processes that live no longer than the one that started them.

Three mechanisms, each for what the one before misses: `stop` ends a process and all that it started; a
process whose parent is killed gets a signal from the kernel (Linux); and every process carries a marker in its
environment, by which the next start finds what a killed supervisor left behind (`sweep`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

MARKER = "_PAIID_SUPERVISED_FROM"
"""Environment variable naming the home of the `paiid` that started a process."""

LOG_LIMIT = 20_000_000
"""Bytes beyond which a log is rotated; the one before is kept as ``….old``."""
LITTLE_SPACE = 100_000_000
"""Bytes free on a disk below which it counts as full: PostgreSQL may ask for a few files of 16 MB at once."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Account:
    """The system user that a process runs as."""

    uid: int
    gid: int


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    parent_gone: signal.Signals = signal.SIGTERM,
    stdin: bytes | None = None,
    read_output: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output appended to ``log``.

    With ``read_output`` its standard output is a pipe to us, and only its errors go to the log.
    ``parent_gone`` is what the kernel sends it when the calling *thread* ends, so call this from a thread
    that stays. Raises OSError where the command cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    rotate(log)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            [str(word) for word in command],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE if read_output else output,
            stderr=output,
            env=env,
            start_new_session=True,
            preexec_fn=tie_to_parent(parent_gone),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    if stdin is not None and process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(stdin)
    return process


@dataclass
class Child:
    """A named process that is started again when it ends, as long as it does not end too often."""

    name: str
    command: Sequence[str | Path]
    log: Path
    env: Mapping[str, str] = field(repr=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    starts: list[float] = field(default_factory=list, init=False, repr=False)

    def start(self) -> None:
        """Start it, now or again. Raises OSError where the command cannot be started."""
        self.starts.append(time.monotonic())
        self.process = spawn(self.command, log=self.log, env=self.env)

    def ended(self) -> bool:
        """Whether it was started and runs no more."""
        return self.process is not None and self.process.poll() is not None

    def may_restart(self, most: int, window: float) -> bool:
        """Whether it was started at most ``most`` times in the last ``window`` seconds."""
        return sum(time.monotonic() - start < window for start in self.starts) <= most

    def exit_report(self) -> str:
        """How it ended, and the end of its log."""
        status = self.process.returncode if self.process else None
        how = f"was killed by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
        return f"{self.name} {how}; the end of {self.log}:\n{tail(self.log)}"


def stop(process: subprocess.Popen[bytes], steps: Iterable[tuple[signal.Signals, float]]) -> int:
    """End a process: send each signal and wait its seconds, then kill it and all that it started.

    Returns the exit status. Does nothing to a process that has ended.
    """
    family = descendants(process.pid)
    for number, grace in steps:
        if process.poll() is not None:
            break
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    if process.poll() is None:
        family = descendants(process.pid)
        process.kill()
    kill(family)
    return process.wait()


def tie_to_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What a child must do before its program starts to be sent ``number`` when our thread ends (Linux).

    It also receives SIGTERM, whatever this process blocks or ignores: a child inherits which signals are ignored.
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it ended before the line above took hold
            os._exit(1)

    return tie


def descendants(pid: int) -> list[psutil.Process]:
    """All living processes that ``pid`` started, directly or not."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def kill(processes: Sequence[psutil.Process], grace: float = 0.0) -> None:
    """End processes that need not be our children: ask, twice within ``grace`` seconds, then kill and wait."""
    if grace:
        for _ in range(2):
            _each(processes, psutil.Process.terminate)
            psutil.wait_procs(processes, timeout=grace / 2)
    _each(processes, psutil.Process.kill)
    psutil.wait_procs(processes, timeout=10)


def rotate(log: Path) -> bool:
    """Truncate a log beyond the limit, also while a process writes to it, keeping the old as ``….old``; whether it did.

    What is written in the moment between the copy and the cut is lost.
    """
    if not log.exists() or log.stat().st_size <= LOG_LIMIT:
        return False
    shutil.copyfile(log, log.with_name(f"{log.name}.old"))
    os.truncate(log, 0)  # whoever writes appends, and so goes on at the new end
    return True


def no_space(folder: Path) -> str:
    """Words for a message where the disk of ``folder`` is full, or nearly; none where it is not."""
    free = shutil.disk_usage(folder).free
    return f": the disk of {folder} is full ({free / 1e6:.0f} MB left), make room" if free < LITTLE_SPACE else ""


def tail(log: Path, lines: int = 15, since: int = 0) -> str:
    """The end of a log, indented: at most what was written after its size was ``since`` bytes."""
    try:
        with log.open("rb") as file:
            size = log.stat().st_size
            file.seek(max(since if since <= size else 0, size - 200 * lines))  # smaller: it was rotated
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def sweep(home: Path) -> list[str]:
    """Kill what a `paiid` that was itself killed left running under ``home``; the caller holds its lock.

    Returns the names of the processes found.
    """
    left = [process for process in psutil.process_iter() if _marker(process) == str(home)]
    names = [_name(process) for process in left]
    kill(left, grace=2.0)
    return names


def adopt_orphans() -> None:
    """Let processes whose parents end become children of this one, so that `descendants` finds them (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _each(processes: Sequence[psutil.Process], action: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            action(process)


def _marker(process: psutil.Process) -> str | None:
    try:
        value: str | None = process.environ().get(MARKER)
    except (psutil.Error, OSError):  # another user's process, or one that has just ended
        return None
    return value


def _name(process: psutil.Process) -> str:
    try:
        return f"{process.name()} ({process.pid})"
    except psutil.Error:
        return str(process.pid)
