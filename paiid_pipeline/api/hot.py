"""The hot routes, as bare ASGI: the stored bytes, with headers of their freshness."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from paiid_pipeline.api.errors import ApiError
from paiid_pipeline.cache.redis_tier import UnavailableError
from paiid_pipeline.cache.tiers import Answer, HotResults
from paiid_pipeline.clock import Clock
from paiid_pipeline.settings import CacheKind

KINDS: Mapping[str, CacheKind] = {"market": "market", "news": "news", "signals": "signals", "sentiment": "sentiment"}
MOST_SYMBOLS = 500
_PREFIX = "/api/"


class HotRoutes:
    """``GET /api/{market|news|signals}/{SYMBOL}`` and, of sentiment too, ``?symbols=A,B``; all else goes to ``app``.

    One symbol is answered with its envelope, several with an object of envelopes by symbol, null where a symbol has
    none. ``Age`` counts from publication, ``Cache-Control`` ends with freshness, ``X-Cache`` names the tier; a stale
    response has ``X-Stale-Seconds`` and may not be cached.
    """

    def __init__(self, app: ASGIApp, hot: HotResults, spelled: Callable[[str], str], clock: Clock) -> None:
        """``spelled``: a symbol as it is stored; raises ApiError for one that is not followed."""
        self._app, self._hot, self._spelled, self._clock = app, hot, spelled, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a hot request, or hand it on."""
        parsed = _parsed(scope)
        if parsed is None:
            await self._app(scope, receive, send)
            return
        kind, one, several = parsed
        try:
            response = await self._one(scope, kind, one) if one is not None else await self._many(kind, several)
        except ApiError as error:
            response = error.response(self._clock.now())
        except UnavailableError as error:
            response = ApiError("SERVICE_UNAVAILABLE", str(error)).response(self._clock.now())
        await response(scope, receive, send)

    async def _one(self, scope: Scope, kind: CacheKind, symbol: str) -> Response:
        symbol = self._spelled(symbol)
        answer = (await self._hot.get(kind, [symbol]))[symbol]
        if answer is None:
            raise ApiError("NOT_FOUND", f"there is no {kind} of {symbol} yet", {"symbol": symbol})
        headers = self._headers([answer])
        headers["etag"] = f'"{hashlib.blake2b(answer.stored.value, digest_size=12).hexdigest()}"'
        if _header(scope, b"if-none-match") == headers["etag"].encode():
            return Response(None, 304, headers)
        return Response(answer.stored.value, 200, headers, "application/json")

    async def _many(self, kind: CacheKind, symbols: Sequence[str]) -> Response:
        if not 1 <= len(symbols) <= MOST_SYMBOLS:
            raise ApiError("INVALID_PARAMETERS", f"symbols={len(symbols)} of them: name 1 to {MOST_SYMBOLS}")
        answers = await self._hot.get(kind, [self._spelled(symbol) for symbol in symbols])
        parts = [
            b'"%b":%b' % (symbol.encode(), answer.stored.value if answer else b"null")
            for symbol, answer in answers.items()
        ]
        found = [answer for answer in answers.values() if answer]
        return Response(b"{" + b",".join(parts) + b"}", 200, self._headers(found), "application/json")

    def _headers(self, answers: Sequence[Answer]) -> dict[str, str]:
        """Of several answers the least fresh decides."""
        if not answers:
            return {"cache-control": "no-store"}
        now = self._clock.now().timestamp()
        oldest = min(answers, key=lambda answer: answer.stored.fresh_until)
        headers = {
            "age": str(max(0, int(now - min(answer.stored.published_at for answer in answers)))),
            "x-cache": ", ".join(sorted({answer.tier for answer in answers})),
        }
        if oldest.stale:
            stale = {"cache-control": "no-store", "x-stale-seconds": str(max(1, int(now - oldest.stored.fresh_until)))}
            return headers | stale
        lifetime = int(oldest.stored.fresh_until - oldest.stored.published_at)
        return headers | {"cache-control": f"private, max-age={max(0, lifetime)}"}


def _parsed(scope: Scope) -> tuple[CacheKind, str | None, list[str]] | None:
    """The kind, and the symbol or the symbols, of a hot request; None for any other."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    path: str = scope["path"]
    if not path.startswith(_PREFIX):
        return None
    room, _, symbol = path.removeprefix(_PREFIX).partition("/")
    kind = KINDS.get(room)
    if kind is None or "/" in symbol:
        return None
    if symbol:
        return None if kind == "sentiment" else (kind, symbol, [])
    given = parse_qs(scope["query_string"].decode("latin-1")).get("symbols")
    return None if given is None else (kind, None, [part for text in given for part in text.split(",") if part])


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for header, value in scope["headers"] if header == name), None)
