"""Problems for requests that FastAPI finds invalid.

Owns the only part of the error responses that needs FastAPI, so that a process without routes of
its own, such as a worker, does not load it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from twelvefold.errors import (
    BadRequest,
    FieldError,
    TwelvefoldError,
    UnprocessableContent,
    UnsupportedMedia,
    json_pointer,
)

from .problems import problem_response


async def on_validation(request: Request, error: Exception) -> Response:
    """Handle RequestValidationError: return 400, 415 or 422 with a pointer to each fault."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it only
    return problem_response(_convert(request, error.errors()), request.scope)


def _convert(request: Request, faults: Sequence[Mapping[str, Any]]) -> TwelvefoldError:
    for fault in faults:
        if fault["type"] == "json_invalid":
            position = fault["loc"][-1]
            return BadRequest(f"The body is not valid JSON (at character {position}).")
    if any(tuple(fault["loc"]) == ("body",) for fault in faults) and _is_not_json(request):
        return UnsupportedMedia("Send the body as application/json.")
    return UnprocessableContent(
        "The request is well-formed, but its content is invalid.",
        errors=[FieldError(json_pointer(fault["loc"]), fault["msg"]) for fault in faults],
    )


def _is_not_json(request: Request) -> bool:
    """Return whether there is a body whose Content-Type is not JSON."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return False
    essence = headers.get("content-type", "").partition(";")[0].strip().lower()
    return essence != "application/json" and not essence.endswith("+json")
