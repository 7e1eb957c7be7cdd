"""Errors on the wire: application/problem+json (RFC 9457) for every one of them.

Owns the mapping from our exception tree, Starlette's and FastAPI's errors to an answer, and the
OpenAPI description of it. The token endpoint alone speaks RFC 6749 (`OAuthError`).
Never says what was sent: a rejected password must not come back in a 422.
"""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from twelvefold.errors import FieldError, Invalid, OAuthError, TwelvefoldError

from .context import current_request_id

MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger(__name__)


class ProblemError(BaseModel):
    """One fault of the input."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) below /body, /query, /path or /header."
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
                    "detail": "no such image",
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


def type_uri(code: str) -> str:
    """The stable `type` of problems with this code."""
    return f"/problems/{code}"


def render(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    instance: str,
    errors: Iterable[FieldError] = (),
) -> bytes:
    """The body of a problem."""
    members: dict[str, Any] = {
        "type": type_uri(code),
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "request_id": current_request_id(),
    }
    if found := [{"pointer": error.pointer, "detail": error.detail} for error in errors]:
        members["errors"] = found
    return json.dumps(members, ensure_ascii=False).encode("utf-8", "replace")


def problem_response(error: TwelvefoldError, scope: Scope) -> Response:
    """The answer to one of our errors; usable before and outside the app as well."""
    if isinstance(error, OAuthError):
        body = {"error": error.error, "error_description": error.detail}
        return Response(
            json.dumps(body).encode(),
            error.oauth_status,
            headers=error.headers,
            media_type="application/json",
        )
    content = render(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        instance=scope["path"],
        errors=error.errors,
    )
    return Response(content, error.status, headers=error.headers, media_type=MEDIA_TYPE)


def internal_error(scope: Scope) -> Response:
    """The last resort; the cause is in the log under the same request id."""
    return problem_response(TwelvefoldError("An error on our side; it has been recorded."), scope)


# Codes of Starlette's own errors; those that we raise too share one.
_CODES = {
    400: "bad-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    409: "conflict",
    412: "precondition-failed",
    413: "payload-too-large",
    415: "unsupported-media-type",
    416: "range-not-satisfiable",
    422: "invalid",
    429: "too-many-requests",
    500: "internal",
    503: "unavailable",
}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


async def _on_twelvefold(request: Request, error: Exception) -> Response:
    assert isinstance(error, TwelvefoldError)  # noqa: S101 - registered for it only
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.__cause__ is not None:
        _log.warning("dependency_error", error=str(error), cause=repr(error.__cause__))
    return problem_response(error, request.scope)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it only
    status = error.status_code
    if status < HTTPStatus.BAD_REQUEST or status in (204, 304):
        return Response(status_code=status, headers=error.headers)
    title = _phrase(status)
    content = render(
        status=status,
        code=_CODES.get(status, f"http-{status}"),
        title=title,
        detail=error.detail or title,
        instance=request.scope["path"],
    )
    return Response(content, status, headers=error.headers, media_type=MEDIA_TYPE)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it only
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return problem_response(_malformed(found), request.scope)
    return problem_response(
        Invalid("The request is well-formed, but its content is at fault.", errors=faults(found)),
        request.scope,
    )


def _malformed(found: Iterable[Mapping[str, Any]]) -> TwelvefoldError:
    from twelvefold.errors import BadRequest

    at = next((item["loc"][-1] for item in found if item["type"] == "json_invalid"), None)
    where = f" at position {at}" if isinstance(at, int) else ""
    return BadRequest(f"The body is not valid JSON{where}.")


def faults(found: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """Errors of pydantic as pointers and texts, without what was sent."""
    return [FieldError(pointer(item["loc"]), item["msg"]) for item in found]


def pointer(location: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901 section 3) from pydantic's location."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    # Logged by the request layer, which sees it again.
    return internal_error(request.scope)


EXCEPTION_HANDLERS: dict[Any, Any] = {
    Exception: _on_unexpected,
    TwelvefoldError: _on_twelvefold,
    HTTPException: _on_http,
    RequestValidationError: _on_validation,
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: these statuses answer with a problem."""
    return {
        status: {
            "description": _phrase(status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
