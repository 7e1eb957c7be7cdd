"""The one exception tree. Services raise these; twelvefold.http turns them into problem+json.

Owns what a failure means (its HTTP status, its stable type) and nothing of how it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of the input: where (an RFC 6901 JSON pointer) and what; never the value."""

    pointer: str
    detail: str


class TwelvefoldError(Exception):
    """An unexpected failure; root of every error that is raised on purpose.

    `code` names the problem type, stable for clients; `detail` is safe to show to them.
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
        challenge = 'Bearer realm="twelvefold"'
        if token_error:
            challenge += f', error="{token_error}"'
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class ReauthenticationRequired(Unauthenticated):
    """The token counts, but its login is too old for what is asked (RFC 9470 section 3)."""

    code, title = "reauthentication-required", "A fresh login is required"

    def __init__(self, detail: str = "", *, max_age: int = 0) -> None:
        """`max_age` is the most seconds that the login may be old."""
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
    """Understood, but the content is at fault."""

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
    """Cannot be done now, will be later. `retry_after` is in seconds."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, detail: str = "", *, retry_after: int = 2) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after))})


class Overloaded(Unavailable):
    """A bound of our own is reached: refused fast instead of queued for long."""

    code, title = "overloaded", "Too busy"


class LoopStalled(Overloaded):
    """Our own event loop stood still for so long that a call could not be judged."""

    def __init__(self) -> None:
        super().__init__("this process is too busy at the moment", retry_after=1)


class TransactionConflict(Unavailable):
    """Undone so that another could go on (a deadlock): likely to work at once."""


class DependencyUnavailable(Unavailable):
    """A backing service or another service does not answer."""

    code = "dependency-unavailable"

    def __init__(self, name: str, *, retry_after: int = 2) -> None:
        super().__init__(f"{name} does not answer at the moment", retry_after=retry_after)
        self.name = name


class Rejected(TwelvefoldError):
    """The input of a job, or a mail's recipient, is at fault: never retried."""

    status, code, title = 422, "rejected", "Rejected"


class OAuthError(TwelvefoldError):
    """A token endpoint's error: answered in the form of RFC 6749 section 5.2, not as a problem."""

    status, code, title = 400, "invalid_request", "Token request refused"

    def __init__(self, error: str, detail: str, *, status: int = 400) -> None:
        super().__init__(detail, headers={"Cache-Control": "no-store"})
        self.error = error
        self.oauth_status = status
