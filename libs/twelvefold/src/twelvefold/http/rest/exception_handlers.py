"""The responses to exceptions: those of `errors` and of Starlette.

`validation` owns those of FastAPI, which the management app does without.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from opentelemetry import trace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from twelvefold.errors import TwelvefoldError

from .problems import RequestRefused, internal_error, problem_response, status_response

_log = structlog.get_logger(__name__)


async def _on_twelvefold(request: Request, error: Exception) -> Response:
    assert isinstance(error, TwelvefoldError)  # noqa: S101 - registered for it only
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        cause = repr(error.__cause__) if error.__cause__ else None
        _log.warning("unavailable", code=error.code, detail=error.detail, cause=cause)
        trace.get_current_span().record_exception(error)
    return problem_response(error, request.scope)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it only
    if isinstance(error, RequestRefused):
        raise error
    status = error.status_code
    if status < HTTPStatus.BAD_REQUEST:
        return Response(status_code=status, headers=error.headers)
    return status_response(request.scope, status, error.detail, error.headers)


async def _on_unexpected(request: Request, _: Exception) -> Response:
    # The request middleware logs the error, since Starlette raises it again.
    return internal_error(request.scope)


EXCEPTION_HANDLERS: dict[Any, Any] = {
    TwelvefoldError: _on_twelvefold,
    HTTPException: _on_http,
    Exception: _on_unexpected,
}
