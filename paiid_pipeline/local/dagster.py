"""Dagster's three processes of `paiid up`: code server, web server and daemon, restarted when they are lost."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from paiid_pipeline import universe_snapshot
from paiid_pipeline.console import print_err, timed
from paiid_pipeline.local import processes
from paiid_pipeline.local.processes import Child
from paiid_pipeline.local.servers import HOST, RunningServer
from paiid_pipeline.local.stack import Services, answers, free_port
from paiid_pipeline.settings import Settings

LOCATION = "paiid_pipeline.definitions"
_MOST_RESTARTS = 3
_RESTART_WINDOW = 600.0  # seconds
_UI_LIMIT = 120.0  # seconds


class LostError(RuntimeError):
    """A process that the others need has ended, and is not started again."""


class DagsterProcesses:
    """One code server, and the webserver and daemon that share it."""

    def __init__(self, settings: Settings, services: Services) -> None:
        self._services = services
        self._home = settings.home
        self._server_starts: dict[str, list[float]] = {}
        # A code server runs code for any client: only our user can enter the folder of its socket.
        self._socket = Path(tempfile.mkdtemp(prefix="paiid-")) / "code.sock"
        self._workspace = workspace = settings.home / "run" / "workspace.yaml"
        _remove_socket(workspace)  # a killed `paiid up` could not
        server = {"host": "localhost", "socket": str(self._socket), "location_name": LOCATION}
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
        port = free_port(settings.web_port)
        if port != settings.web_port:
            print_err(f"port {settings.web_port} is taken: the UI moves to {port} (PAIID_WEB_PORT chooses another)")
        self.url = f"http://{HOST}:{port}"

        def child(name: str, module: str, *arguments: str) -> Child:
            log = settings.home / "logs" / f"{name.replace(' ', '-')}.log"
            return Child(name, [sys.executable, "-m", module, *arguments], log, services.child_environment())

        self._code_server = child(
            "code server", "dagster", "api", "grpc", "--socket", str(self._socket),
            "--module-name", LOCATION, "--location-name", LOCATION, "--log-level", "warning",
        )  # fmt: skip
        self._webserver = child(
            "dagster-webserver", "dagster_webserver", "--workspace", str(workspace),
            "--host", HOST, "--port", str(port), "--dagster-log-level", "warning",
        )  # fmt: skip
        self.board: str | None = None
        if settings.environment == "dev":  # elsewhere it would need authentication
            api_port = free_port(settings.api_port)
            self.board = f"http://{HOST}:{api_port}"
            self._api = child("API", "paiid_pipeline.api", "--port", str(api_port))
        self._daemon = child("dagster-daemon", "dagster._daemon", "run", "--workspace", str(workspace))

    def __enter__(self) -> DagsterProcesses:
        with timed() as parts:
            parts += ["Dagster", f"at {self.url}"]
            self._code_server.start()
            self._wait(self._socket.exists, self._code_server)
            self._webserver.start()
            self._daemon.start()
            if self.board:
                self._api.start()
            self._wait(lambda: answers(f"{self.url}/server_info"), self._webserver)
        if self.board:
            with timed() as words:
                words += ["signal board and API", f"at {self.board}"]
                self._wait(lambda: answers(f"{self.board}/healthz"), self._api)
        return self

    def __exit__(self, *_: object) -> None:
        _remove_socket(self._workspace)

    def watch(self) -> None:
        """Keep everything running. Raises LostError where that cannot be done."""
        children = [self._code_server, self._webserver, self._daemon]
        if self.board:
            children.append(self._api)
        if self._services.simulator is not None:
            children.append(self._services.simulator.child)
        warnings = _Warnings(self._home, self._services.environment)
        for look in itertools.count():
            for number, server in enumerate(self._services.databases):
                if server.process.poll() is not None:
                    self._services.databases[number] = self._revive_server(server)
            for child in children:
                if child.ended():
                    self._revive(child)
            if look % _LOOKS_A_WARNING == 0:
                warnings.look()
            time.sleep(0.5)

    def _revive_server(self, server: RunningServer) -> RunningServer:
        print_err(f"{server.name} ended; the end of {server.log}:\n{processes.tail(server.log)}")
        starts = self._server_starts.setdefault(server.name, [])
        starts.append(time.monotonic())
        if sum(time.monotonic() - start < _RESTART_WINDOW for start in starts) > _MOST_RESTARTS:
            raise LostError(_too_often(server.name))
        again = server.again()
        if again.port != server.port:
            again.stop()
            raise LostError(f"port {server.port} of {server.name} was taken while it was down: start paiid again")
        print_err(f"{server.name} is started again")
        return again

    def _revive(self, child: Child) -> None:
        print_err(child.exit_report())
        if not child.may_restart(_MOST_RESTARTS, _RESTART_WINDOW):
            raise LostError(_too_often(child.name))
        if child is self._code_server:
            self._socket.unlink(missing_ok=True)
        child.start()
        print_err(f"{child.name} is started again")

    def _wait(self, is_ready: Callable[[], bool], child: Child) -> None:
        deadline = time.monotonic() + _UI_LIMIT
        while not is_ready():
            if child.ended() or time.monotonic() > deadline:
                raise LostError(child.exit_report())
            time.sleep(0.05)


def _remove_socket(workspace: Path) -> None:
    if workspace.exists():
        server = json.loads(workspace.read_text())["load_from"][0]["grpc_server"]
        shutil.rmtree(Path(server["socket"]).parent, ignore_errors=True)
        workspace.unlink()


_LOOKS_A_WARNING = 20  # of half a second


class _Warnings:
    """What goes wrong over time: logs that grow, a disk that fills, a universe file that is edited."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = environment
        self._reported: set[str] = set()

    def look(self) -> None:
        """Rotate logs, and print each warning once, as long as its cause lasts."""
        for log in (self._home / "logs").glob("*.log"):
            processes.rotate(log)
        full = processes.no_space(self._home)
        wrong = {"disk": f"paiid{full}" if full else "", "universe": universe_snapshot.changed(self._environment)}
        for name, warning in wrong.items():
            if warning and name not in self._reported:
                print_err(warning)
        self._reported = {name for name, warning in wrong.items() if warning}


def _too_often(name: str) -> str:
    return f"{name} ended {_MOST_RESTARTS + 1} times in {_RESTART_WINDOW / 60:.0f} minutes"
