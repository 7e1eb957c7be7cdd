"""The catalogue of problem types: what each means, what to do, and whether to repeat the request.

Owns the advice to clients. `errors` owns codes, titles and statuses, and `problems` the responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from twelvefold import errors
from twelvefold.errors import TwelvefoldError

from .problems import code_and_title, type_uri

Repeat = Literal["no", "if_safe", "yes"]
_REPEAT = (
    "`no`: the same request fails again, so change it. `if_safe`: the outcome may be unknown, so "
    "repeat GET, PUT and DELETE, and POST with the same Idempotency-Key. `yes`: nothing was done, "
    "so repeat any request after `Retry-After`."
)


_EXAMPLE: dict[str, Any] = {
    "type": "/problems/precondition-failed",
    "code": "precondition-failed",
    "status": 412,
    "title": "The resource has changed",
    "meaning": "If-Match did not match (RFC 9110 section 15.5.13).",
    "advice": "Read the resource again, apply the change to the new version, and send its ETag.",
    "repeat": "no",
}


class ProblemType(BaseModel):
    """A kind of problem (RFC 9457 section 4): the page behind the member `type` of an error."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})

    type: str = Field(description="The member `type` of problems of this kind.")
    code: str = Field(description="The last part of `type`.")
    status: int = Field(ge=400, le=599, description="The HTTP status of the response.")
    title: str = Field(description="The member `title` of problems of this kind.")
    meaning: str = Field(description="What happened.")
    advice: str = Field(description="What to do.")
    repeat: Repeat = Field(description=_REPEAT)


class ProblemTypeList(BaseModel):
    """Every kind of problem, by status and code."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_EXAMPLE]}]})

    items: list[ProblemType] = Field(json_schema_extra={"maxItems": 100})


# Of an error in `errors`: what to do, whether to repeat. Its docstring states the meaning.
_ADVICE: dict[str, tuple[str, Repeat]] = {
    "bad-request": (
        "Correct the request as `detail` and `errors` say. For a used link, request a new one.",
        "no",
    ),
    "unauthenticated": (
        "Send a valid access token. Refresh an expired one; log in where the session has ended.",
        "no",
    ),
    "reauthentication-required": (
        "Log in with the password, then send the request with the new token.",
        "no",
    ),
    "forbidden": (
        "Use an account with the required role or a token with the required scope.",
        "no",
    ),
    "not-found": ("Check the path and the id. The resource may have been deleted.", "no"),
    "conflict": (
        "Read the resource, decide by its present state, and send another request.",
        "no",
    ),
    "request-in-progress": (
        "Wait for the seconds in `Retry-After` and send the same request with the same key.",
        "yes",
    ),
    "precondition-failed": (
        "Read the resource again, apply the change to the new version, and send its ETag.",
        "no",
    ),
    "payload-too-large": ("Send a smaller body.", "no"),
    "unsupported-media-type": (
        "Send a media type that the operation takes, without Content-Encoding.",
        "no",
    ),
    "invalid": ("Correct the members that `errors` points to.", "no"),
    "rejected": ("Start a new job with valid input.", "no"),
    "precondition-required": ("Read the resource and send its ETag as If-Match.", "no"),
    "too-many-requests": (
        "Wait for the seconds in `Retry-After`. `RateLimit` states what remains of the quota.",
        "yes",
    ),
    "internal": ("Report it and quote `request_id`. The cause is in the server's log.", "if_safe"),
    "dependency-unavailable": (
        "Try again after the seconds in `Retry-After`, each time later than before.",
        "if_safe",
    ),
    "overloaded": (
        "Try again after the seconds in `Retry-After`, each time later than before.",
        "yes",
    ),
    "unavailable": (
        "Try again after the seconds in `Retry-After`, each time later than before.",
        "if_safe",
    ),
}
# Problems that no error of `errors` raises: of the router, the server and the gateway.
_FURTHER: dict[int, tuple[str, str, Repeat]] = {
    405: (
        "The path exists, but not with this method.",
        "Use a method of the header `Allow`.",
        "no",
    ),
    406: (
        "There is no representation that `Accept` admits.",
        "Send another `Accept`, or none.",
        "no",
    ),
    408: ("The request did not arrive in time.", "Send it again, faster.", "if_safe"),
    414: ("The URL is too long.", "Send a shorter URL.", "no"),
    431: ("The header fields are too large.", "Send fewer or shorter header fields.", "no"),
    501: ("The server does not know the method.", "Use another method.", "no"),
    505: ("The server does not speak this version of HTTP.", "Use HTTP/1.1.", "no"),
}
_TIMEOUT = ProblemType(
    type=type_uri("timeout"),
    code="timeout",
    status=504,
    title="No answer in time",
    meaning="The gateway waited in vain for the API's response.",
    advice="Try again after the seconds in `Retry-After`, each time later than before.",
    repeat="if_safe",
)


PATH = "/problems"


@cache
def problem_types() -> Sequence[ProblemType]:
    """Return every kind of problem that the public API sends, by status and code."""
    return sorted(_list_types(), key=lambda found: (found.status, found.code))


def find_problem_type(code: str) -> ProblemType | None:
    """Return the kind of problem with this code."""
    return next((found for found in problem_types() if found.code == code), None)


def describe_problem_types(document: dict[str, Any], public_url: str | None) -> None:
    """List every kind of problem in the OpenAPI document with its page, in place.

    On the wire `type` is relative; the list names the pages of production where they are known.
    """
    base = (public_url or "").rstrip("/")
    document["x-problem-types"] = [
        {"url": f"{base}{found.type}", "status": found.status, "title": found.title}
        for found in problem_types()
    ]
    member = document["components"]["schemas"]["Problem"]["properties"]["type"]
    member["x-extensible-enum"] = [found.type for found in problem_types()]


def _list_types() -> Iterator[ProblemType]:
    codes = set()
    for error in _list_errors():
        if error.code not in codes:
            codes.add(error.code)
            advice, repeat = _ADVICE[error.code]
            yield ProblemType(
                type=type_uri(error.code),
                code=error.code,
                status=error.status,
                title=error.title,
                meaning=" ".join((error.__doc__ or "").partition("\n\n")[0].split()),
                advice=advice,
                repeat=repeat,
            )
    for status, (meaning, advice, repeat) in _FURTHER.items():
        code, title = code_and_title(status)
        yield ProblemType(
            type=type_uri(code),
            code=code,
            status=status,
            title=title,
            meaning=meaning,
            advice=advice,
            repeat=repeat,
        )
    yield _TIMEOUT


def _list_errors() -> Iterator[type[TwelvefoldError]]:
    """Yield the errors of `errors` that are sent as problems, the general ones first."""
    found = [TwelvefoldError]
    for error in found:
        found.extend(error.__subclasses__())
        if error.__module__ == errors.__name__ and not issubclass(error, errors.OAuthError):
            yield error
