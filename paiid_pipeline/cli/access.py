"""Commands that use the servers: those of the `paiid` that runs, or servers of their own while they run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from types import MappingProxyType

from paiid_pipeline.cli.query import Format, run_sql
from paiid_pipeline.cli.up import running_services
from paiid_pipeline.console import print_err, print_out
from paiid_pipeline.local import home as homes
from paiid_pipeline.local import processes
from paiid_pipeline.local.home import OccupiedError, State, profile_of
from paiid_pipeline.local.home_settings import check_inputs, extend_back
from paiid_pipeline.local.stack import merged, start_warehouse
from paiid_pipeline.settings import Settings, load_settings
from paiid_pipeline.warehouse.roles import ANALYST, with_login, without_password

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def backfill(settings: Settings, first: date, last: date | None) -> int:
    """Make the partitions of the sessions from ``first`` to ``last``. Returns the exit code."""
    last = last or first
    if last < first:
        raise ValueError(f"paiid backfill {first} {last}: the last date is before the first")
    check_inputs(settings)
    module = "paiid_pipeline.first_pass"
    command = [sys.executable, "-u", "-m", module, first.isoformat(), last.isoformat()]
    return with_services(settings, command, extend_back(settings, first))


def run_command(settings: Settings, command: Sequence[str]) -> int:
    """:func:`with_services` for the words of a command line. Returns the exit code."""
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        print_err("paiid: with-services needs a command, such as `paiid with-services dagster asset list …`")
        return 2
    settings.universe  # noqa: B018 - refused before servers start
    return with_services(settings, command)


def api(settings: Settings, port: int | None) -> int:
    """Serve the API beside the servers. Returns the exit code."""
    settings.universe  # noqa: B018 - refused before servers start
    chosen = settings.api_port if port is None else port
    return with_services(settings, [sys.executable, "-m", "paiid_pipeline.api", "--port", str(chosen)])


def with_services(settings: Settings, command: Sequence[str], own: Mapping[str, str] = MappingProxyType({})) -> int:
    """Run a command with the servers' addresses in its environment, and variables of its own.

    Returns its exit code, 128 + n for signal n.
    """
    while True:
        with homes.share(settings.home) as state:
            if state is not None:
                return _execute(command, {**_environment_of(state, settings), **own})
        try:
            with (
                homes.lock(settings.home, "with-services") as lease,
                running_services(settings, lease, quiet=True) as services,
            ):
                status = _execute(command, {**services.environment, **own})
                for _ in lease.wait_for_clients():
                    print_err("waiting for other commands that use these servers")
                return status
        except OccupiedError:  # another command took the lock first: use its servers
            continue


def sql(settings: Settings, statement: str | None, form: Format, analyst: bool) -> int:
    """Print the answer to some SQL, by default standard input. Returns the exit code."""
    if statement is None:
        if sys.stdin.isatty():
            print_err("SQL, ended by Ctrl-D:")
        statement = sys.stdin.read()
    with _warehouse(settings) as environment:
        return run_sql(
            environment["PAIID_POSTGRES_URL"],
            statement,
            form,
            analyst_password=environment.get("PAIID_ANALYST_PASSWORD"),
            as_analyst=analyst,
        )


@contextmanager
def stored(settings: Settings) -> Iterator[Settings]:
    """The settings that the stored data was made with; its warehouse is up while the body runs."""
    with _warehouse(settings) as environment:
        yield load_settings(merged(environment))


def print_url(settings: Settings, of: str) -> int:
    """Print one address, its password included. Returns the exit code."""
    state = homes.running(settings.home)
    if state is None or not state.environment:
        print_err(f"paiid: nothing runs in {settings.home}: start it with `paiid up`")
        return 1
    environment = _environment_of(state, settings)
    if of == "redis":
        print_out(environment["PAIID_REDIS_URL"])
    elif of == "postgres":
        print_out(environment["PAIID_POSTGRES_URL"])
    elif "PAIID_ANALYST_PASSWORD" not in environment:
        print_err(
            "paiid: on a PostgreSQL of your own the analyst has no password until PAIID_ANALYST_PASSWORD sets one"
        )
        return 1
    else:
        print_out(with_login(environment["PAIID_POSTGRES_URL"], ANALYST, environment["PAIID_ANALYST_PASSWORD"]))
    return 0


def print_status(settings: Settings) -> int:
    """Print what runs, passwords masked. Returns 0 where something does, else 1."""
    state = homes.running(settings.home)
    if state is None:
        print_out(f"nothing runs in {settings.home}")
        return 1
    print_out(f"{state} runs in {settings.home}")
    names = {
        "profile": state.profile,
        "UI": state.web,
        "PostgreSQL": without_password(state.environment.get("PAIID_POSTGRES_URL", "")),
        "Dagster's": without_password(state.environment.get("PAIID_DAGSTER_POSTGRES_URL", "")),
        "Redis": without_password(state.environment.get("PAIID_REDIS_URL", "")),
        "exchange": state.environment.get("PAIID_SOURCE_URL", ""),
        "clock": state.environment.get("PAIID_CLOCK", ""),
    }
    for name, value in names.items():
        if value:
            print_out(f"  {name:11} {value}")
    return 0


@contextmanager
def _warehouse(settings: Settings) -> Iterator[Mapping[str, str]]:
    with homes.share(settings.home) as state:
        if state is not None:
            yield _environment_of(state, settings)
            return
    if "source" not in settings.model_fields_set:
        settings = load_settings({**homes.remembered(settings.home), **os.environ})
    with homes.lock(settings.home, "sql"):
        services = start_warehouse(settings)
        try:
            if settings.postgres_url is None:
                print_err(
                    f"nothing runs; from the stored data of {profile_of(settings)} (PAIID_SOURCE chooses another):"
                )
            yield services.environment
        finally:
            services.stop()


def _environment_of(state: State, settings: Settings) -> Mapping[str, str]:
    if "source" in settings.model_fields_set and profile_of(settings) != state.profile:
        raise OccupiedError(
            f"{state} runs {state.profile}, not {profile_of(settings)}: unset PAIID_SOURCE to use it, "
            "or set PAIID_HOME to another folder"
        )
    return state.environment


def _execute(command: Sequence[str], environment: Mapping[str, str]) -> int:
    with _forwarding() as hand_over:
        try:
            process = subprocess.Popen(  # noqa: S603
                command, env=merged(environment), preexec_fn=processes.tie_to_parent(signal.SIGTERM)
            )
        except (FileNotFoundError, PermissionError) as error:
            print_err(f"paiid: cannot run {command[0]!r}: {error.strerror}")
            return 127 if isinstance(error, FileNotFoundError) else 126
        hand_over(process)
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _forwarding() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Passes signals on to the process handed over; one that comes before it is kept until then."""
    receivers: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, _frame: object) -> None:
        # A terminal sends its signals to the command as well, which is in the same group.
        if number in (signal.SIGINT, signal.SIGQUIT) and sys.stdin.isatty():
            return
        if not receivers:
            early.append(number)
        for process in receivers:
            process.send_signal(number)

    def hand_over(process: subprocess.Popen[bytes]) -> None:
        receivers.append(process)
        for number in early:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield hand_over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
