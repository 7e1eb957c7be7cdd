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

from twelvefold_dev.console.actions.http_client import RequestFailed
from twelvefold_dev.console.actions.process_control import ChangeRefused
from twelvefold_dev.console.actions.resend import ResendRefused
from twelvefold_dev.console.endpoints.jobs import JobEndpoints
from twelvefold_dev.console.endpoints.mails import MailEndpoints
from twelvefold_dev.console.endpoints.processes import ProcessEndpoints
from twelvefold_dev.console.endpoints.recordings import RecordingEndpoints
from twelvefold_dev.console.endpoints.traces import TraceEndpoints
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
    "/queues",
    "/mail",
    "/mail/{name}",
    "/logs",
    "/metrics",
    "/stack",
)
# The groups of endpoints below /api/.
ENDPOINTS = (
    Api,
    JobEndpoints,
    MailEndpoints,
    ProcessEndpoints,
    RecordingEndpoints,
    TraceEndpoints,
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

    async def on_refusal(_: Request, error: Exception) -> Response:
        return problem(409, str(error))

    async def on_request_failed(_: Request, error: Exception) -> Response:
        return problem(502, str(error))

    async def on_error(_: Request, error: Exception) -> Response:
        return problem(500, f"The console failed: {type(error).__name__}. See its log.")

    pages = Pages()
    app = Starlette(
        routes=[
            Route("/livez", livez),
            Route("/v1/traces", state.receiver),
            Route("/api/events", state.live),
            *(route for group in ENDPOINTS for route in group(state).routes),
            Route("/static/{name:path}", pages.file),
            *(Route(path, pages.page) for path in _VIEWS),
        ],
        exception_handlers={
            HTTPException: on_http_exception,
            JobsUnavailable: on_jobs_unavailable,
            ChangeRefused: on_refusal,
            ResendRefused: on_refusal,
            RequestFailed: on_request_failed,
            Exception: on_error,
        },
        lifespan=lifespan,
    )
    port = urlsplit(state.config.url).port or 80
    return AccessControl(app, port=port, token=state.config.token)
