"""The server starts with what it needs, or says in one line what is missing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

NOWHERE = {"PAIID_POSTGRES_URL": "postgresql://u:p@127.0.0.1:9/db", "PAIID_REDIS_URL": "redis://127.0.0.1:9/0"}


def refused(*words: str, **variables: str) -> tuple[int, str]:
    """The exit code, and the one line of a start that fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAIID_")}
    command = [sys.executable, "-m", "paiid_pipeline.api", *words]
    done = subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def test_without_addresses_the_variable_is_named() -> None:
    code, line = refused()
    assert code == 2
    assert "PAIID_POSTGRES_URL" in line


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert refused("--port", port, **NOWHERE) == (1, f"paiid: port {port} is taken: --port chooses another")


def test_elsewhere_than_in_dev_it_does_not_start() -> None:
    code, line = refused("--port", "0", **NOWHERE, PAIID_ENV="prod", PAIID_MODEL_KEY="ab" * 32)
    assert code == 2
    assert line.startswith("paiid: PAIID_ENV=prod: the API has no authentication yet")
