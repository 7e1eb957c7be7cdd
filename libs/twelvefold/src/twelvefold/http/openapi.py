"""The OpenAPI document: FastAPI's, completed by what the layers around the routes answer and ask.

Each route declares its own responses. There is no `default` response, because it would hide a
status that a route forgot to declare.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import BaseRoute

from twelvefold.http.callers import CALLERS
from twelvefold.http.rest.problems import MAX_ERRORS, MEDIA_TYPE, code_and_title, type_uri

# Any request may be malformed, cause an internal error, or need an unavailable dependency.
COMMON_STATUSES = (400, 500, 503)
PROBES = "health"  # tag of operations without rate limits
_REF = {"schema": {"$ref": "#/components/schemas/Problem"}}
_FASTAPI_ONLY = ("HTTPValidationError", "ValidationError")
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_FORM = "application/x-www-form-urlencoded"
_REQUEST_ID = "0198c5f07b2a7c318f4d93b7e05d6a22"


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
    errors: list[ProblemError] | None = Field(
        None, max_length=MAX_ERRORS, description="Faults of the input, if known."
    )


def header(description: str, example: str, kind: str = "string") -> dict[str, Any]:
    """Return an OpenAPI header object."""
    return {"description": description, "schema": {"type": kind}, "example": example}


CONTACT = {"name": "Twelvefold", "url": "https://github.com/twelvefold/twelvefold"}
LICENSE = {"name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}
_CALLER_SCHEMES = {
    "caller": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Caller",
        "description": "The name of the calling service.",
    },
    "caller_secret": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Caller-Secret",
        "description": "The secret of the calling service, for this service alone.",
    },
}
# draft-ietf-httpapi-ratelimit-headers
RATE_LIMIT = ("RateLimit-Policy", "RateLimit")
_HEADERS = {
    "X-Request-ID": header("Id of the request: the client's own if it sent one.", _REQUEST_ID),
    "Retry-After": header("Seconds to wait before trying again.", "2"),
    "WWW-Authenticate": header(
        "What is wrong with the credentials (RFC 6750).", 'Bearer realm="twelvefold"'
    ),
    "RateLimit-Policy": header("Quota and window in seconds, by policy.", '"user";q=300;w=60'),
    "RateLimit": header("What remains, and seconds until it is whole.", '"user";r=299;t=1'),
}
_DEPRECATED = {
    "Deprecation": header("Deprecated since then (RFC 9745).", "@1767225600"),
    "Sunset": header("Stops to answer then (RFC 8594).", "Wed, 01 Jul 2026 00:00:00 GMT"),
}
# Beside X-Request-ID, by status of a problem.
_BY_STATUS = {
    "401": ("WWW-Authenticate",),
    "409": ("Retry-After",),  # only while the first request with a key is running
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each operation of the document with its path."""
    for path, item in document.get("paths", {}).items():
        for method, operation in item.items():
            if method in _METHODS:
                yield path, operation


def describe_server(title: str, url: str | None) -> dict[str, Any]:
    """Return the server of a document: the public URL of production, else where it was read."""
    if url is None:
        description = f"{title}, where this document was read: local, staging or production"
        return {"url": "/", "description": description, "x-internal": False}
    return {"url": url, "description": f"{title} in production", "x-internal": False}


def describe_access(document: dict[str, Any], routes: Iterable[BaseRoute]) -> None:
    """State what each operation requires, in place: nothing, a token, a caller's secret, or both.

    FastAPI has stated the tokens; the secrets are those of `require_caller`.
    """
    guarded = {
        (route.path_format, method.lower())
        for route in routes
        if isinstance(route, APIRoute) and _requires_caller(route.dependant)
        for method in route.methods or ()
    }
    if guarded:
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes.update(_CALLER_SCHEMES)
    caller: dict[str, list[str]] = {name: [] for name in _CALLER_SCHEMES}
    for path, item in document.get("paths", {}).items():
        for method in item.keys() & _METHODS:
            required = item[method].setdefault("security", [])
            if (path, method) in guarded:
                item[method]["security"] = [{**caller, **one} for one in required or [{}]]


