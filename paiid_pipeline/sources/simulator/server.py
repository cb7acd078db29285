"""The simulator's HTTP server: Alpaca's endpoints over synthetic or recorded data.

Run as ``python -m paiid_pipeline.sources.simulator.server``.

It serves only what is known at its clock's now: ended bars, published articles, actions whose day has come.
A page's ``limit`` counts across symbols, and its token is opaque. It listens on the loopback address alone.
"""

from __future__ import annotations

import argparse
import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from paiid_pipeline.clock import Clock, SystemClock
from paiid_pipeline.sources.simulator.backend import BAR_COLUMNS, Backend, BarQuery
from paiid_pipeline.symbols import is_canonical

_PER_MINUTE = 1_000_000  # the limit in its headers


def application(backend: Backend, clock: Clock) -> Starlette:
    """The ASGI application."""
    api = _Api(backend, clock)
    return Starlette(
        routes=[
            Route("/health", api.health),
            Route("/v2/stocks/bars", api.answering(api.bars)),
            Route("/v1beta1/news", api.answering(api.news)),
            Route("/v1/corporate-actions", api.answering(api.actions)),
        ]
    )


class _BadRequestError(Exception):
    pass


@dataclass(frozen=True)
class _Api:
    backend: Backend
    clock: Clock

    def answering(self, answer: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                return _respond(200, answer(request))
            except _BadRequestError as error:
                return _respond(400, {"message": str(error)})

        return endpoint

    def health(self, _: Request) -> Response:
        return _respond(200, {"status": "ok", "source": self.backend.name, "now": _rfc3339(self.clock.now())})

    def bars(self, request: Request) -> dict[str, Any]:
        """GET /v2/stocks/bars, sorted by symbol and time."""
        query = request.query_params
        timeframe = query.get("timeframe", "")
        if timeframe not in ("1Min", "1Day"):
            raise _BadRequestError(f"invalid timeframe: {timeframe!r}: this server has 1Min and 1Day")
        now = self.clock.now()
        start, end = _moment(request, "start", now - timedelta(days=1)), _moment(request, "end", now)
        after = _bar_token(query.get("page_token"))
        symbols = tuple(symbol for symbol in _symbols(request) if symbol >= after[0])
        wanted = BarQuery(symbols, timeframe, start, end, _asof(query.get("asof"), now), now)
        limit = _limit(request, 10_000)
        rows = _take(self.backend.bars(wanted), after, limit + 1)
        page = rows.head(limit)
        token = _token(page["S"][-1], _rfc3339(page["t"][-1])) if rows.height > limit else None
        return {"bars": _by_symbol(page), "next_page_token": token}

    def news(self, request: Request) -> dict[str, Any]:
        """GET /v1beta1/news, sorted by ``updated_at``."""
        now = self.clock.now()
        start, end = _moment(request, "start", now - timedelta(days=1)), _moment(request, "end", now)
        limit = min(_limit(request, 10), 50)
        found = self.backend.news(_symbols(request), start, end, now)
        ordered = sorted(found, key=lambda article: (article["updated_at"], str(article["id"])))
        if request.query_params.get("sort", "desc") == "desc":
            ordered.reverse()
        page, token = _page(ordered, limit, request.query_params.get("page_token"))
        stamped = [{**a, **{k: _rfc3339(a[k]) for k in ("created_at", "updated_at")}} for a in page]
        return {"news": stamped, "next_page_token": token}

    def actions(self, request: Request) -> dict[str, Any]:
        """GET /v1/corporate-actions, by kind, sorted by day within."""
        now = self.clock.now()
        start = _moment(request, "start", now - timedelta(days=1)).date()
        end = _moment(request, "end", now).date()
        types = [kind for kind in request.query_params.get("types", "").split(",") if kind]
        found = self.backend.actions(_symbols(request), start, end, now)
        flat = [
            (kind, action)
            for kind in sorted(found)
            if not types or kind.removesuffix("s") in types
            for action in sorted(found[kind], key=lambda a: (a.get("ex_date", a["process_date"]), a["id"]))
        ]
        page, token = _page(flat, min(_limit(request, 100), 1000), request.query_params.get("page_token"))
        listed: dict[str, list[dict[str, Any]]] = {}
        for kind, action in page:
            listed.setdefault(kind, []).append(action)
        return {"corporate_actions": listed, "next_page_token": token}


def _respond(status: int, body: dict[str, Any]) -> Response:
    reset = int(SystemClock().now().timestamp()) + 60
    headers = {
        "X-RateLimit-Limit": str(_PER_MINUTE),
        "X-RateLimit-Remaining": str(_PER_MINUTE - 1),
        "X-RateLimit-Reset": str(reset),
    }
    return Response(orjson.dumps(body), status, headers, "application/json")


def _symbols(request: Request) -> list[str]:
    named = [symbol for symbol in request.query_params.get("symbols", "").split(",") if symbol]
    if not named:
        raise _BadRequestError("symbols is required")
    for symbol in named:
        if not is_canonical(symbol):
            raise _BadRequestError(f"invalid symbol: {symbol}")
    return sorted(set(named))


def _moment(request: Request, name: str, default: datetime) -> datetime:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _BadRequestError(f"invalid {name}: {text!r}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _limit(request: Request, default: int) -> int:
    text = request.query_params.get("limit", str(default))
    if not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise _BadRequestError(f"invalid limit: {text!r}: from 1 to 10000")
    return int(text)


def _asof(text: str | None, now: datetime) -> date | None:
    """The day that ``asof`` names, never after today; by default today, and None for ``-``."""
    if text == "-":
        return None
    try:
        return min(date.fromisoformat(text), now.date()) if text else now.date()
    except ValueError:
        raise _BadRequestError(f"invalid asof: {text!r}") from None


def _token(*parts: str) -> str:
    return base64.urlsafe_b64encode("|".join(parts).encode()).decode()


def _read_token(token: str, parts: int) -> list[str]:
    try:
        read = base64.urlsafe_b64decode(token.encode()).decode().split("|")
    except (binascii.Error, UnicodeDecodeError):
        read = []
    if len(read) != parts:
        raise _BadRequestError("invalid page_token")
    return read


def _bar_token(token: str | None) -> tuple[str, datetime]:
    if not token:
        return "", datetime.min.replace(tzinfo=UTC)
    symbol, moment = _read_token(token, 2)
    try:
        return symbol, datetime.fromisoformat(moment)
    except ValueError:
        raise _BadRequestError("invalid page_token") from None


def _page(rows: list[Any], limit: int, token: str | None) -> tuple[list[Any], str | None]:
    offset = 0
    if token:
        (text,) = _read_token(token, 1)
        if not text.isdigit():
            raise _BadRequestError("invalid page_token")
        offset = int(text)
    following = offset + limit
    return rows[offset:following], _token(str(following)) if following < len(rows) else None


def _take(frames: Iterator[pl.DataFrame], after: tuple[str, datetime], count: int) -> pl.DataFrame:
    """The first ``count`` bars that come after (symbol, time)."""
    taken: list[pl.DataFrame] = []
    for frame in frames:
        later = (pl.col("S") > after[0]) | (pl.col("t") > after[1])
        taken.append(frame.filter(later).head(count))
        count -= taken[-1].height
        if count == 0:
            break
    return pl.concat(taken) if taken else pl.DataFrame(schema=dict.fromkeys(BAR_COLUMNS, pl.String))


def _by_symbol(bars: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    if bars.is_empty():
        return {}
    text = bars.with_columns(pl.col("t").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return {
        str(symbol): rows.drop("S").to_dicts()
        for (symbol,), rows in text.partition_by("S", as_dict=True, maintain_order=True).items()
    }


def _rfc3339(moment: datetime) -> str:
    whole = "%Y-%m-%dT%H:%M:%S.%fZ" if moment.microsecond else "%Y-%m-%dT%H:%M:%SZ"
    return moment.astimezone(UTC).strftime(whole)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m paiid_pipeline.sources.simulator.server", description=__doc__)
    parser.add_argument("--source", required=True, choices=("synthetic", "replay"))
    parser.add_argument("--port", required=True, type=int, help="on 127.0.0.1")
    parser.add_argument("--data-dir", type=Path, help="for replay; by default PAIID_DATA_DIR")
    options = parser.parse_args(arguments)

    import uvicorn

    from paiid_pipeline.settings import load_settings

    settings = load_settings()
    served = application(_backend(options.source, options.data_dir or settings.data_dir), settings.open_clock())
    uvicorn.run(served, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


def _backend(source: str, folder: Path | None) -> Backend:
    if source == "synthetic":
        from paiid_pipeline.sources.simulator.synthetic_exchange import SyntheticExchange

        return SyntheticExchange()
    from paiid_pipeline.sources.simulator.replay import Replay

    if folder is None or not folder.is_dir():
        raise SystemExit(f"replay needs a folder of data, not {folder}: set PAIID_DATA_DIR, or give --data-dir")
    return Replay(folder)


if __name__ == "__main__":
    main()
