"""The composition root of the console: its routes, error handlers and middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from twelvefold_dev.console.sources.jobs import JobsUnavailable

from .access_control import AccessControl
from .api import Api
from .pages import Pages
from .problem import problem
from .state import ConsoleState

# The paths of the views. All return the same page, which shows the view of its path.
_VIEWS = (
    "/",
    "/requests",
    "/traces/{trace_id}",
    "/jobs",
    "/jobs/{job_id}",
    "/mail",
    "/mail/{name}",
    "/logs",
    "/metrics",
    "/stack",
)


def create_app(state: ConsoleState) -> ASGIApp:
    """Create the app of one process. Its lifespan runs the loops of `state`."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with state.running():
            yield

    async def livez(_: Request) -> Response:
        return Response("ok", media_type="text/plain")

    async def on_http_exception(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 (registered for this type only)
        return problem(error.status_code, error.detail)

    async def on_jobs_unavailable(_: Request, error: Exception) -> Response:
        return problem(503, str(error))

    async def on_error(_: Request, error: Exception) -> Response:
        return problem(500, f"The console failed: {type(error).__name__}. See its log.")

    pages = Pages()
    app = Starlette(
        routes=[
            Route("/livez", livez),
            Route("/v1/traces", state.receiver),
            Route("/api/events", state.live),
            *Api(state).routes,
            Route("/static/{name:path}", pages.file),
            *(Route(path, pages.page) for path in _VIEWS),
        ],
        exception_handlers={
            HTTPException: on_http_exception,
            JobsUnavailable: on_jobs_unavailable,
            Exception: on_error,
        },
        lifespan=lifespan,
    )
    port = urlsplit(state.config.url).port or 80
    return AccessControl(app, port=port, token=state.config.token)
