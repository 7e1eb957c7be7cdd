"""The client of calls between services.

It shows the secret of `callers`, and forwards the id, deadline, trace and routing headers of the
current request. It never retries, since retries belong to one layer, the mesh.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import urlencode

import aiohttp
import structlog
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue
from pydantic import SecretStr
from yarl import URL

from twelvefold.context import PING_PATH, current_request
from twelvefold.errors import (
    BadRequest,
    DependencyUnavailable,
    FieldError,
    NotFound,
    OAuthError,
    TooManyRequests,
    TwelvefoldError,
)
from twelvefold.observability import metrics, spans, telemetry
from twelvefold.resilience.circuit_breaker import Bulkhead

from .callers import CallerNotAllowed, CallerUnknown, reveal

DEADLINE_MARGIN = 0.05  # seconds reserved for the response after a callee has used up its time
MAX_CONNECTIONS = 100
KEEPALIVE_EXPIRY = 30.0  # seconds; below the callee's own, so that it does not close first
CONNECT_TIMEOUT = 3.0  # seconds; more than the two for which a busy node may stall
PING_TIMEOUT = 1.0  # seconds
MAX_RESPONSE_BYTES = 8 * 1024 * 1024  # of a response, which is kept as a whole
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_log = structlog.get_logger(__name__)
_CALLER_CODES = frozenset({CallerUnknown.code, CallerNotAllowed.code})


@dataclass(frozen=True, slots=True)
class InternalResponse:
    """A response with its whole body. Names of header fields are case-insensitive."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the parsed body. Raises ValueError where it is no JSON."""
        return json.loads(self.content)


class InternalClient:
    """A client of one service's internal port over a bounded connection pool.

    It calls aiohttp directly: httpx would take more CPU time than the rest of a cached read.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        caller: str,
        secret: SecretStr | str,
        timeout: float = 5.0,
    ) -> None:
        """Limit each call to `timeout` seconds, or less where the request's deadline is nearer."""
        self.name = name
        self._timeout = timeout
        self._headers = {
            "X-Caller": caller,
            "X-Caller-Secret": reveal(secret),
            "Accept": "application/json, application/problem+json",
        }
        self._base_url = base_url.rstrip("/")
        self._bulkhead = Bulkhead(name, max_calls=MAX_CONNECTIONS, max_wait=timeout)
        address = URL(base_url)
        self._span_attributes: dict[str, AttributeValue] = {
            "peer.service": name,
            "server.address": address.host or "",
            "server.port": address.port or 0,
        }

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_EXPIRY, ttl_dns_cache=10
            ),
            cookie_jar=aiohttp.DummyCookieJar(),  # users share the client, but not cookies
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            # `request` bounds the whole call.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        bearer: str | None = None,
        idempotency_key: str | None = None,
    ) -> InternalResponse:
        """Return a response with a status below 400.

        Raises the error of `errors` that the callee's problem names, DependencyUnavailable where
        the callee does not respond in time or with more than MAX_RESPONSE_BYTES, Overloaded where
        MAX_CONNECTIONS calls are in flight for as long as this one could wait.
        """
        sent = {**self._headers, **(headers or {})}
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        body = None
        if json is not None:
            sent["Content-Type"] = "application/json"
            body = encode_json(json)
        query = f"?{urlencode(params)}" if params else ""
        self._compute_timeout()  # a call whose time is up is not a failure of the callee
        async with self._bulkhead.call():
            timeout = self._compute_timeout()
            sent["X-Request-Deadline"] = str(int(timeout * 1000))
            with spans.span(
                f"{method} {self.name}", self._span_attributes, kind=SpanKind.CLIENT
            ) as span:
                _add_forwarded_headers(sent)  # within the span, which is the callee's parent
                response = await self._send(method, f"{path}{query}", sent, body, limit=timeout)
                if span.is_recording():
                    _describe(span, method, response.status)
        if response.status >= _CLIENT_ERROR:
            raise_for_problem(response, name=self.name)
        return response

    def _compute_timeout(self) -> float:
        context = current_request()
        remaining = context.remaining() if context else None
        if remaining is None:
            return self._timeout
        if remaining <= DEADLINE_MARGIN:
            raise DependencyUnavailable(self.name)
        return min(self._timeout, remaining - DEADLINE_MARGIN)

    async def _send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        limit: float,
    ) -> InternalResponse:
        started = time.perf_counter()
        outcome = "error"
        url = URL(self._base_url + target, encoded=True)
        try:
            async with (
                asyncio.timeout(limit),
                self._session.request(
                    method, url, headers=headers, data=body, allow_redirects=False
                ) as response,
            ):
                content = await _read_bounded(response)
        except TimeoutError as error:  # aiohttp's own included
            outcome = "timeout"
            raise DependencyUnavailable(self.name) from error
        except (aiohttp.ClientError, OSError) as error:
            raise DependencyUnavailable(self.name) from error
        else:
            outcome = f"{response.status // 100}xx"
            return InternalResponse(response.status, response.headers, content)
        finally:
            elapsed = time.perf_counter() - started
            metrics.observe_with_trace(metrics.client_requests.labels(self.name, outcome), elapsed)

    async def ping(self) -> None:
        """Raise DependencyUnavailable unless the callee responds within PING_TIMEOUT."""
        try:
            async with (
                asyncio.timeout(PING_TIMEOUT),
                self._session.get(self._base_url + PING_PATH),
            ):
                pass
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise DependencyUnavailable(self.name) from error

    async def aclose(self) -> None:
        """Close the pool; the client must not be used afterwards."""
        await self._session.close()


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the body. Raises aiohttp's ClientPayloadError for one above MAX_RESPONSE_BYTES."""
    if (response.content_length or 0) > MAX_RESPONSE_BYTES:
        raise aiohttp.ClientPayloadError("the response is too large")
    if response.content_length is not None:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise aiohttp.ClientPayloadError("the response is too large")
    return bytes(body)


