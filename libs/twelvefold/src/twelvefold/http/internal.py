"""Calls between services: the check of the caller and the client.

Each caller has its own secret, which the callee compares in constant time, with or without a mesh.
The client forwards the id, deadline, trace and routing headers of the current request. It never
retries, since retries belong to one layer, the mesh.
"""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Annotated, Any, NoReturn

import aiohttp
import httpx
import structlog
from fastapi import Header, Request
from opentelemetry import trace
from pydantic import SecretStr

from twelvefold.context import PING_PATH, current_request
from twelvefold.errors import (
    BadRequest,
    DependencyUnavailable,
    FieldError,
    Forbidden,
    NotFound,
    OAuthError,
    TooManyRequests,
    TwelvefoldError,
    Unauthenticated,
)
from twelvefold.observability import metrics, telemetry
from twelvefold.resilience.circuit_breaker import Bulkhead
from twelvefold.settings import choose_semantic_conventions

DEADLINE_MARGIN = 0.05  # seconds reserved for the response after a callee has used up its time
MAX_CONNECTIONS = 100
KEEPALIVE_EXPIRY = 30.0  # seconds; below the callee's own, so that it does not close first
CONNECT_TIMEOUT = 1.0  # seconds
_SERVER_ERROR = 500
_log = structlog.get_logger(__name__)


class CallerUnknown(Unauthenticated):
    """The calling service's name or secret is wrong, which is no fault of the client behind it."""

    code, title = "caller-unknown", "Unknown caller"


class CallerNotAllowed(Forbidden):
    """The calling service may not use this route, which is no fault of the client behind it."""

    code, title = "caller-refused", "Caller not admitted"


_CALLER_CODES = frozenset({CallerUnknown.code, CallerNotAllowed.code})


def require_caller(*callers: str) -> Callable[..., Awaitable[str]]:
    """Return a FastAPI dependency that admits only these callers and returns the caller's name.

    Accepted secrets are `app.state.callers` (name -> several, so that one can be rotated). The
    dependency raises CallerUnknown for a wrong secret, CallerNotAllowed for any other caller.
    """

    async def check(
        request: Request,
        x_caller: Annotated[str, Header(include_in_schema=False)] = "",
        x_caller_secret: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> str:
        accepted: Mapping[str, list[str | SecretStr]] = request.app.state.callers
        secret = x_caller_secret.encode()
        # All are compared, so that the time does not reveal which of them matches.
        matches = [
            hmac.compare_digest(secret, _reveal(known).encode())
            for known in accepted.get(x_caller, [])
        ]
        if not any(matches):
            raise CallerUnknown("Unknown caller or wrong secret.")
        if x_caller not in callers:
            raise CallerNotAllowed("This caller may not use this route.")
        return x_caller

    return check


def _reveal(secret: str | SecretStr) -> str:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


class InternalClient:
    """A client of one service's internal port over a bounded connection pool."""

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        caller: str,
        secret: SecretStr | str,
        timeout: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Limit each call to `timeout` seconds, or less where the request's deadline is nearer."""
        self.name = name
        self._timeout = timeout
        self._headers = {
            "X-Caller": caller,
            "X-Caller-Secret": _reveal(secret),
            "Accept": "application/json, application/problem+json",
        }
        self._base_url = base_url
        self._given = transport
        self._bulkhead = Bulkhead(name, max_calls=MAX_CONNECTIONS, max_wait=timeout)

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            base_url=self._base_url, transport=self._given or _aiohttp_transport(), trust_env=False
        )
        if telemetry.is_exporting():
            # The global instrumentation does not apply to a client with its own transport.
            _instrument(client, self.name)
        return client

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        bearer: str | None = None,
        idempotency_key: str | None = None,
    ) -> httpx.Response:
        """Return a response with a status below 400.

        Raises the error of `errors` that the callee's problem names, DependencyUnavailable where
        the callee does not respond in time, Overloaded where MAX_CONNECTIONS calls are in flight
        for as long as this one could wait.
        """
        sent = {**self._headers, **_forwarded_headers(), **(headers or {})}
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        self._compute_timeout()  # a call whose time is up is not a failure of the callee
        async with self._bulkhead.call():
            timeout = self._compute_timeout()
            sent["X-Request-Deadline"] = str(int(timeout * 1000))
            request = self._client.build_request(
                method,
                path,
                json=json,
                content=content,
                params=params,
                headers=sent,
                timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            )
            response = await self._send(request, limit=timeout)
        if response.is_error:
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

    async def _send(self, request: httpx.Request, *, limit: float) -> httpx.Response:
        started = time.perf_counter()
        outcome = "error"
        try:
            async with asyncio.timeout(limit):
                response = await self._client.send(request)
        except (TimeoutError, httpx.TimeoutException) as error:
            outcome = "timeout"
            raise DependencyUnavailable(self.name) from error
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise DependencyUnavailable(self.name) from error
        else:
            outcome = f"{response.status_code // 100}xx"
            return response
        finally:
            elapsed = time.perf_counter() - started
            metrics.observe_with_trace(metrics.client_requests.labels(self.name, outcome), elapsed)

    async def ping(self) -> None:
        """Raise DependencyUnavailable unless the callee responds within CONNECT_TIMEOUT."""
        try:
            await self._client.get(PING_PATH, timeout=CONNECT_TIMEOUT)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise DependencyUnavailable(self.name) from error

    async def aclose(self) -> None:
        """Close the pool; the client must not be used afterwards."""
        await self._client.aclose()


def _forwarded_headers() -> dict[str, str]:
    headers: dict[str, str] = {}
    telemetry.inject(headers)
    if context := current_request():
        headers["X-Request-ID"] = context.request_id
        headers.update(context.routing)
    return headers


def _instrument(client: httpx.AsyncClient, peer: str) -> None:
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor, RequestInfo

    async def describe(span: trace.Span, request: RequestInfo) -> None:
        span.update_name(f"{request.method.decode()} {peer}")
        span.set_attribute("peer.service", peer)

    choose_semantic_conventions()
    HTTPXClientInstrumentor.instrument_client(client, request_hook=describe)


def _aiohttp_transport() -> httpx.AsyncBaseTransport:
    # httpx's own pool is slow under concurrency; aiohttp's is not.
    from httpx_aiohttp import AiohttpTransport

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_EXPIRY, ttl_dns_cache=10
            ),
            cookie_jar=aiohttp.DummyCookieJar(),  # users share the client, but not cookies
        )

    return AiohttpTransport(client=session, trust_env=False)


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


def raise_for_problem(response: httpx.Response, *, name: str = "callee") -> NoReturn:
    """Raise the error that the problem in `response` names.

    A callee's 5xx, or its refusal of this service as a caller, becomes DependencyUnavailable, since
    neither is the fault of the client behind this request.
    """
    status = response.status_code
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


def _parse_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
