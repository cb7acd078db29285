"""One async HTTP client for every vendor: rate limit, retries within a time budget, JSON or a typed error.

The budget runs on a monotonic clock. Clocks and the jitter are injected; waiting is ``asyncio.sleep``.
No message made here holds a header, so none can hold a key.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson
import stamina
from stamina.instrumentation import set_on_retry_hooks

from paiid_pipeline.clock import Clock, SystemClock

_ABANDONED_IN_A_ROW = 3
_MALFORMED_ATTEMPTS = 3
_BAD_REQUEST = (400, 404, 413, 414, 422)
_RETRYING = stamina.AsyncRetryingCaller(attempts=None, timeout=None)  # the backoff hook ends it, as it knows the pause
set_on_retry_hooks(())  # by default stamina prints each retry on stdout, which is a command's output


class UnavailableError(Exception):
    """No answer within the time budget."""


class DeniedError(Exception):
    """The vendor refuses the credentials, or none are set."""


class BadRequestError(Exception):
    """The vendor refuses the request itself: a retry cannot succeed."""


class MalformedError(Exception):
    """Repeated answers are not JSON; ``body`` is the whole of the last one."""

    def __init__(self, message: str, body: str) -> None:
        super().__init__(message)
        self.body = body


@dataclass(frozen=True)
class RetryPolicy:
    """Time budget, time-out of an attempt, and backoff of one request: seconds on a monotonic clock."""

    budget: float = 75.0  # a rate limit by the minute resets within it
    attempt: float = 30.0
    first_backoff: float = 0.25
    longest_backoff: float = 15.0


@dataclass(frozen=True)
class VendorAccess:
    """Address, credentials and rate limit of a vendor."""

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    variables: str
    """The remedy for refused credentials: which variables to check."""
    per_minute: int | None
    """Requests a minute that the vendor allows; None for a local server, which has no limit."""


@dataclass
class RateLimiter:
    """A token bucket of ``per_minute`` requests, which a 429 closes for all requests of the client.

    The burst is a tenth of a minute's limit, so that many short-lived processes stay within it too.
    """

    per_minute: int | None
    monotonic: Callable[[], float] = time.monotonic
    _free_at: float = field(default=-math.inf, init=False)
    _shut_until: float = field(default=-math.inf, init=False)

    async def turn(self) -> None:
        """Return when the next request may be sent."""
        while (wait := self._wait()) > 0:
            await asyncio.sleep(wait)
        if self.per_minute is not None:
            earliest = self.monotonic() - (self._burst() - 1) * 60.0 / self.per_minute
            self._free_at = max(self._free_at, earliest) + 60.0 / self.per_minute

    def hold(self, seconds: float) -> None:
        """Send nothing for ``seconds``."""
        self._shut_until = max(self._shut_until, self.monotonic() + seconds)

    def _wait(self) -> float:
        return max(self._free_at, self._shut_until) - self.monotonic()

    def _burst(self) -> int:
        return max(1, (self.per_minute or 0) // 10)


@dataclass
class RequestStats:
    """Requests sent, and how many of them were retries."""

    requests: int = 0
    retries: int = 0


@dataclass
class Client:
    """Fetches JSON from one vendor. Use it as an async context manager."""

    access: VendorAccess
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Clock = field(default_factory=SystemClock)
    """The vendor's wall clock: reset headers are compared with it, never with a replayed moment."""
    monotonic: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    abandoned: int = field(default=0, init=False)
    limiter: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.limiter = RateLimiter(self.access.per_minute, self.monotonic)

    async def __aenter__(self) -> Client:
        self._http = httpx.AsyncClient(
            base_url=self.access.base_url,
            headers={**self.access.headers, "Accept": "application/json"},
            timeout=httpx.Timeout(10.0, read=self.policy.attempt),
            limits=httpx.Limits(max_connections=16),
            trust_env=self.access.per_minute is not None,  # a local server is never behind the machine's proxy
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, params: Mapping[str, str], stats: RequestStats) -> Any:
        """The JSON that ``path`` answers.

        Raises DeniedError (401, 403), BadRequestError (400 and its like), MalformedError (not JSON, three times) and
        UnavailableError (429, 5xx, time-outs and broken connections until the budget is spent; any other status).
        """
        if self.abandoned >= _ABANDONED_IN_A_ROW:
            raise UnavailableError(f"{path}: not tried, as {self.abandoned} requests in a row have been given up")
        await self.limiter.turn()
        request = _Request(self, path, params, stats, self.monotonic())
        try:
            answer = await _RETRYING(request.backoff, request.attempt)
        except _Failure as failure:
            raise request.given_up(failure) from None
        self.abandoned = 0
        return answer

    async def _send(self, path: str, params: Mapping[str, str], seconds: float) -> Any:
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.get(path, params=dict(params))
        except TimeoutError:
            raise _Failure("no answer in time") from None
        except httpx.TransportError as error:
            raise _Failure(type(error).__name__) from None
        except httpx.DecodingError as error:
            raise _Failure(type(error).__name__, body=str(error)) from None
        return self._read(path, response)

    def _read(self, path: str, response: httpx.Response) -> Any:
        status = response.status_code
        if status in (401, 403):
            raise DeniedError(f"{path}: HTTP {status} {message_of(response)!r}: {self.access.variables}")
        if status == 429:
            raise _Failure("HTTP 429, too many requests", reset=retry_after(response, self.clock))
        if status == 408 or status >= 500:
            raise _Failure(f"HTTP {status}")
        if status in _BAD_REQUEST:
            raise BadRequestError(message_of(response) or f"HTTP {status}")
        if status >= 300:
            raise UnavailableError(
                f"{path}: HTTP {status} {message_of(response)!r}, which no endpoint used here answers"
            )
        try:
            return parse_json(response.content)
        except ValueError as error:
            body = response.content.decode("utf-8", "backslashreplace")
            raise _Failure(str(error), body=body) from None


