"""Servers for the tests: any ASGI application on a loopback port, and a vendor that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl

import uvicorn

from paiid_pipeline.sources.http import Client, RetryPolicy, VendorAccess

SECRET = "sk-very-secret-0123456789"

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Answer = Callable[["Asking"], "Reply"]


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address of ``app``, served by uvicorn in a thread."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", date_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the test server did not start"
        threading.Event().wait(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    server.force_exit = True
    thread.join(10)


@dataclass(frozen=True)
class Asking:
    """A request as a test's script sees it; ``number`` counts from 0."""

    number: int
    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What the vendor does: an answer, or a way to fail."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: bool = False
    cut: bool = False

    def encoded(self) -> bytes:
        return self.raw if self.raw is not None else json.dumps(self.body).encode()


@dataclass
class Vendor:
    """An ASGI application that answers what the test's script says, and remembers what it was asked."""

    answer: Answer
    asked: list[Asking] = field(default_factory=list)

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send
    ) -> None:
        params = dict(parse_qsl(scope["query_string"].decode()))
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asking = Asking(len(self.asked), scope["path"], params, headers)
        self.asked.append(asking)
        reply = self.answer(asking)
        if reply.hang:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        body = reply.encoded()
        length = len(body) + (100 if reply.cut else 0)
        given = {"content-type": "application/json", "content-length": str(length), **reply.headers}
        start = {"type": "http.response.start", "status": reply.status}
        await send({**start, "headers": [(name.encode(), value.encode()) for name, value in given.items()]})
        await send({"type": "http.response.body", "body": body, "more_body": reply.cut})
        if reply.cut:
            raise ConnectionResetError("cut on purpose")


@dataclass
class FakeTime:
    """Time that passes only when someone sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Within it ``asyncio.sleep`` of this thread takes no time but this one."""
        real, thread = asyncio.sleep, threading.current_thread()

        async def sleep(seconds: float) -> None:
            if threading.current_thread() is not thread:  # a server beside the client
                return await real(seconds)
            self.slept.append(seconds)
            self.now += seconds
            await real(0)

        with mock.patch.object(asyncio, "sleep", sleep):
            yield


@dataclass(frozen=True)
class WallClock:
    """A wall clock that stands still."""

    moment: datetime = datetime(2024, 1, 2, 15, 0, tzinfo=UTC)
    real_time: bool = True

    def now(self) -> datetime:
        return self.moment

    def wait_until(self, moment: datetime) -> None:
        raise AssertionError(f"nothing here may wait on the wall clock, not even until {moment}")


def access(url: str, per_minute: int | None = None) -> VendorAccess:
    """An access that carries a secret."""
    return VendorAccess(url, {"Authorization": f"Bearer {SECRET}"}, "check PAIID_TEST_TOKEN", per_minute)


class FakeTimeClient(Client):
    """A client for which no time passes."""

    def __init__(self, access: VendorAccess, time: FakeTime, **policy: float) -> None:
        super().__init__(access, RetryPolicy(**policy), WallClock(), time.monotonic, chance=lambda: 1.0)
        self._passing = time.passing()

    async def __aenter__(self) -> Client:
        self._passing.__enter__()
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        self._passing.__exit__(None, None, None)


def client(url: str, time: FakeTime, per_minute: int | None = None, **policy: float) -> Client:
    """A client with a secret, for which no time passes."""
    return FakeTimeClient(access(url, per_minute), time, **policy)
