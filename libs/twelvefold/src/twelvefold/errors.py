"""The exception tree. Services raise these errors; twelvefold.http sends them as problem+json.

Owns what a failure means (its HTTP status and its stable type), not how it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "BadRequest",
    "Conflict",
    "DependencyUnavailable",
    "FieldError",
    "Forbidden",
    "LoopStalled",
    "NotFound",
    "OAuthError",
    "Overloaded",
    "PayloadTooLarge",
    "PreconditionFailed",
    "PreconditionRequired",
    "ReauthenticationRequired",
    "Rejected",
    "TooManyRequests",
    "TransactionConflict",
    "TwelvefoldError",
    "Unauthenticated",
    "Unavailable",
    "UnprocessableContent",
    "UnsupportedMedia",
    "json_pointer",
]


# The realm of challenges, in whose place the response has that of the suite (SUITE_NAME).
REALM = "twelvefold"


@dataclass(frozen=True, slots=True)
class FieldError:
    """A fault of the input: its place (a JSON pointer, RFC 6901) and kind, never the value."""

    pointer: str
    detail: str


def json_pointer(location: Iterable[str | int]) -> str:
    """Return the JSON pointer (RFC 6901 section 3) of a location as pydantic gives it."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


class TwelvefoldError(Exception):
    """An unexpected failure; root of the errors that the suite raises on purpose.

    `code` names the problem type and is stable for clients; `detail` is safe to show to them.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.headers = headers or {}


class BadRequest(TwelvefoldError):
    """The request cannot be read: a malformed header, body or query."""

    status, code, title = 400, "bad-request", "Bad request"


class Unauthenticated(TwelvefoldError):
    """No or no valid credentials (RFC 9110 section 15.5.2, RFC 6750 section 3)."""

    status, code, title = 401, "unauthenticated", "Authentication required"

    def __init__(self, detail: str = "", *, token_error: str | None = None) -> None:
        challenge = f'Bearer realm="{REALM}"'
        if token_error:
            challenge += f', error="{token_error}"'
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class ReauthenticationRequired(Unauthenticated):
    """The token is valid, but its login is too old for the operation (RFC 9470 section 3)."""

    code, title = "reauthentication-required", "A fresh login is required"

    def __init__(self, detail: str = "", *, max_age: int = 0) -> None:
        """Require a login that is at most `max_age` seconds old."""
        super().__init__(detail, token_error="insufficient_user_authentication")  # noqa: S106  (an error's name, no secret)
        self.headers["WWW-Authenticate"] += f', max_age="{max_age}"'


class Forbidden(TwelvefoldError):
    """The credentials are valid, but do not permit this."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(TwelvefoldError):
    """There is no such resource, or the caller may not know of it."""

    status, code, title = 404, "not-found", "Not found"


class Conflict(TwelvefoldError):
    """The state of the resource does not permit this."""

    status, code, title = 409, "conflict", "Conflict with the present state"


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is still running; nothing was done."""

    code, title = "request-in-progress", "The first request is still running"

    def __init__(self, detail: str = "", *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after))})


class PreconditionFailed(TwelvefoldError):
    """If-Match did not match (RFC 9110 section 15.5.13)."""

    status, code, title = 412, "precondition-failed", "The resource has changed"


class PayloadTooLarge(TwelvefoldError):
    """The body exceeds the limit of this route."""

    status, code, title = 413, "payload-too-large", "Body too large"


class UnsupportedMedia(TwelvefoldError):
    """The body is of a type or encoding that this route does not take."""

    status, code, title = 415, "unsupported-media-type", "Media type not supported"


class UnprocessableContent(TwelvefoldError):
    """The request is well-formed, but its content is invalid (RFC 9110 section 15.5.21)."""

    status, code, title = 422, "invalid", "Invalid content"


class PreconditionRequired(TwelvefoldError):
    """If-Match is missing where it is required (RFC 6585 section 3)."""

    status, code, title = 428, "precondition-required", "If-Match is required"


class TooManyRequests(TwelvefoldError):
    """A rate limit or a quota is reached."""

    status, code, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, detail: str = "", *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after))})


class Unavailable(TwelvefoldError):
    """The operation cannot be done now and may be retried after `retry_after` seconds."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, detail: str = "", *, retry_after: int = 2) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after))})


class Overloaded(Unavailable):
    """A bound of this process is reached, so the request is refused instead of queued."""

    code, title = "overloaded", "Too busy"


class LoopStalled(Overloaded):
    """The event loop of this process was stalled for so long that a call has no valid result."""

    def __init__(self) -> None:
        super().__init__("The server is too busy. Try again.", retry_after=1)


class TransactionConflict(Unavailable):
    """A transaction was rolled back in favour of another one (a deadlock); a retry may succeed."""


class DependencyUnavailable(Unavailable):
    """A backing service or another service does not respond."""

    code = "dependency-unavailable"

    def __init__(self, name: str, *, retry_after: int = 2) -> None:
        super().__init__(f"The dependency {name} does not respond.", retry_after=retry_after)
        self.name = name


class Rejected(TwelvefoldError):
    """The input of a job, or the recipient of an email, is invalid; the job is never retried."""

    status, code, title = 422, "rejected", "Rejected"


class OAuthError(TwelvefoldError):
    """An error of the token endpoint, sent as RFC 6749 section 5.2 says, not as a problem."""

    status, code, title = 400, "invalid_request", "Token request refused"

    def __init__(self, error: str, detail: str, *, status: int = 400) -> None:
        super().__init__(detail, headers={"Cache-Control": "no-store"})
        self.error = error
        self.oauth_status = status