def _requires_caller(dependant: Dependant) -> bool:
    return hasattr(dependant.call, CALLERS) or any(
        _requires_caller(inner) for inner in dependant.dependencies
    )


def complete_parameters(document: dict[str, Any]) -> None:
    """Describe parameters as they are on the wire, in place and idempotently.

    A query or header field is left out, never null. If-Match is required where its absence is 428,
    although a required header would make FastAPI answer 422.
    """
    for _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            described = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
            if len(described) == 1:
                del schema["anyOf"]
                schema.update({**described[0], **schema})
            if parameter["name"] == "if-match" and "428" in operation["responses"]:
                parameter["required"] = True


def add_problem_responses(document: dict[str, Any], *, limited: bool = False) -> dict[str, Any]:
    """Describe errors as problems, in place and idempotently; return the document.

    Each operation gets the statuses of COMMON_STATUSES, 413, 415 and 422 where it takes a body, and
    401 and 403 where it requires a token, unless it describes them itself. With `limited` all but
    the probes get 429.
    """
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for name in _FASTAPI_ONLY:
        schemas.pop(name, None)
    unused = frozenset() if limited else frozenset(RATE_LIMIT)
    headers = {name: field for name, field in _HEADERS.items() if name not in unused}
    components.setdefault("headers", {}).update(headers)
    shared = components.setdefault("responses", {})
    for _, operation in operations(document):
        responses = operation.setdefault("responses", {})
        counted = limited and PROBES not in operation.get("tags", ())
        for status in (*COMMON_STATUSES, *_find_statuses(operation, limited=limited)):
            described = responses.setdefault(str(status), _describe_problem(status))
            if "$ref" not in described:  # a response of another form can be a problem as well
                described.setdefault("content", {}).setdefault(MEDIA_TYPE, dict(_REF))
        for status, response in responses.items():
            responses[status] = _complete(status, response, shared, limited=counted)
            if operation.get("deprecated") and "$ref" not in responses[status]:
                responses[status]["headers"].update(_DEPRECATED)
        operation["responses"] = dict(sorted(responses.items()))
    components["responses"] = dict(sorted(shared.items()))
    return document


def _find_statuses(operation: dict[str, Any], *, limited: bool) -> Iterator[int]:
    if limited and PROBES not in operation.get("tags", ()):
        yield 429
    if operation.get("security"):
        yield from (401, 403)
    if body := operation.get("requestBody"):
        yield from (413, 422)  # too large; with a NUL
        if _FORM not in body["content"]:
            yield 415


def _describe_problem(status: int) -> dict[str, Any]:
    return {"description": code_and_title(status)[1], "content": {MEDIA_TYPE: dict(_REF)}}


def _complete(
    status: str, response: dict[str, Any], shared: dict[str, dict[str, Any]], *, limited: bool
) -> dict[str, Any]:
    """Return the response with its headers; a plain problem as a reference to the shared one.

    `limited`: a rate limit counts the operation, so that clients see the balance in its 4xx.
    """
    if "$ref" in response:
        return response
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    if schema.get("$ref", "").endswith("/HTTPValidationError"):
        response = _describe_problem(int(status))
    is_plain = response == _describe_problem(int(status))
    headers = response.setdefault("headers", {})
    further = _BY_STATUS.get(status, ()) if MEDIA_TYPE in response.get("content", {}) else ()
    balance = RATE_LIMIT if limited and "400" <= status < "500" else ()
    for name in ("X-Request-ID", *further, *balance):
        headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})
    if not is_plain:
        return response
    code, title = code_and_title(int(status))
    response["content"][MEDIA_TYPE]["example"] = _example(int(status), code, title)
    name = "".join(word.capitalize() for word in code.split("-"))
    shared.setdefault(name, response)
    return {"$ref": f"#/components/responses/{name}"}


def _example(status: int, code: str, title: str) -> dict[str, Any]:
    return {
        "type": type_uri(code),
        "title": title,
        "status": status,
        "detail": title,
        "instance": "/api/v1/images",
        "request_id": _REQUEST_ID,
    }
