"""What every command needs running: the databases, migrated, and the simulated exchange."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from paiid_pipeline.cache import CacheError, CacheManager
from paiid_pipeline.console import print_err, timed
from paiid_pipeline.local import processes, servers
from paiid_pipeline.local.home import profile_of, redis_database
from paiid_pipeline.local.home_settings import chosen, first_partition
from paiid_pipeline.local.processes import Child
from paiid_pipeline.local.servers import HOST, RunningServer, start_postgres, start_redis
from paiid_pipeline.settings import SIMULATED, Settings
from paiid_pipeline.warehouse.roles import (
    ANALYST,
    allow_login,
    check_reachable,
    close_to_public,
    ensure_database,
    with_database,
    without_password,
)

PROJECT = Path(__file__).resolve().parents[2]
"""The folder with ``dagster.yaml``."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_SIMULATOR_LIMIT = 120.0  # seconds


@dataclass
class Services:
    """What runs, and the environment by which other processes find it."""

    home: Path
    profile: str
    environment: dict[str, str] = field(repr=False)
    """Addresses with their passwords, and the choices of source, clock and universe made absolute."""
    databases: list[RunningServer] = field(default_factory=list)
    simulator: SimulatorProcess | None = None

    def child_environment(self) -> dict[str, str]:
        """The environment of a process that must not outlive us."""
        return merged(self.environment) | {processes.MARKER: str(self.home)}

    def stop(self) -> list[str]:
        """Stop all that is ours; the names of what was stopped. Whatever else we started goes first."""
        stopped = []
        if self.simulator is not None:
            self.simulator.stop()
            stopped.append(self.simulator.child.name)
        for server in reversed(self.databases):
            server.stop()
            stopped.append(server.name)
        return stopped


class SimulatorProcess:
    """The local exchange that answers in Alpaca's shapes. ``environment`` is what it is started with."""

    def __init__(self, source: str, log: Path, environment: Mapping[str, str]) -> None:
        port = free_port(0)
        self.url = f"http://{HOST}:{port}"
        module = ["-m", "paiid_pipeline.sources.simulator.server", "--source", source, "--port", str(port)]
        self.child = Child(f"{source} exchange", [sys.executable, *module], log, environment)

    def wait(self) -> None:
        """Return when it answers. Raises RuntimeError with the end of its log where it does not."""
        deadline = time.monotonic() + _SIMULATOR_LIMIT
        while time.monotonic() < deadline and not self.child.ended():
            if answers(f"{self.url}/health"):
                return
            time.sleep(0.02)
        raise RuntimeError(self.child.exit_report())

    def stop(self) -> None:
        """End it; its data is in memory alone."""
        if self.child.process is not None:
            processes.stop(self.child.process, ((signal.SIGTERM, 0.5),))


def start(settings: Settings, *, quiet: bool = False) -> Services:
    """Start what is missing, create the databases and migrate the warehouse, printing progress.

    The caller holds the home's lock, and stops the services also where this raises (RuntimeError,
    ConnectionError or PermissionError, with the remedy).
    """
    services = Services(settings.home, profile_of(settings), chosen(settings) | first_partition(settings))
    try:
        _start_simulator(settings, services)
        _start_postgres(settings, services, quiet=quiet)
        _prepare_databases(settings, services)
        _start_redis(settings, services, quiet=quiet)
        _prepare_dagster(settings, services)
        _migrate(services, quiet=quiet)
        if services.simulator is not None:
            with timed(quiet=quiet) as parts:
                parts += [services.simulator.child.name, f"on {services.simulator.url}"]
                services.simulator.wait()
    except BaseException:
        services.stop()
        raise
    return services


def start_warehouse(settings: Settings) -> Services:
    """Start PostgreSQL alone, where it is ours, for a command that only queries it."""
    services = Services(settings.home, profile_of(settings), chosen(settings))
    try:
        _start_postgres(settings, services, quiet=True)
        _migrate(services, quiet=True)
    except BaseException:
        services.stop()
        raise
    return services


def merged(environment: Mapping[str, str]) -> dict[str, str]:
    """Our own environment with ``environment`` over it: no ``…_FILE`` left that would override it, our own
    Python first in the path, and no proxy between processes of this machine.
    """
    kept = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in environment}
    python = str(Path(sys.executable).parent)
    path = os.pathsep.join([python, *os.environ.get("PATH", os.defpath).split(os.pathsep)])
    direct = {
        name: ",".join(filter(None, [os.environ.get(name), HOST, "localhost"])) for name in ("NO_PROXY", "no_proxy")
    }
    return kept | dict(environment) | direct | {"PATH": path}


