"""Calls of operations and of the token endpoints, and what their responses hold."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import httpx

from .exchange import Call
from .generated.client import Operation
from .generated.types import Response
from .problems import NotModified
from .tokens import TIMEOUT, Tokens
from .uploads import UploadStream

T = TypeVar("T")
CONNECT_TIMEOUT = 5.0  # seconds
TOKEN_PATH, REVOKE_PATH = "/api/v1/auth/token", "/api/v1/auth/revoke"
HEADERS = {
    "Accept": "application/json, application/problem+json",
    "User-Agent": f"twelvefold-client-python/{version('twelvefold-client')}",
}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_KEY = "idempotency-key"
_NOT_MODIFIED, _ERROR = 304, 400

Builder = Callable[..., httpx.Request]


def make_call(operation: Operation[Any], request: dict[str, Any], build: Builder) -> Call:
    """Return the call of an operation, with a new Idempotency-Key where it takes one."""
    request = dict(request)
    headers = dict(request.pop("headers", {}))
    if operation.takes_key:
        headers.setdefault(_KEY, str(uuid.uuid4()))
    content = request.pop("content", None)
    upload = None if content is None else UploadStream(content)
    if upload is not None:
        headers["Content-Length"] = str(upload.length)

    def build_request(access: str | None) -> httpx.Request:
        sent = headers if access is None else {**headers, "Authorization": f"Bearer {access}"}
        made = build(**request, headers=sent)
        if upload is None:
            return made
        return httpx.Request(
            made.method,
            made.url,
            headers=made.headers,
            stream=upload,
            extensions=made.extensions,
        )

    return Call(
        operation.name,
        request["method"],
        build_request,
        needs_token=operation.needs_token,
        idempotency_key=headers.get(_KEY),
    )


def read_response(operation: Operation[T], response: httpx.Response) -> Response[T]:
    """Return what the response holds. Raises NotModified for a 304."""
    if response.status_code == _NOT_MODIFIED:
        raise NotModified("the caller's copy is current")
    if response.status_code >= _ERROR:  # a repeated DELETE: the first one did it
        return Response(204, response.headers, cast("T", None))
    return Response(response.status_code, response.headers, operation.parse(response))


def make_login(build: Builder, email: str, password: str) -> Call:
    """Return the call that opens a session. It is not repeated: each one opens another."""
    form = {"grant_type": "password", "username": email, "password": password}
    return _make_form_call("create_token", build, TOKEN_PATH, form)


def make_renewal(build: Builder, refresh: str) -> Call:
    """Return the call that exchanges the refresh token; see `tokens` for how long it may repeat."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    return _make_form_call(
        "create_token", build, TOKEN_PATH, form, repeatable=True, timeout=TIMEOUT
    )


def make_revocation(build: Builder, tokens: Tokens) -> Call:
    """Return the call that ends the session (RFC 7009), which may be repeated."""
    form = {"token": tokens.refresh or tokens.access}
    return _make_form_call("revoke_token", build, REVOKE_PATH, form, repeatable=True)


def make_watch(build: Builder, job_id: object, headers: dict[str, str], timeout: float) -> Call:
    """Return the call that opens the event stream of a job."""

    def build_request(access: str | None) -> httpx.Request:
        sent = headers if access is None else {**headers, "Authorization": f"Bearer {access}"}
        limits = httpx.Timeout(timeout, connect=CONNECT_TIMEOUT)
        return build("GET", f"/api/v1/jobs/{job_id}/events", headers=sent, timeout=limits)

    return Call("watch_job", "GET", build_request, needs_token=True, is_stream=True)


def _make_form_call(
    name: str,
    build: Builder,
    path: str,
    form: dict[str, str],
    *,
    repeatable: bool = False,
    timeout: float | None = None,
) -> Call:
    more: dict[str, Any] = {} if timeout is None else {"timeout": timeout}

    def build_request(_: str | None) -> httpx.Request:
        return build("POST", path, headers=_FORM, content=urlencode(form).encode(), **more)

    return Call(name, "POST", build_request, needs_token=False, repeatable=repeatable)