def encode_json(value: Any) -> bytes:
    """Return `value` as compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _add_forwarded_headers(headers: dict[str, str]) -> None:
    telemetry.inject(headers)
    if context := current_request():
        headers["X-Request-ID"] = context.request_id
        headers.update(context.routing)


def _describe(span: trace.Span, method: str, status: int) -> None:
    """Set the attributes by OpenTelemetry's conventions for HTTP clients; never the URL's ids."""
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.response.status_code", status)
    if status >= _CLIENT_ERROR:
        span.set_attribute("error.type", str(status))
        span.set_status(trace.StatusCode.ERROR)


def _list_errors(parent: type[TwelvefoldError]) -> list[type[TwelvefoldError]]:
    """Return all errors below `parent`, the general ones before the special ones."""
    children = parent.__subclasses__()
    return children + [error for child in children for error in _list_errors(child)]


def _find_error(code: str, status: int) -> type[TwelvefoldError]:
    """Return the error with this code and status, else the first with the status."""
    same_status = [error for error in _list_errors(TwelvefoldError) if error.status == status]
    exact = [error for error in same_status if error.code == code]
    default = NotFound if status == HTTPStatus.GONE else BadRequest
    return next(iter(exact or same_status), default)


def raise_for_problem(response: InternalResponse, *, name: str = "callee") -> NoReturn:
    """Raise the error that the problem in `response` names.

    A callee's 5xx, or its refusal of this service as a caller, becomes DependencyUnavailable, since
    neither is the fault of the client behind this request.
    """
    status = response.status
    body = _parse_object(response)
    if isinstance(body.get("error"), str):
        raise OAuthError(body["error"], str(body.get("error_description", "")), status=status)
    retry_after = response.headers.get("Retry-After", "")
    seconds = int(retry_after) if retry_after.isdecimal() else 2
    code = str(body.get("type", "")).rpartition("/")[2]
    if code in _CALLER_CODES:
        _log.error("caller_refused", callee=name, code=code)
    if status >= _SERVER_ERROR or code in _CALLER_CODES:
        raise DependencyUnavailable(name, retry_after=seconds)
    detail = str(body.get("detail", ""))
    if status == TooManyRequests.status:
        raise TooManyRequests(detail, retry_after=seconds)
    error = _find_error(code, status)(detail)
    if challenge := response.headers.get("WWW-Authenticate"):
        error.headers = {"WWW-Authenticate": challenge}
    faults = body.get("errors")
    error.errors = tuple(
        FieldError(str(item.get("pointer", "")), str(item.get("detail", "")))
        for item in (faults if isinstance(faults, list) else [])
    )
    raise error


def _parse_object(response: InternalResponse) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
