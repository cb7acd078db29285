"""`paiid up` and `paiid demo`: the whole graph once, and then the UI, the daemon and whoever they start."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from paiid_pipeline import frozen, supervisor
from paiid_pipeline.cli import home as homes
from paiid_pipeline.cli import services as starting
from paiid_pipeline.cli.home import Lease
from paiid_pipeline.cli.query import show_signals
from paiid_pipeline.cli.services import Services, answers, free_port
from paiid_pipeline.console import say, tell, timed
from paiid_pipeline.embedded import HOST, RunningServer
from paiid_pipeline.settings import Settings
from paiid_pipeline.supervisor import Child

LOCATION = "paiid_pipeline.definitions"

_RUN_GRACE = 8.0  # seconds that runs in flight get to record that they were interrupted
_MOST_RESTARTS = 3
_RESTART_WINDOW = 600.0  # seconds
_UI_LIMIT = 120.0  # seconds
_LOOKS_A_WARNING = 20  # of half a second
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(KeyboardInterrupt):
    """The user, or the system, asked us to stop."""


class PassFailedError(RuntimeError):
    """The pass over the graph did not succeed."""


class LostError(RuntimeError):
    """A process that the others need has ended, and is not started again."""


def demo(settings: Settings) -> int:
    """The whole graph once. Returns the exit code; raises PassFailedError, or StoppedError on a signal."""
    with homes.own(settings.home, "demo") as lease, running_services(settings, lease) as services:
        _pass(settings, services)
        for _ in lease.wait_for_guests():
            tell("waiting for other commands that use these servers")
    return 0


def up(settings: Settings, web_port: int) -> int:
    """The whole graph once, then all of Dagster until a signal. Returns the exit code; raises LostError."""
    try:
        with homes.own(settings.home, "up") as lease, running_services(settings, lease) as services:
            try:
                _pass(settings, services)
            except PassFailedError as error:
                tell(f"paiid: {error}\nThe UI starts all the same, to look into it.")
            _stay(settings, services, lease, web_port)
    except StoppedError:
        pass
    return 0


@contextmanager
def running_services(settings: Settings, lease: Lease, *, quiet: bool = False) -> Iterator[Services]:
    """All that commands need, for as long as the body runs; then everything that we started is stopped."""
    supervisor.adopt_orphans()
    with _stopping_on_signals():
        begin = time.monotonic()
        if not quiet:
            tell(f"paiid: {settings.source} in {settings.home}")
        for name in supervisor.sweep(settings.home):
            tell(f"  ended {name}, left over from a paiid that was killed")
        services = starting.start(settings, quiet=quiet)
        try:
            lease.publish(profile=services.profile, environment=services.environment)
            homes.remember(settings.home, services.environment)
            if not quiet:
                tell(f"  up in {time.monotonic() - begin:.1f} s; logs in {settings.home / 'logs'}")
            yield services
        finally:
            _ignore_signals()
            with timed(quiet=quiet) as words:
                words += ["stopped", ", ".join(_stop_guests(services) + services.stop()) or "nothing: it was all yours"]


def _pass(settings: Settings, services: Services) -> None:
    begin, log = time.monotonic(), settings.home / "logs" / "once.log"
    command = [sys.executable, "-u", "-m", "paiid_pipeline.defs.once"]
    if settings.postgres_url is None and settings.dagster_postgres_url is None:
        command.append("--alone")  # the lock on the home keeps any other from this Dagster storage
    earlier = log.stat().st_size if log.exists() else 0
    process = supervisor.spawn(command, log=log, env=services.child_environment(), read_output=True)
    try:
        for line in process.stdout or ():
            tell(f"  {line.decode(errors='replace').rstrip()}")
        status = process.wait()
    finally:
        if process.poll() is None:
            # Asked more than once: an interrupt that strikes inside a task of asyncio ends that task alone.
            supervisor.stop(process, ((signal.SIGTERM, _RUN_GRACE / 4),) * 4)
    if status != 0:
        why, errors = supervisor.no_space(settings.home), supervisor.tail(log, since=earlier)
        raise PassFailedError(f"the pass failed with status {status}{why}" + (errors and f"; from {log}:\n{errors}"))
    tell(f"  pass done in {time.monotonic() - begin:.1f} s\n")
    if show_signals(services.environment["PAIID_POSTGRES_URL"], settings.universe.calendar.timezone) == 0:
        say("no signal yet")
    _tell_withheld(settings, services.environment["PAIID_POSTGRES_URL"])
    say('\nmore: paiid sql "select * from signals_latest"')


def _tell_withheld(settings: Settings, url: str) -> None:
    from paiid_pipeline.cli.withheld import in_words, without_signal
    from paiid_pipeline.warehouse import Warehouse

    with Warehouse(url, settings.settle) as warehouse:
        for line in in_words(without_signal(warehouse, settings, settings.universe.symbols)):
            say(line)


def _stay(settings: Settings, services: Services, lease: Lease, web_port: int) -> None:
    with _Dagster(settings, services, web_port) as dagster:
        lease.publish(web=dagster.url)
        say(f"\nDagster UI  {dagster.url}")
        say("addresses   paiid url postgres | analyst | redis")
        say("Refreshing at the cadences. Ctrl-C stops everything.")
        dagster.watch()


class _Dagster:
    """One code server, and the webserver and daemon that share it."""

    def __init__(self, settings: Settings, services: Services, web_port: int) -> None:
        self._services = services
        self._home = settings.home
        self._server_starts: dict[str, list[float]] = {}
        # Whoever may connect to a code server may run code: a socket in a folder of ours lets in only us.
        self._socket = Path(tempfile.mkdtemp(prefix="paiid-")) / "code.sock"
        self._workspace = workspace = settings.home / "run" / "workspace.yaml"
        _remove_socket(workspace)  # a killed `paiid up` could not
        server = {"host": "localhost", "socket": str(self._socket), "location_name": LOCATION}
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
        port = free_port(web_port)
        if port != web_port:
            tell(f"port {web_port} is taken: the UI moves to {port} (PAIID_WEB_PORT chooses another)")
        self.url = f"http://{HOST}:{port}"

        def child(name: str, module: str, *words: str) -> Child:
            log = settings.home / "logs" / f"{name.replace(' ', '-')}.log"
            return Child(name, [sys.executable, "-m", module, *words], log, services.child_environment())

        self._code_server = child(
            "code server", "dagster", "api", "grpc", "--socket", str(self._socket),
            "--module-name", LOCATION, "--location-name", LOCATION, "--log-level", "warning",
        )  # fmt: skip
        self._webserver = child(
            "dagster-webserver", "dagster_webserver", "--workspace", str(workspace),
            "--host", HOST, "--port", str(port), "--dagster-log-level", "warning",
        )  # fmt: skip
        self._daemon = child("dagster-daemon", "dagster._daemon", "run", "--workspace", str(workspace))

    def __enter__(self) -> _Dagster:
        with timed() as words:
            words += ["Dagster", f"at {self.url}"]
            self._code_server.start()
            self._wait(self._socket.exists, self._code_server)
            self._webserver.start()
            self._daemon.start()
            self._wait(lambda: answers(f"{self.url}/server_info"), self._webserver)
        return self

    def __exit__(self, *_: object) -> None:
        _remove_socket(self._workspace)

    def watch(self) -> None:
        """Keep everything running. Raises LostError where that cannot be done."""
        children = [self._code_server, self._webserver, self._daemon]
        if self._services.stand_in is not None:
            children.append(self._services.stand_in.child)
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
        tell(f"{server.name} ended; the end of {server.log}:\n{supervisor.tail(server.log)}")
        starts = self._server_starts.setdefault(server.name, [])
        starts.append(time.monotonic())
        if sum(time.monotonic() - start < _RESTART_WINDOW for start in starts) > _MOST_RESTARTS:
            raise LostError(_too_often(server.name))
        again = server.again()
        if again.port != server.port:
            again.stop()
            raise LostError(f"port {server.port} of {server.name} was taken while it was down: start paiid again")
        tell(f"{server.name} is started again")
        return again

    def _revive(self, child: Child) -> None:
        tell(child.obituary())
        if not child.may_restart(_MOST_RESTARTS, _RESTART_WINDOW):
            raise LostError(_too_often(child.name))
        if child is self._code_server:
            self._socket.unlink(missing_ok=True)
        child.start()
        tell(f"{child.name} is started again")

    def _wait(self, is_ready: Callable[[], bool], child: Child) -> None:
        deadline = time.monotonic() + _UI_LIMIT
        while not is_ready():
            if child.ended() or time.monotonic() > deadline:
                raise LostError(child.obituary())
            time.sleep(0.05)


class _Warnings:
    """What goes wrong slowly: logs that grow, a disk that fills, a universe file that is edited."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = environment
        self._said: set[str] = set()

    def look(self) -> None:
        """Turn logs over, and tell what has gone wrong since the last look."""
        for log in (self._home / "logs").glob("*.log"):
            supervisor.turn_over(log)
        full = supervisor.no_space(self._home)
        wrong = {"disk": f"paiid{full}" if full else "", "universe": frozen.changed(self._environment)}
        for name, words in wrong.items():
            if words and name not in self._said:
                tell(words)
        self._said = {name for name, words in wrong.items() if words}


