"""Errors on the wire: application/problem+json (RFC 9457) for every one of them.

Owns the mapping from our exception tree, Starlette's and FastAPI's errors to an answer. The token
endpoint alone speaks RFC 6749 (`OAuthError`). Never says what was sent: a rejected password must
not come back in a 422.
"""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from opentelemetry import trace
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from twelvefold.context import current_request_id
from twelvefold.errors import (
    BadRequest,
    FieldError,
    OAuthError,
    TwelvefoldError,
    UnprocessableContent,
    UnsupportedMedia,
    json_pointer,
)
from twelvefold.observability.redaction import redact

MEDIA_TYPE = "application/problem+json"
MAX_INSTANCE = 2_048  # characters of the path that a problem repeats
_log = structlog.get_logger(__name__)


class ProblemError(BaseModel):
    """One fault of the input."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) below /body, /query, /path, /header or /cookie."
    )
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/not-found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "There is no such image.",
                    "instance": "/api/v1/images/0190f7a0-0000-7000-8000-000000000000",
                    "request_id": "0190f7a000007000800000000000000a",
                }
            ]
        }
    )

    type: str = Field(description="Stable URI reference of the kind of problem.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="Path of the request.")
    request_id: str | None = Field(None, description="As in X-Request-ID; quote it to support.")
    errors: list[ProblemError] | None = Field(None, description="Faults of the input, if known.")


class RequestRefused(HTTPException):
    """A bound refused the request while its body was being read.

    An HTTPException, since FastAPI lets only those through where it reads a body; it passes the
    handlers here and is answered by the layer that raised it.
    """

    def __init__(self, error: TwelvefoldError) -> None:
        super().__init__(error.status, error.detail)
        self.error = error


def type_uri(code: str) -> str:
    """The stable `type` of problems with this code."""
    return f"/problems/{code}"


def _rendered(
    scope: Scope,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: Iterable[FieldError] = (),
) -> bytes:
    members: dict[str, Any] = {
        "type": type_uri(code),
        "title": title,
        "status": status,
        "detail": detail,
        "instance": redact(scope["path"][:MAX_INSTANCE]),
        "request_id": current_request_id(),
    }
    if found := [{"pointer": error.pointer, "detail": error.detail} for error in errors]:
        members["errors"] = found
    return json.dumps(members).encode()


def problem_response(error: TwelvefoldError, scope: Scope) -> Response:
    """The answer to one of our errors; usable in front of the app and outside it as well."""
    if isinstance(error, OAuthError):
        body = {"error": error.error, "error_description": error.detail}
        return Response(
            json.dumps(body).encode(),
            error.oauth_status,
            headers=error.headers,
            media_type="application/json",
        )
    content = _rendered(
        scope,
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        errors=error.errors,
    )
    return Response(content, error.status, headers=error.headers, media_type=MEDIA_TYPE)


def internal_error(scope: Scope) -> Response:
    """The last resort; the cause is in the log under the same request id."""
    return problem_response(TwelvefoldError("An error on our side; it has been recorded."), scope)


def _kinds(kind: type[TwelvefoldError]) -> Iterable[tuple[int, tuple[str, str]]]:
    for child in kind.__subclasses__():
        yield child.status, (child.code, child.title)
        yield from _kinds(child)


# Code and title by status: as in our own tree where a class of it has that status (the first one
# listed is the general one), so that a 404 of the router looks like any other.
_BY_STATUS: dict[int, tuple[str, str]] = {
    **dict(reversed(list(_kinds(TwelvefoldError)))),
    405: ("method-not-allowed", "Method not allowed"),
    406: ("not-acceptable", "Not acceptable"),
    500: (TwelvefoldError.code, TwelvefoldError.title),
}
_DETAILS = {
    404: "There is nothing at this path.",
    405: "Method not allowed. See the Allow header.",
}


def code_and_title(status: int) -> tuple[str, str]:
    """The code and title of problems with this status."""
    if found := _BY_STATUS.get(status):
        return found
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return f"http-{status}", title


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
    code, title = code_and_title(status)
    default = error.detail == _phrase(status)
    detail = _DETAILS.get(status, title) if default else error.detail
    content = _rendered(request.scope, status=status, code=code, title=title, detail=detail)
    return Response(content, status, headers=error.headers, media_type=MEDIA_TYPE)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it only
    return problem_response(_refusal(request, error.errors()), request.scope)


def _refusal(request: Request, found: Iterable[Mapping[str, Any]]) -> TwelvefoldError:
    found = list(found)
    for item in found:
        if item["type"] == "json_invalid":
            position = item["loc"][-1]
            return BadRequest(f"The body is not valid JSON (at character {position}).")
    if any(tuple(item["loc"]) == ("body",) for item in found) and _is_foreign(request):
        return UnsupportedMedia("Send the body as application/json.")
    return UnprocessableContent(
        "The request is well-formed, but its content is at fault.",
        errors=[FieldError(json_pointer(item["loc"]), item["msg"]) for item in found],
    )


def _is_foreign(request: Request) -> bool:
    """Whether there is a body, and it is not JSON by its own account."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return False
    essence = headers.get("content-type", "").partition(";")[0].strip().lower()
    return essence != "application/json" and not essence.endswith("+json")


async def _on_unexpected(request: Request, _: Exception) -> Response:
    # Logged by the request layer, which sees it again.
    return internal_error(request.scope)


EXCEPTION_HANDLERS: dict[Any, Any] = {
    TwelvefoldError: _on_twelvefold,
    HTTPException: _on_http,
    RequestValidationError: _on_validation,
    Exception: _on_unexpected,
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: these statuses answer with a problem."""
    return {
        status: {
            "description": code_and_title(status)[1],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
