"""The application: hot routes as bare ASGI, all others through FastAPI, on what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import orjson
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from paiid_pipeline.api.board import add_board
from paiid_pipeline.api.errors import ApiError
from paiid_pipeline.api.hot import HotRoutes
from paiid_pipeline.cache.memory import MemoryTier
from paiid_pipeline.cache.redis_tier import RedisTier, UnavailableError
from paiid_pipeline.cache.tiers import HotResults
from paiid_pipeline.clock import Clock
from paiid_pipeline.serving import answers
from paiid_pipeline.serving.explanation import absent, explained, moment_of, newest_signal
from paiid_pipeline.serving.hot_results import envelopes
from paiid_pipeline.serving.pipeline import MLDataPipeline, require_followed
from paiid_pipeline.serving.withheld import newest_withheld
from paiid_pipeline.settings import CacheKind, Settings
from paiid_pipeline.signals.generator import ENGINE
from paiid_pipeline.signals.model_engine import ENGINE as ML
from paiid_pipeline.trading_calendar import Horizon
from paiid_pipeline.universe import Universe
from paiid_pipeline.warehouse import WarehouseError
from paiid_pipeline.wiring import Components

SignalClass = Literal["STRONG_BUY", "BUY", "HOLD", "SELL", "STRONG_SELL"]
Engine = Literal["rules", "ml"]
HOSTS = ["127.0.0.1", "localhost", "[::1]"]
"""Names of this machine only: against DNS rebinding, since the API has no authentication."""


class Service:
    """What the routes answer from: opened once, closed with the application."""

    def __init__(self, settings: Settings) -> None:
        """Raises LookupError with the remedy where an address is not set, ValueError for a faulty universe file."""
        self.settings = settings
        self.universe = settings.universe  # read now, with its calendar: seconds that no request must wait
        opened = Components(settings)
        self.clock: Clock = opened.clock
        self.warehouse = opened.warehouse
        self.redis = RedisTier(settings.require_redis())
        self.hot = HotResults(MemoryTier(), self.redis, self._load, lambda: self.clock.now().timestamp())
        self._pipeline: MLDataPipeline | None = None

    def spelled(self, symbol: str) -> str:
        """The symbol as it is stored. Raises ApiError for one that is not followed."""
        try:
            return require_followed(symbol, self.settings)
        except LookupError as error:
            raise ApiError("SYMBOL_NOT_FOUND", str(error), {"symbol": symbol}) from None

    def pipeline(self) -> MLDataPipeline:
        """Opened at the first call: it loads the models."""
        if self._pipeline is None:
            self._pipeline = MLDataPipeline(self.settings, clock=self.clock, warehouse=self.warehouse)
        return self._pipeline

    async def close(self) -> None:
        """Give all connections back."""
        await self.redis.close()
        self.warehouse.close()

    async def _load(self, kind: CacheKind, symbols: Sequence[str]) -> Mapping[str, bytes]:
        found = await asyncio.to_thread(
            envelopes, kind, symbols, self.warehouse, self.clock.now(), self.settings.feed_delay
        )
        return {envelope.symbol: envelope.dumps() for envelope in found}


def create_app(settings: Settings) -> ASGIApp:
    """The application of the settings. Raises LookupError with the remedy where a setting is missing."""
    if settings.environment != "dev":
        raise LookupError(
            f"PAIID_ENV={settings.environment}: the API has no authentication yet, and so starts in dev alone; "
            "put it behind a proxy that has, or set PAIID_ENV=dev"
        )
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    app = FastAPI(title="PaiiD", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    _answer_errors(app, service.clock)
    _sentiment_routes(app, service)
    _signal_routes(app, service)
    _health_routes(app, service)
    add_board(app)
    return TrustedHostMiddleware(HotRoutes(app, service.hot, service.spelled, service.clock), HOSTS)


def _json(document: Any) -> Response:
    body = orjson.dumps(document, option=orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY, default=str)
    return Response(body, 200, {"cache-control": "no-store"}, "application/json")


def _answer_errors(app: FastAPI, clock: Clock) -> None:
    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101
        return error.response(clock.now())

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        problems = {".".join(map(str, each["loc"][1:])): each["msg"] for each in error.errors()}
        words = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        return ApiError("INVALID_PARAMETERS", words, problems).response(clock.now())

    async def no_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        response = ApiError("NOT_FOUND", f"{request.method} {request.url.path}: {error.detail}").response(clock.now())
        response.status_code = error.status_code
        return response

    async def unavailable(_request: Request, error: Exception) -> Response:
        return ApiError("SERVICE_UNAVAILABLE", str(error)).response(clock.now())

    async def unexpected(_request: Request, error: Exception) -> Response:
        words = f"an error that should not be ({type(error).__name__}): see the API's log"
        return ApiError("INTERNAL_ERROR", words).response(clock.now())

    app.add_exception_handler(Exception, unexpected)
    app.add_exception_handler(ApiError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, no_route)
    app.add_exception_handler(WarehouseError, unavailable)
    app.add_exception_handler(UnavailableError, unavailable)


def _sentiment_routes(app: FastAPI, service: Service) -> None:
    @app.get("/api/sentiment/health")
    async def sentiment_health() -> Response:
        return await _readiness(service)

    @app.get("/api/sentiment/{symbol}")
    async def sentiment(
        symbol: str, lookback_days: Annotated[int, Query(ge=1, le=30)] = 3, include_news: bool = False
    ) -> Response:
        """The sentiment on a symbol over the articles of the last days, and the newest indicators."""
        symbol = service.spelled(symbol)

        def answer() -> dict[str, Any]:
            analysis = service.pipeline().get_sentiment_analysis_sync(symbol, lookback_days)
            now = service.clock.now()
            signals = answers.newest_signals(service.warehouse, [symbol], now, [ENGINE])
            indicators = answers.newest_indicators(service.warehouse, symbol, signals)
            return answers.sentiment_answer(analysis, indicators, None)

        document = await asyncio.to_thread(answer)
        if include_news:
            found = (await service.hot.get("news", [symbol]))[symbol]
            document["news"] = orjson.loads(found.stored.value)["data"]["articles"] if found else []
        return _json(document)

    @app.get("/api/sentiment/{symbol}/signals")
    async def signals(
        symbol: str,
        signal_type: SignalClass | None = None,
        confidence_threshold: Annotated[float, Query(ge=0, le=1)] = 0.0,
    ) -> Response:
        """The newest signals on a symbol, of every horizon and engine."""
        symbol = service.spelled(symbol)

        def answer() -> dict[str, Any]:
            now = service.clock.now()
            found = answers.newest_signals(service.warehouse, [symbol], now, [ENGINE, ML])
            indicators = answers.newest_indicators(service.warehouse, symbol, found)
            sentiment = service.warehouse.symbol_sentiment.latest([symbol], now).sort("as_of")
            score = sentiment["score"][-1] if sentiment.height else None
            regime = indicators["regime"] if indicators else None
            return answers.signals_answer(symbol, found.to_dicts(), score, regime, signal_type, confidence_threshold)

        return _json(await asyncio.to_thread(answer))


def _signal_routes(app: FastAPI, service: Service) -> None:
    @app.get("/api/signals")
    async def newest(
        segment: str | None = None, engine: Engine = "rules", limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
    ) -> Response:
        """The newest signals of the universe, or of a segment, by symbol and horizon."""
        symbols = _members(service.universe, segment)

        def answer() -> list[dict[str, Any]]:
            found = answers.newest_signals(service.warehouse, symbols, service.clock.now(), [engine]).head(limit)
            return [{**row, "reasons": orjson.loads(row["reasons"])} for row in found.to_dicts()]

        return _json({"signals": await asyncio.to_thread(answer)})

    @app.get("/api/signals/{symbol}/explain")
    async def explain(
        symbol: str, as_of: str | None = None, horizon: Horizon | None = None, engine: Engine = "rules"
    ) -> Response:
        """One signal with all that it rests on, as it was known at its decision."""
        symbol = service.spelled(symbol)
        settings, warehouse = service.settings, service.warehouse
        try:
            moment = moment_of(as_of, settings) if as_of else service.clock.now()
        except (ValueError, OverflowError):
            words = f"as_of={as_of!r} is not a moment: write it as 2014-06-09T15:00, or 2014-06-09 for all of a day"
            raise ApiError("INVALID_PARAMETERS", words) from None

        def answer() -> dict[str, Any]:
            signal = newest_signal(warehouse, symbol, horizon, moment, engine)
            of = horizon or (signal["horizon"] if signal else None)
            missing = newest_withheld(warehouse, settings, symbol, of, moment)
            if signal is None:
                raise ApiError("NOT_FOUND", f"no signal of {symbol}: {missing or absent(settings, engine)}")
            return {**explained(warehouse, settings, signal), "newer_withheld": missing}

        return _json(await asyncio.to_thread(answer))

    @app.get("/api/universe")
    async def universe() -> Response:
        """The symbols that are followed, by segment, and their exchange's calendar."""
        return _json({"calendar": service.universe.calendar.name, "segments": service.universe.segments})


def _members(universe: Universe, segment: str | None) -> Sequence[str]:
    if segment is None:
        return universe.symbols
    try:
        return universe.members([segment])
    except KeyError as error:
        raise ApiError("INVALID_PARAMETERS", str(error.args[0]), {"segment": segment}) from None


def _health_routes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def alive() -> Response:
        return _json({"status": "alive", "now": service.clock.now()})

    @app.get("/readyz")
    async def ready() -> Response:
        return await _readiness(service)


async def _readiness(service: Service) -> Response:
    """Whether hot results can be answered: either Redis or the warehouse is enough."""

    def ask_warehouse() -> None:
        service.warehouse.coverage.covered_to("news")

    checks: Mapping[str, Callable[[], Any]] = {
        "redis": service.redis.ping,
        "warehouse": lambda: asyncio.to_thread(ask_warehouse),
    }
    found: dict[str, str] = {}
    for name, check in checks.items():
        try:
            await check()
            found[name] = "ok"
        except (UnavailableError, WarehouseError) as error:
            found[name] = str(error)
    well = list(found.values()).count("ok")
    response = _json({"status": ("unavailable", "degraded", "ready")[well], "parts": found})
    response.status_code = 200 if well else 503
    return response
