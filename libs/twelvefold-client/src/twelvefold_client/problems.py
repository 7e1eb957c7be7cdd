"""What a call raises. Every error of this package is a `TwelvefoldError`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

_MAX_TEXT = 500  # characters of a response that is no problem document


class TwelvefoldError(Exception):
    """Root of the errors that calls raise."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the input: its place in the request (JSON pointer, RFC 6901) and kind."""

    pointer: str
    detail: str


class ApiProblem(TwelvefoldError):
    """The API refused the call: a problem document (RFC 9457), or another error response.

    Decide by `type`, or by `code`, its last part; GET `type` explains it.
    """

    def __init__(
        self,
        *,
        status: int,
        type: str,  # noqa: A002  (the name in RFC 9457)
        title: str,
        detail: str,
        request_id: str | None = None,
        instance: str | None = None,
        errors: Sequence[Fault] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {type}: {detail} (request {request_id})")
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.instance = instance
        self.errors = tuple(errors)
        self.retry_after = retry_after  # seconds, where the response names them

    @property
    def code(self) -> str:
        """The last part of `type`, for example `not-found`."""
        return self.type.rpartition("/")[2]


class TokenRefused(TwelvefoldError):
    """The token endpoint refused a grant (RFC 6749 section 5.2), for example `invalid_grant`."""

    def __init__(self, error: str, description: str, *, request_id: str | None = None) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.request_id = request_id


class LoginRequired(TwelvefoldError):
    """There is no session, or it has ended: log in again."""


class NotModified(TwelvefoldError):
    """The caller's copy is current (304); only where the call sent If-None-Match."""


class Unreachable(TwelvefoldError):
    """The API did not answer in time, and nothing was changed: the call may be repeated."""


class OutcomeUnknown(TwelvefoldError):
    """The call may or may not have had its effect, and repeating it could have the effect twice.

    `__cause__` says what happened last. Read the resource to learn the outcome. With
    `idempotency_key`, the same call with the same key is safe for 24 hours.
    """

    def __init__(self, operation: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(f"the outcome of {operation} is unknown")
        self.operation = operation
        self.idempotency_key = idempotency_key


def read_error(response: httpx.Response) -> ApiProblem | TokenRefused:
    """Return the error that a response with a status from 400 states. Its body must be read."""
    request_id = response.headers.get("x-request-id")
    try:
        body = response.json()
    except ValueError:
        body = None
    members = body if isinstance(body, dict) else {}
    if isinstance(members.get("error"), str):
        description = str(members.get("error_description", ""))
        return TokenRefused(members["error"], description, request_id=request_id)
    faults = members.get("errors")
    return ApiProblem(
        status=response.status_code,
        type=str(members.get("type", "about:blank")),
        title=str(members.get("title", response.reason_phrase)),
        detail=str(members.get("detail", response.text[:_MAX_TEXT])),
        request_id=request_id or members.get("request_id"),
        instance=members.get("instance"),
        errors=[
            Fault(str(fault.get("pointer", "")), str(fault.get("detail", "")))
            for fault in (faults if isinstance(faults, list) else [])
            if isinstance(fault, dict)
        ],
        retry_after=_read_retry_after(response),
    )


def _read_retry_after(response: httpx.Response) -> float | None:
    seconds = response.headers.get("retry-after", "")
    return float(seconds) if seconds.isdecimal() else None
