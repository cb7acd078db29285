"""The folder that holds a machine's data, and who has its servers running.

The owner of a home holds an exclusive lock, which the kernel releases when it ends in any way; what it
started is in ``run/state.json``. Other commands attach to the owner's servers and hold a shared lock
meanwhile, so that a short-lived owner can wait for them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from paiid_pipeline.atomic_files import write_text
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.console import print_err
from paiid_pipeline.local.servers import REDIS_DATABASES
from paiid_pipeline.settings import Settings


@dataclass(frozen=True)
class State:
    """What the owner of a home has running."""

    pid: int
    command: str
    since: str
    """When it started, ISO, UTC."""
    profile: str = ""
    web: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What other commands need to use the servers, passwords included; empty until all is up."""

    def __str__(self) -> str:
        web = f", UI at {self.web}" if self.web else ""
        return f"`paiid {self.command}` (pid {self.pid}, since {self.since}{web})"


class OccupiedError(RuntimeError):
    """Another process owns the home."""


class HomeLock:
    """The exclusive lock on a home, held by the process that runs its servers."""

    def __init__(self, home: Path, command: str) -> None:
        self.home = home
        self._state = State(os.getpid(), command, SystemClock().now().isoformat(timespec="seconds"))
        self.publish()

    def publish(self, *, profile: str = "", web: str = "", environment: Mapping[str, str] | None = None) -> None:
        """Update the state that other commands read; what is not given stays as it was."""
        self._state = replace(
            self._state,
            profile=profile or self._state.profile,
            web=web or self._state.web,
            environment=environment or self._state.environment,
        )
        write_text(_state_path(self.home), json.dumps(asdict(self._state)), private=True)

    def wait_for_clients(self) -> Iterator[None]:
        """Yield once where other commands use our servers, then return when they are done."""
        with _open_lock(self.home / "run" / "attached.lock") as file:
            if not _try_lock(file, fcntl.LOCK_EX):
                yield
                fcntl.flock(file, fcntl.LOCK_EX)
            _state_path(self.home).unlink(missing_ok=True)


@contextmanager
def lock(home: Path, command: str) -> Iterator[HomeLock]:
    """Hold the home's lock. Raises OccupiedError naming the owner where another process holds it."""
    with _open_lock(home / "paiid.lock") as file:
        while not _try_lock(file, fcntl.LOCK_EX):
            owner = running(home)
            if owner is not None and owner.pid:
                raise OccupiedError(f"{owner} already runs in {home}")
            time.sleep(0.01)  # only another command's look at the lock, or an owner about to write or to end
        try:
            yield HomeLock(home, command)
        finally:
            _state_path(home).unlink(missing_ok=True)


@contextmanager
def share(home: Path) -> Iterator[State | None]:
    """The state of the home's owner, which stays up while the body runs; None where nobody owns it.

    Waits while the owner is still starting.
    """
    waiting = False
    while (state := running(home)) is not None:
        if state.environment:
            with _open_lock(home / "run" / "attached.lock") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                if running(home) == state:
                    yield state
                    return
        if not waiting:
            print_err(f"waiting for {state if state.pid else 'another paiid'}")
            waiting = True
        time.sleep(0.1)
    yield None


def running(home: Path) -> State | None:
    """The owner of the home, or None where it has none. Its pid is 0 before it has written its state."""
    if not (home / "paiid.lock").exists():
        return None
    with _open_lock(home / "paiid.lock") as file:
        if _try_lock(file, fcntl.LOCK_SH):
            return None
    try:
        return State(**json.loads(_state_path(home).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return State(0, "", "")


def profile_of(settings: Settings) -> str:
    """The name under which one source's data is kept apart from every other's."""
    if settings.source != "replay":
        return settings.source
    return f"replay_{hashlib.sha256(str(settings.data_dir).encode()).hexdigest()[:8]}"


def redis_database(home: Path, profile: str) -> int:
    """The number of the profile's logical Redis database; the same at every start."""
    path = home / "redis_databases.json"
    numbers: dict[str, int] = _read_own(path)
    if profile not in numbers:
        free = [number for number in range(REDIS_DATABASES) if number not in numbers.values()]
        if not free:
            raise ValueError(f"{path} has given away all {REDIS_DATABASES} databases: remove what is no longer used")
        numbers[profile] = free[0]
        write_text(path, json.dumps(numbers, indent=2), private=True)
    return numbers[profile]


def remember(home: Path, choice: Mapping[str, str]) -> None:
    """Keep which source the newest pass used, for `paiid sql` when nothing runs."""
    names = ("PAIID_SOURCE", "PAIID_DATA_DIR", "PAIID_UNIVERSE", "PAIID_CLOCK")
    kept = {name: choice[name] for name in names if name in choice}
    write_text(home / "run" / "last.json", json.dumps(kept), private=True)


def remembered(home: Path) -> dict[str, str]:
    """What :func:`remember` kept; empty where nothing was."""
    path = home / "run" / "last.json"
    return _read_own(path)


def _read_own(path: Path) -> dict[str, Any]:
    """The object in a file of ours, empty where there is no file. Raises ValueError with the remedy for another."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ValueError(f"{path} is not as paiid wrote it: delete it")
    return document


def _state_path(home: Path) -> Path:
    return home / "run" / "state.json"


def _open_lock(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _try_lock(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
