"""Error responses: application/problem+json (RFC 9457).

`exception_handlers` maps exceptions to them. Only the token endpoint has errors of another form
(RFC 6749, `OAuthError`). A problem never repeats a value of the request body, since a rejected
password must not appear in a 422. Imports no large package, because the server uses it without an
app.
"""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from twelvefold.context import current_request_id
from twelvefold.errors import (
    REALM,
    FieldError,
    OAuthError,
    TwelvefoldError,
)
from twelvefold.observability.redaction import redact

MEDIA_TYPE = "application/problem+json"
_CHALLENGE = "WWW-Authenticate"
MAX_INSTANCE = 2_048  # characters of the path that a problem repeats
_DETAILS = {
    404: "There is nothing at this path.",
    405: "Method not allowed. See the Allow header.",
}
MAX_ERRORS = 100  # faults that a problem lists; a large body may have any number


class RequestRefused(HTTPException):
    """The request exceeded a bound while its body was read.

    It is an HTTPException, since FastAPI passes only those on where it reads a body. The exception
    handlers raise it again for the middleware that raised it.
    """

    def __init__(self, error: TwelvefoldError) -> None:
        super().__init__(error.status, error.detail)
        self.error = error


def type_uri(code: str) -> str:
    """Return the stable `type` of problems with this code."""
    return f"/problems/{code}"


def _render(
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
    listed = islice(errors, MAX_ERRORS)
    if faults := [{"pointer": error.pointer, "detail": error.detail} for error in listed]:
        members["errors"] = faults
    return json.dumps(members).encode()


def problem_response(error: TwelvefoldError, scope: Scope) -> Response:
    """Return the response to `error`; also for use outside the app's exception handlers."""
    if isinstance(error, OAuthError):
        body = {"error": error.error, "error_description": error.detail}
        return Response(
            json.dumps(body).encode(),
            error.oauth_status,
            headers=error.headers,
            media_type="application/json",
        )
    content = _render(
        scope,
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        errors=error.errors,
    )
    return Response(content, error.status, headers=_headers(error, scope), media_type=MEDIA_TYPE)


def _headers(error: TwelvefoldError, scope: Scope) -> Mapping[str, str]:
    """Return the error's headers, with the realm of the app that responds."""
    challenge = error.headers.get(_CHALLENGE)
    realm = getattr(getattr(scope.get("app"), "state", None), "realm", REALM)
    if challenge is None or realm == REALM:
        return error.headers
    named = challenge.replace(f'realm="{REALM}"', f'realm="{realm}"', 1)
    return {**error.headers, _CHALLENGE: named}


def status_response(
    scope: Scope, status: int, detail: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Return the problem of a status alone. A `detail` that says no more is replaced."""
    code, title = code_and_title(status)
    if detail in ("", _phrase(status)):
        detail = _DETAILS.get(status, title)
    content = _render(scope, status=status, code=code, title=title, detail=detail)
    return Response(content, status, headers=headers, media_type=MEDIA_TYPE)


def internal_error(scope: Scope) -> Response:
    """Return a 500 without a cause, which is in the log under the same request id."""
    error = TwelvefoldError("The server failed to handle the request. The error was logged.")
    return problem_response(error, scope)


def _list_codes(parent: type[TwelvefoldError]) -> Iterable[tuple[int, tuple[str, str]]]:
    for child in parent.__subclasses__():
        yield child.status, (child.code, child.title)
        yield from _list_codes(child)


# Code and title by status: those of the first class of `errors` with that status, which is the
# general one, so that a 404 of the router has the same type as any other.
_BY_STATUS: dict[int, tuple[str, str]] = {
    **dict(reversed(list(_list_codes(TwelvefoldError)))),
    405: ("method-not-allowed", "Method not allowed"),
    406: ("not-acceptable", "Not acceptable"),
    500: (TwelvefoldError.code, TwelvefoldError.title),
}


def code_and_title(status: int) -> tuple[str, str]:
    """Return the code and title of problems with this status."""
    if known := _BY_STATUS.get(status):
        return known
    return f"http-{status}", _phrase(status) or "Error"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return `responses=` of a route, in which these statuses are problems."""
    return {
        status: {
            "description": code_and_title(status)[1],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
