"""The app factory: every service app has the same order of layers and the same errors.

Owns what is around the routes. Routes and use cases are the service's; sockets are `serve`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from fastapi import APIRouter, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from pydantic import BaseModel
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from twelvefold.http.middleware.address_limit import AddressLimit
from twelvefold.http.middleware.body_limit import BodyLimit
from twelvefold.http.middleware.cors import CorsPolicy
from twelvefold.http.middleware.requests import RequestLimits, RequestMiddleware
from twelvefold.http.middleware.routing import RouteIndex
from twelvefold.http.middleware.tracing import RequestTracer
from twelvefold.http.rest.deprecation import describe_deprecations
from twelvefold.http.rest.problems import EXCEPTION_HANDLERS
from twelvefold.service.health import Health
from twelvefold.settings import ServiceSettings

from . import docs
from .openapi import PROBES, add_problem_responses


class ServiceApp(FastAPI):
    """FastAPI with a leaner stack: what it adds beside ours (native telemetry, its own body limit)
    is off, so that the layers for it would only cost time.
    """

    def __init__(
        self,
        *,
        core: Callable[[ASGIApp], ASGIApp],
        limit: AddressLimit | None = None,
        limited: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._core = core
        self._limit = limit
        self._limited = limited

    def build_middleware_stack(self) -> ASGIApp:
        """Our inner layers around the routes. What nobody handles is the request layer's."""
        handlers = {
            kind: found for kind, found in EXCEPTION_HANDLERS.items() if kind is not Exception
        }
        admit = None if self._limit is None else self._limit.admit
        routes = RouteIndex(self.router.routes, self.router, admit=admit, counted=docs.PATHS)
        return self._core(ExceptionMiddleware(AsyncExitStackMiddleware(routes), handlers=handlers))

    def openapi(self) -> dict[str, Any]:
        """The document, made once, with problems for errors."""
        if self.openapi_schema is None:
            add_problem_responses(super().openapi(), limited=self._limited)
        return super().openapi()


def create_service_app(
    *,
    title: str,
    settings: ServiceSettings,
    routers: Sequence[APIRouter],
    state: object,
    public: bool,
    health: Health,
    description: str = "",
    body_limits: Mapping[str, int] | None = None,
    callers: Mapping[str, list[Any]] | None = None,
    unrouted_quota: int | None = None,
) -> FastAPI:
    """A FastAPI app with our layers around `routers`.

    `state` becomes `app.state.container`; `callers` (internal apps; name -> accepted secrets) is
    what `require_caller` reads. `body_limits` is by path prefix, in bytes. `public` decides whom
    we trust: from the public edge a deadline or a sampling decision does not count, on an
    internal app both do. `unrouted_quota` is how many requests a minute of one address this process
    answers on unknown paths and on the documentation; None for no such limit. Give each router whole, with its own prefix: their routes are indexed,
    which those of a router inside a router are not.
    """

    def core(app: ASGIApp) -> ASGIApp:
        return BodyLimit(app, settings.http_max_body_bytes, body_limits)

    app = ServiceApp(
        core=core,
        limit=None if unrouted_quota is None else AddressLimit(unrouted_quota),
        limited=public,
        title=title,
        description=description,
        version=settings.service_version,
        openapi_url=None,  # served by `docs`, rendered once
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Traced by the request layer; twice would be once too often.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.container = state
    app.state.callers = callers or {}
    for router in routers:
        # Not include_router: since 0.137 it keeps the routes behind a node that matches twice.
        app.router.routes.extend(router.routes)
    describe_deprecations(app.router.routes)
    docs.add_document(app)
    if public:
        _add_probes(app, health)
        docs.add_docs(app)
    conduct = RequestLimits(
        timeout=settings.http_request_timeout,
        max_concurrency=settings.http_max_concurrency,
        deployed=settings.environment.is_deployed,
        public=public,
        cors=CorsPolicy(settings.http_cors_origins)
        if public and settings.http_cors_origins
        else None,
    )
    tracing = RequestTracer(ratio=settings.otel_traces_sampler_arg, public=public)
    app.middleware_stack = RequestMiddleware(app.build_middleware_stack(), conduct, health, tracing)
    return app


class Status(BaseModel):
    """How the process is. What is behind it is told on the management port only."""

    status: Literal["ok", "degraded", "unavailable"]


def _add_probes(app: FastAPI, health: Health) -> None:
    """/health and /ready say how the process is without telling what is behind it."""

    async def status() -> Response:
        report = await health.report()
        return JSONResponse({"status": report.status}, 200 if report.ready else 503)

    for path, summary in (("/health", "How the API is"), ("/ready", "Whether it takes requests")):
        app.add_api_route(
            path,
            status,
            operation_id=f"get_{path[1:]}",
            summary=summary,
            tags=[PROBES],
            response_model=Status,
            response_description="It answers; `degraded` where something behind it is away",
            responses={503: {"model": Status, "description": "It starts or it drains"}},
        )