def answers(url: str) -> bool:
    """Whether an HTTP server answers 200 there."""
    try:
        with _DIRECT.open(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port(wanted: int) -> int:
    """``wanted`` where it is free on 127.0.0.1, else the next free one; any free one for 0."""
    for port in range(wanted, 65536):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError(f"no port from {wanted} up is free on {HOST}")


def _start_simulator(settings: Settings, services: Services) -> None:
    if settings.source not in SIMULATED or settings.source_url is not None:
        return
    log = settings.home / "logs" / "exchange.log"
    services.simulator = SimulatorProcess(settings.source, log, services.child_environment())
    services.environment["PAIID_SOURCE_URL"] = services.simulator.url
    services.simulator.child.start()


def _start_postgres(settings: Settings, services: Services, *, quiet: bool) -> None:
    own = settings.dagster_postgres_url.get_secret_value() if settings.dagster_postgres_url else None
    if settings.postgres_url is not None:
        warehouse = settings.postgres_url.get_secret_value()
        check_reachable(warehouse)
        dagster = own or with_database(warehouse, f"{_database(warehouse)}_dagster")
    else:
        with timed(quiet=quiet) as parts:
            server = start_postgres(settings.home)
            services.databases.append(server)
            parts += ["PostgreSQL 18", f"on {HOST}:{server.port}"]
            warehouse = server.url(f"paiid_{services.profile}")
            ensure_database(server.url("postgres"), _database(warehouse))
        dagster = own or server.url(f"dagster_{services.profile}")
        services.environment["PAIID_ANALYST_PASSWORD"] = servers.secret(settings.home, "analyst_password")
    if settings.analyst_password is not None:
        services.environment["PAIID_ANALYST_PASSWORD"] = settings.analyst_password.get_secret_value()
    services.environment |= {"PAIID_POSTGRES_URL": warehouse, "PAIID_DAGSTER_POSTGRES_URL": dagster}


def _prepare_databases(settings: Settings, services: Services) -> None:
    """Dagster's database beside the warehouse, and no database that any role may connect to."""
    warehouse, dagster = (services.environment[f"PAIID_{kind}POSTGRES_URL"] for kind in ("", "DAGSTER_"))
    if settings.dagster_postgres_url is None:
        ensure_database(warehouse, _database(dagster))
    else:
        check_reachable(dagster)
    ours = [] if settings.postgres_url is None else [_database(warehouse), _database(dagster)]
    close_to_public(warehouse, *ours)


def _database(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _start_redis(settings: Settings, services: Services, *, quiet: bool) -> None:
    if settings.redis_url is not None:
        url = settings.redis_url.get_secret_value()
        try:
            CacheManager.connect(url).reach()
        except CacheError as error:
            raise ConnectionError(f"no Redis at {without_password(url)}: {error}: check PAIID_REDIS_URL") from None
        services.environment["PAIID_REDIS_URL"] = url
        return
    with timed(quiet=quiet) as parts:
        server = start_redis(settings.home)
        services.databases.append(server)
        parts += ["Redis 6.2", f"on {HOST}:{server.port}"]
    number = redis_database(settings.home, services.profile)
    services.environment["PAIID_REDIS_URL"] = server.url(number)


def _prepare_dagster(settings: Settings, services: Services) -> None:
    configuration = PROJECT / "dagster.yaml"
    if not configuration.exists():
        raise RuntimeError(f"{configuration} is missing: run paiid from a checkout of the project")
    folder = settings.home / "dagster" / services.profile
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(configuration, folder / "dagster.yaml")
    services.environment["DAGSTER_HOME"] = str(folder)
    # A run's events reach the database in batches: a statement an event is what makes short runs slow.
    services.environment.setdefault("DAGSTER_EVENT_BATCH_SIZE", os.environ.get("DAGSTER_EVENT_BATCH_SIZE", "1000"))


def _migrate(services: Services, *, quiet: bool) -> None:
    from paiid_pipeline.warehouse.migrate import migrate

    with timed(quiet=quiet) as parts:
        parts += ["warehouse", f"({services.profile})"]
        url, password = services.environment["PAIID_POSTGRES_URL"], services.environment.get("PAIID_ANALYST_PASSWORD")
        try:
            migrate(url, print_err)
        except LookupError as error:
            raise RuntimeError(str(error)) from None
        if password is not None:
            allow_login(url, ANALYST, password)