def _too_often(name: str) -> str:
    return f"{name} ended {_MOST_RESTARTS + 1} times in {_RESTART_WINDOW / 60:.0f} minutes"


def _remove_socket(workspace: Path) -> None:
    if workspace.exists():
        server = json.loads(workspace.read_text())["load_from"][0]["grpc_server"]
        shutil.rmtree(Path(server["socket"]).parent, ignore_errors=True)
        workspace.unlink()


def _stop_guests(services: Services) -> list[str]:
    """End whatever we started beside the services, and all that it started; in words, what it was."""
    kept = [server.process.pid for server in services.databases]
    if services.stand_in is not None and services.stand_in.child.process is not None:
        kept.append(services.stand_in.child.process.pid)
    kept += [process.pid for pid in list(kept) for process in supervisor.descendants(pid)]
    count = 0
    for _ in range(3):  # one that is being stopped may just have started another
        guests = [process for process in supervisor.descendants(os.getpid()) if process.pid not in kept]
        if not guests:
            break
        count += len(guests)
        supervisor.kill(guests, grace=_RUN_GRACE)
    return [f"{count} Dagster processes"] if count else []


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    def stop(number: int, _frame: object) -> None:
        _ignore_signals()
        tell(f"\n{signal.Signals(number).name}: stopping")
        raise StoppedError

    heard = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}  # nohup's wish is respected
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    # A second Ctrl-C must not cut the stopping short: every step of it has its own limit.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