class _Failure(Exception):  # noqa: N818 - an outcome of one attempt, which never leaves this module
    def __init__(self, what: str, reset: float | None = None, body: str | None = None) -> None:
        super().__init__(what)
        self.reset = reset
        """Seconds until the rate limit resets."""
        self.body = body
        """The whole answer, where it is not JSON."""


@dataclass
class _Request:
    """One request through all its attempts."""

    client: Client
    path: str
    params: Mapping[str, str]
    stats: RequestStats
    started: float
    attempts: int = 0
    malformed: int = 0
    pause: float = 0.0
    """Seconds from the last failure to the next attempt."""

    async def attempt(self) -> Any:
        if self.attempts:
            self.stats.retries += 1
            await self.client.limiter.turn()
        self.attempts += 1
        self.stats.requests += 1
        seconds = max(0.05, min(self.client.policy.attempt, self._left()))
        return await self.client._send(self.path, self.params, seconds)

    def backoff(self, error: Exception) -> bool | float:
        """Seconds to wait before the next attempt; False where there is none."""
        if not isinstance(error, _Failure):
            return False
        self.malformed += error.body is not None
        self.pause = self._pause(error)
        if self._is_malformed(error) or self.pause >= self._left():
            return False
        if error.reset is not None:
            self.client.limiter.hold(self.pause)
        return self.pause

    def given_up(self, failure: _Failure) -> Exception:
        """The error for the caller, once ``backoff`` has refused another attempt."""
        if self._is_malformed(failure):
            return MalformedError(f"{self.path}: {failure}, {self.malformed} times", failure.body or "")
        self.client.abandoned += 1
        return UnavailableError(
            f"{self.path}: {failure}; given up after {self.attempts} attempts, as the next could come in "
            f"{self.pause:.1f} s and {max(self._left(), 0):.1f} s of {self.client.policy.budget:g} s are left"
        )

    def _is_malformed(self, failure: _Failure) -> bool:
        return failure.body is not None and self.malformed >= _MALFORMED_ATTEMPTS

    def _left(self) -> float:
        return self.client.policy.budget - (self.client.monotonic() - self.started)

    def _pause(self, failure: _Failure) -> float:
        # Full jitter, so that many workers do not come back together.
        policy = self.client.policy
        ceiling = min(policy.longest_backoff, policy.first_backoff * 2.0 ** (self.attempts - 1))
        jitter = ceiling * self.client.chance()
        return jitter if failure.reset is None else failure.reset + min(jitter, 1.0)


def parse_json(body: bytes) -> Any:
    """JSON, with the ``NaN`` and lone surrogates that real vendors emit, so that one bad row does not cost its page.

    Raises ValueError for anything else.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        what = "markup instead of JSON" if body.lstrip()[:1] == b"<" else "malformed JSON"
        raise ValueError(f"{what} ({type(error).__name__})") from None


def retry_after(response: httpx.Response, clock: Clock) -> float:
    """Seconds until the rate limit resets, from whichever header the vendor sends; 1 where it sends none.

    ``Retry-After`` is in seconds or a date, ``X-RateLimit-Reset`` (Alpaca) in epoch seconds, and
    ``X-RateLimit-Expiry`` (Tradier) in epoch milliseconds. Moments are compared with the response's own ``Date``.
    """
    headers = response.headers
    sent = _http_date(headers.get("Date")) or clock.now().timestamp()
    after = headers.get("Retry-After")
    waits = [
        _number(after),
        _until(_http_date(after), sent),
        _until(_number(headers.get("X-RateLimit-Reset")), sent),
        _until(_milliseconds(headers.get("X-RateLimit-Expiry")), sent),
    ]
    known = [max(0.0, wait) for wait in waits if wait is not None]
    return max(known) if known else 1.0


def message_of(response: httpx.Response) -> str:
    """The vendor's error message, at most 200 characters."""
    try:
        body = parse_json(response.content)
    except ValueError:
        return response.text[:200]
    if isinstance(body, dict):
        return str(body.get("message") or body.get("fault") or body.get("error") or body)[:200]
    return str(body)[:200]


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _milliseconds(text: str | None) -> float | None:
    number = _number(text)
    return None if number is None else number / 1000.0


def _until(moment: float | None, sent: float) -> float | None:
    return None if moment is None else moment - sent


def _http_date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError):
        return None
