"""The app factory: all service apps have the same middleware and the same errors.

Owns what surrounds the routes. Routes and use cases belong to the service, sockets to
`http.server`.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
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
from twelvefold.http.rest.problem_types import PATH as PROBLEMS_PATH
from twelvefold.http.rest.problem_types import describe_problem_types
from twelvefold.http.rest.validation import on_validation
from twelvefold.service.health import Health
from twelvefold.settings import ServiceSettings

from . import docs
from .async_routes import require_async
from .features import enabled_routers
from .openapi import (
    CONTACT,
    LICENSE,
    PROBES,
    add_problem_responses,
    complete_parameters,
    describe_access,
    describe_server,
)
from .openapi_bounds import add_bounds


class ServiceApp(FastAPI):
    """FastAPI without the middleware that `http.middleware` replaces (telemetry, body limit)."""

    def __init__(
        self,
        *,
        body_limit: Callable[[ASGIApp], BodyLimit],
        limit: AddressLimit | None = None,
        public: bool = False,
        public_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._add_body_limit = body_limit
        self._limit = limit
        self._public = public
        self._public_url = public_url
        self._max_body_bytes: Callable[[str], int] | None = None

    def build_middleware_stack(self) -> ASGIApp:
        """Return the inner middleware around the routes; RequestMiddleware is outside of it."""
        handlers = {
            kind: handler for kind, handler in EXCEPTION_HANDLERS.items() if kind is not Exception
        }
        handlers[RequestValidationError] = on_validation
        admit = None if self._limit is None else self._limit.admit
        routes = RouteIndex(self.router.routes, self.router, admit=admit, counted=docs.PATHS)
        layer = self._add_body_limit(ExceptionMiddleware(routes, handlers=handlers))
        self._max_body_bytes = layer.limit
        return layer

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made once, completed by `http.openapi`."""
        if self.openapi_schema is None:
            document = deepcopy(super().openapi())  # whose parts several documents share
            add_problem_responses(document, limited=self._public)
            describe_access(document, self.routes)
            complete_parameters(document)
            if PROBLEMS_PATH in document["paths"]:
                describe_problem_types(document, self._public_url)
            assert self._max_body_bytes  # noqa: S101  (set when the stack was built)
            add_bounds(document, max_body_bytes=self._max_body_bytes)
            self.openapi_schema = document
        return self.openapi_schema


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
    public_url: str | None = None,
    demo_account: Path | None = None,
    tags: Mapping[str, str] | None = None,
) -> FastAPI:
    """Return a FastAPI app with the suite's middleware around `routers`.

    `state` becomes `app.state.container`; `callers` (internal apps: name -> accepted secrets) is
    what `require_caller` reads. `body_limits` is in bytes by path prefix. `public` decides about
    trust: an internal app honours the deadline and the sampling decision of a request, a public one
    does not. `unrouted_quota` limits the requests per minute of one address to unknown paths and to
    the documentation; None for no limit. `public_url` is the server that the document names,
    `demo_account` a file with the account that /docs offers, `tags` the descriptions of the tags.
    Routers must not be nested, since only direct routes are indexed. A `FeatureRouter` whose
    feature is off is left out. Raises RuntimeError where a route or a dependency is a plain
    function.
    """

    def body_limit(app: ASGIApp) -> BodyLimit:
        return BodyLimit(app, settings.http_max_body_bytes, body_limits)

    app = ServiceApp(
        body_limit=body_limit,
        limit=None if unrouted_quota is None else AddressLimit(unrouted_quota),
        public=public,
        public_url=public_url,
        title=title,
        servers=[describe_server(title, public_url)],
        contact=CONTACT,
        license_info=LICENSE,
        openapi_tags=[{"name": name, "description": text} for name, text in (tags or {}).items()],
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
    app.state.realm = settings.suite_name.lower()
    for router in enabled_routers(routers, settings):
        # Not include_router, which since 0.137 keeps the routes behind a node that matches twice.
        app.router.routes.extend(router.routes)
    describe_deprecations(app.router.routes)
    docs.add_document(app)
    if public:
        _add_probes(app, health)
        docs.add_docs(app, demo_account)
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

    for path, summary, description in (
        ("/health", "Get the health of the API", "The same as /ready, for monitoring."),
        (
            "/ready",
            "Get whether the API takes requests",
            "503 only while the process starts or drains; a lost backing service is `degraded`.",
        ),
    ):
        app.add_api_route(
            path,
            status,
            operation_id=f"get_{path[1:]}",
            summary=summary,
            description=description,
            tags=[PROBES],
            response_model=Status,
            response_description="The API responds; `degraded` if a backing service is down",
            responses={
                503: {"model": Status, "description": "The process is starting or draining"}
            },
        )
