"""The app factory: every service app has the same order of layers and the same errors.

Owns what is around the routes. Routes and use cases are the service's; sockets are `serve`'s.
"""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twelvefold.health import Health
from twelvefold.settings import ServiceSettings

from .docs import docs_page
from .limits import BodyLimit
from .problems import EXCEPTION_HANDLERS
from .requests import Conduct, RequestLayer


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
    callers: Mapping[str, list[str]] | None = None,
) -> FastAPI:
    """A FastAPI app with our layers around `routers`.

    `state` becomes `app.state.container`; `callers` (internal apps) is what `require_caller`
    reads. `body_limits` is by path prefix, in bytes. `public` decides whom we trust: from the
    public edge a deadline or a sampling decision does not count, on an internal app both do.
    """
    middleware = [
        Middleware(BodyLimit, default=settings.http_max_body_bytes, by_prefix=body_limits)
    ]
    if public and settings.http_cors_origins:
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware,
                allow_origins=settings.http_cors_origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match"],
                expose_headers=["ETag", "Link", "Location", "X-Request-ID", "Retry-After"],
                max_age=600,
            ),
        )
    app = FastAPI(
        title=title,
        description=description,
        version=settings.service_version,
        docs_url=None,
        redoc_url=None,
        middleware=middleware,
        exception_handlers=EXCEPTION_HANDLERS,
        # The request layer traces by opentelemetry-instrumentation; once is enough.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.container = state
    app.state.callers = callers or {}
    for router in routers:
        app.include_router(router)
    if public:
        _add_probes(app, health)
        app.add_route("/docs", docs_page, include_in_schema=False)
    app.middleware_stack = RequestLayer(
        app.build_middleware_stack(),
        Conduct(
            timeout=settings.http_request_timeout,
            max_concurrency=settings.http_max_concurrency,
            deployed=settings.environment.is_deployed,
            public=public,
        ),
        health,
    )
    return app


def _add_probes(app: FastAPI, health: Health) -> None:
    """/health and /ready say how the process is without telling what is behind it."""

    async def status(_: Request) -> Response:
        report = await health.report()
        return JSONResponse({"status": report.status}, 200 if report.ready else 503)

    app.add_route("/health", status, include_in_schema=False)
    app.add_route("/ready", status, include_in_schema=False)
