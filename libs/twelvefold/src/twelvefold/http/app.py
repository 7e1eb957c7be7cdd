"""The app factory: all service apps have the same middleware and the same errors.

Owns what surrounds the routes. Routes and use cases belong to the service, sockets to
`http.server`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
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
from twelvefold.http.rest.exception_handlers import EXCEPTION_HANDLERS
from twelvefold.http.rest.validation import on_validation
from twelvefold.service.health import Health
from twelvefold.settings import ServiceSettings

from . import docs
from .async_routes import require_async
from .features import enabled_routers
from .openapi import PROBES, add_problem_responses


class ServiceApp(FastAPI):
    """FastAPI without the middleware that `http.middleware` replaces (telemetry, body limit)."""

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
        """Return the inner middleware around the routes; RequestMiddleware is outside of it."""
        handlers = {
            kind: handler for kind, handler in EXCEPTION_HANDLERS.items() if kind is not Exception
        }
        handlers[RequestValidationError] = on_validation
        admit = None if self._limit is None else self._limit.admit
        routes = RouteIndex(self.router.routes, self.router, admit=admit, counted=docs.PATHS)
        return self._core(ExceptionMiddleware(routes, handlers=handlers))

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made once, with problems for errors."""
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
    """Return a FastAPI app with the suite's middleware around `routers`.

    `state` becomes `app.state.container`; `callers` (internal apps: name -> accepted secrets) is
    what `require_caller` reads. `body_limits` is in bytes by path prefix. `public` decides about
    trust: an internal app honours the deadline and the sampling decision of a request, a public one
    does not. `unrouted_quota` limits the requests per minute of one address to unknown paths and to
    the documentation; None for no limit. Routers must not be nested, since only direct routes are
    indexed. A `FeatureRouter` whose feature is off is left out. Raises RuntimeError where a route
    or a dependency is a plain function.
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
        openapi_url=None,  # `docs` serves it, rendered once
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # The request middleware traces each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.container = state
    app.state.callers = callers or {}
    for router in enabled_routers(routers, settings):
        # Not include_router, which since 0.137 keeps the routes behind a node that matches twice.
        app.router.routes.extend(router.routes)
    describe_deprecations(app.router.routes)
    docs.add_document(app)
    if public:
        _add_probes(app, health)
        docs.add_docs(app)
    limits = RequestLimits(
        timeout=settings.http_request_timeout,
        max_concurrency=settings.http_max_concurrency,
        max_waiting=settings.http_queue,
        max_wait=settings.http_wait,
        deployed=settings.environment.is_deployed,
        public=public,
        cors=CorsPolicy(settings.http_cors_origins)
        if public and settings.http_cors_origins
        else None,
    )
    tracer = RequestTracer(ratio=settings.otel_traces_sampler_arg, public=public)
    require_async(app.router.routes)
    app.middleware_stack = RequestMiddleware(app.build_middleware_stack(), limits, health, tracer)
    return app


class Status(BaseModel):
    """The health of the process. Its backing services are on the management port only."""

    status: Literal["ok", "degraded", "unavailable"]


def _add_probes(app: FastAPI, health: Health) -> None:
    """Add /health and /ready, which do not reveal the backing services."""

    async def status() -> Response:
        report = await health.report()
        return JSONResponse({"status": report.status}, 200 if report.ready else 503)

    for path, summary in (
        ("/health", "Get the health of the API"),
        ("/ready", "Get whether the API takes requests"),
    ):
        app.add_api_route(
            path,
            status,
            operation_id=f"get_{path[1:]}",
            summary=summary,
            tags=[PROBES],
            response_model=Status,
            response_description="The API responds; `degraded` if a backing service is down",
            responses={
                503: {"model": Status, "description": "The process is starting or draining"}
            },
        )
