"""Errors as clients read them: ``{error, message, details, timestamp}``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import orjson
from starlette.responses import Response

Code = Literal["SYMBOL_NOT_FOUND", "SERVICE_UNAVAILABLE", "INVALID_PARAMETERS", "NOT_FOUND", "INTERNAL_ERROR"]
_STATUS: Mapping[Code, int] = {
    "SYMBOL_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "INVALID_PARAMETERS": 422,
    "SERVICE_UNAVAILABLE": 503,
    "INTERNAL_ERROR": 500,
}


class ApiError(Exception):
    """What a request is refused for; ``message`` names the value and the remedy."""

    def __init__(self, code: Code, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, dict(details or {})

    def response(self, now: datetime) -> Response:
        """The answer at ``now``."""
        document = {"error": self.code, "message": self.message, "details": self.details, "timestamp": now}
        headers = {"retry-after": "1"} if self.code == "SERVICE_UNAVAILABLE" else {}
        body = orjson.dumps(document, option=orjson.OPT_UTC_Z, default=str)
        return Response(body, _STATUS[self.code], headers, "application/json")
