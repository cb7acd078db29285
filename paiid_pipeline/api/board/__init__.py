"""The signal board: one page on the API's own answers, without a bundler, a library or another site."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import FastAPI
from starlette.responses import Response

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_FILES = {
    "/": ("index.html", "text/html"),
    "/board/board.css": ("board.css", "text/css"),
    "/board/board.js": ("board.js", "text/javascript"),
}


def add_board(app: FastAPI) -> None:
    """Serve the page at ``/`` and what it is made of under ``/board``."""
    for path, (name, kind) in _FILES.items():
        content = files(__package__).joinpath(name).read_bytes()
        app.add_api_route(path, _sender(content, kind), methods=["GET"], include_in_schema=False)


def _sender(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return Response(content, 200, _HEADERS, kind)

    return send
