"""`paiid up` and `paiid demo`: the whole graph once, and then the UI, the daemon and the processes that they start."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from paiid_pipeline.cli.query import show_signals
from paiid_pipeline.clock import SystemClock
from paiid_pipeline.console import print_err, print_out, timed
from paiid_pipeline.local import home as homes
from paiid_pipeline.local import processes
from paiid_pipeline.local import stack as starting
from paiid_pipeline.local.dagster import DagsterProcesses
from paiid_pipeline.local.home import HomeLock
from paiid_pipeline.local.home_settings import check_inputs
from paiid_pipeline.local.stack import Services
from paiid_pipeline.settings import Settings

_RUN_GRACE = 8.0  # seconds that runs in flight get to record that they were interrupted
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(KeyboardInterrupt):
    """A signal from the user or the system to stop."""


class PassFailedError(RuntimeError):
    """The pass over the graph did not succeed."""


def demo(settings: Settings) -> int:
    """The whole graph once. Returns the exit code; raises PassFailedError, or StoppedError on a signal."""
    check_inputs(settings)
    with homes.lock(settings.home, "demo") as lease, running_services(settings, lease) as services:
        _pass(settings, services)
        for _ in lease.wait_for_clients():
            print_err("waiting for other commands that use these servers")
    return 0


def up(settings: Settings) -> int:
    """The whole graph once, then all of Dagster until a signal. Returns the exit code; raises LostError."""
    check_inputs(settings)
    try:
        with homes.lock(settings.home, "up") as lease, running_services(settings, lease) as services:
            try:
                _pass(settings, services)
            except PassFailedError as error:
                print_err(f"paiid: {error}\nThe UI starts all the same, to look into it.")
            _keep_running(settings, services, lease)
    except StoppedError:
        pass
    return 0


@contextmanager
def running_services(settings: Settings, lease: HomeLock, *, quiet: bool = False) -> Iterator[Services]:
    """The servers that commands need, while the body runs; then everything that was started is stopped."""
    processes.adopt_orphans()
    with _stopping_on_signals():
        begin = time.monotonic()
        if not quiet:
            print_err(f"paiid: {settings.source} in {settings.home}")
        for name in processes.sweep(settings.home):
            print_err(f"  ended {name}, left over from a paiid that was killed")
        services = starting.start(settings, quiet=quiet)
        try:
            lease.publish(profile=services.profile, environment=services.environment)
            homes.remember(settings.home, services.environment)
            if not quiet:
                print_err(f"  up in {time.monotonic() - begin:.1f} s; logs in {settings.home / 'logs'}")
            yield services
        finally:
            _ignore_signals()
            with timed(quiet=quiet) as parts:
                parts += [
                    "stopped",
                    ", ".join(_stop_clients(services) + services.stop()) or "nothing: it was all yours",
                ]


def _pass(settings: Settings, services: Services) -> None:
    begin, log = time.monotonic(), settings.home / "logs" / "once.log"
    command = [sys.executable, "-u", "-m", "paiid_pipeline.first_pass"]
    if settings.postgres_url is None and settings.dagster_postgres_url is None:
        command.append("--alone")  # the lock on the home keeps any other from this Dagster storage
    earlier = log.stat().st_size if log.exists() else 0
    process = processes.spawn(command, log=log, env=services.child_environment(), read_output=True)
    try:
        for line in process.stdout or ():
            print_err(f"  {line.decode(errors='replace').rstrip()}")
        status = process.wait()
    finally:
        if process.poll() is None:
            # More than once: an interrupt inside a task of asyncio ends that task alone.
            processes.stop(process, ((signal.SIGTERM, _RUN_GRACE / 4),) * 4)
    if status != 0:
        why, errors = processes.no_space(settings.home), processes.tail(log, since=earlier)
        raise PassFailedError(f"the pass failed with status {status}{why}" + (errors and f"; from {log}:\n{errors}"))
    print_err(f"  pass done in {time.monotonic() - begin:.1f} s\n")
    if show_signals(services.environment["PAIID_POSTGRES_URL"], settings.universe.calendar.timezone) == 0:
        print_out("no signal yet")
    _print_withheld(settings, services.environment["PAIID_POSTGRES_URL"])
    print_out('\nmore: paiid sql "select * from signals_latest"')


def _print_withheld(settings: Settings, url: str) -> None:
    from paiid_pipeline.serving.withheld import in_words, without_signal
    from paiid_pipeline.warehouse import Warehouse

    with Warehouse(url, settings.decision_lag) as warehouse:
        for line in in_words(without_signal(warehouse, settings, settings.universe.symbols, SystemClock().now())):
            print_out(line)


def _keep_running(settings: Settings, services: Services, lease: HomeLock) -> None:
    with DagsterProcesses(settings, services) as dagster:
        lease.publish(web=dagster.url)
        print_out(f"\nDagster UI  {dagster.url}")
        if dagster.board:
            print_out(f"board, API  {dagster.board}")
        print_out("addresses   paiid url postgres | analyst | redis")
        print_out("Refreshing at the cadences. Ctrl-C stops everything.")
        dagster.watch()


def _stop_clients(services: Services) -> list[str]:
    """End all descendants of this process but the services' own; what they were, for a message."""
    kept = [server.process.pid for server in services.databases]
    if services.simulator is not None and services.simulator.child.process is not None:
        kept.append(services.simulator.child.process.pid)
    kept += [process.pid for pid in list(kept) for process in processes.descendants(pid)]
    count = 0
    for _ in range(3):  # one that is being stopped may just have started another
        clients = [process for process in processes.descendants(os.getpid()) if process.pid not in kept]
        if not clients:
            break
        count += len(clients)
        processes.kill(clients, grace=_RUN_GRACE)
    return [f"{count} processes of Dagster and the API"] if count else []


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    def stop(number: int, _frame: object) -> None:
        _ignore_signals()
        print_err(f"\n{signal.Signals(number).name}: stopping")
        raise StoppedError

    handled = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in handled}  # nohup stays in force
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    # A second Ctrl-C must not interrupt the shutdown: every step of it has its own time limit.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
