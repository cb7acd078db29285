"""`paiid` run as a person runs it: as a process, with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from paiid_pipeline.local import processes

PAIID = [sys.executable, "-m", "paiid_pipeline.cli"]
LIMIT = 180  # seconds: far beyond what is needed, so that a hang fails


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose servers are certainly gone afterwards."""
    with empty_home() as home:
        yield home


@contextmanager
def empty_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="paiid-cli-") as folder:
        home = Path(folder) / "home"
        yield home
        processes.sweep(home)
        processes.kill([process for process in psutil.process_iter() if str(home) in words_of(process)])


@pytest.fixture
def environment(home: Path, tmp_path: Path) -> dict[str, str]:
    """The settings of a small synthetic exchange, and none of the tester's own."""
    return settings(home, tmp_path)


def settings(home: Path, folder: Path) -> dict[str, str]:
    universe = folder / "universe.toml"
    universe.write_text('[segments]\ntech = ["AAPL", "TWX"]\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PAIID_", "DAGSTER_"))}
    return kept | {"PAIID_HOME": str(home), "PAIID_UNIVERSE": str(universe)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings of a home whose servers run, with an empty warehouse, for commands that only read."""
    with empty_home() as home:
        environment = settings(home, tmp_path_factory.mktemp("served"))
        with started(environment, "with-services", "sh", "-c", "echo ready; read line", until="ready"):
            yield environment


def apply(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the settings of ``environment`` and no others."""
    for name in [name for name in os.environ if name.startswith("PAIID_")]:
        monkeypatch.delenv(name)
    for name in ("PAIID_HOME", "PAIID_UNIVERSE"):
        monkeypatch.setenv(name, environment[name])


def words_of(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), process.cwd()])
    except (psutil.Error, OSError):
        return ""


def of_home(home: Path) -> list[psutil.Process]:
    """Every process that has to do with a home."""
    me = os.getpid()
    return [p for p in psutil.process_iter() if p.pid != me and (str(home) in words_of(p) or marker_of(p) == str(home))]


def marker_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(processes.MARKER)
    except (psutil.Error, OSError):
        return None


def run(environment: dict[str, str], *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PAIID, *words], env=environment | more, capture_output=True, text=True, timeout=LIMIT, check=False
    )


@contextmanager
def started(environment: dict[str, str], *words: str, until: str) -> Iterator[subprocess.Popen[str]]:
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
