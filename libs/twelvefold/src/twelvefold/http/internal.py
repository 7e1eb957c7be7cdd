"""Calls between services: who may call (callee) and how to call (caller).

Every caller has a secret of its own; the callee compares it in constant time, also without a
mesh. The client forwards what belongs to the request in hand: its id, deadline, trace and routing
headers. It never retries: retries are the mesh's, in one layer.
"""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cached_property
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

DEADLINE_MARGIN = 0.05  # seconds that we keep for answering once a callee has used up its time
MAX_CONNECTIONS = 100
MAX_CALLS = 2 * MAX_CONNECTIONS  # under way or waiting for a connection; beyond it we refuse
KEEPALIVE_EXPIRY = 30.0  # seconds; below the callee's own, so that we never race its closing
CONNECT_TIMEOUT = 1.0  # seconds
_SERVER_ERROR = 500
_log = structlog.get_logger(__name__)


class CallerUnknown(Unauthenticated):
    """The calling service's name and secret do not fit; never the fault of the client behind it."""

    code, title = "caller-unknown", "Unknown caller"


class CallerNotAllowed(Forbidden):
    """The calling service has no business here; never the fault of the client behind it."""

    code, title = "caller-refused", "Caller not admitted"


_OURS = frozenset({CallerUnknown.code, CallerNotAllowed.code})


def require_caller(*callers: str) -> Callable[..., Awaitable[str]]:
    """A dependency that admits these callers only and returns the caller's name.

    Accepted secrets are `app.state.callers` (name -> several, so that one can be rotated).
    Raises CallerUnknown where the secret does not fit, CallerRefused for any other caller.
    """

    async def check(
        request: Request,
        x_caller: Annotated[str, Header(include_in_schema=False)] = "",
        x_caller_secret: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> str:
        accepted: Mapping[str, list[str | SecretStr]] = request.app.state.callers
        shown = x_caller_secret.encode()
        # All are compared, so that the time does not tell which of a caller's secrets fits.
        fits = [
            hmac.compare_digest(shown, _plain(secret).encode())
            for secret in accepted.get(x_caller, [])
        ]
        if not any(fits):
            raise CallerUnknown("Unknown caller or wrong secret.")
        if x_caller not in callers:
            raise CallerNotAllowed("This caller may not do that.")
        return x_caller

    return check


def _plain(secret: str | SecretStr) -> str:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


class InternalClient:
    """Calls one service's internal port over a bounded pool."""

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
        """`timeout` is the most seconds for one call; a nearer deadline shortens it."""
        self.name = name
        self._timeout = timeout
        self._headers = {
            "X-Caller": caller,
            "X-Caller-Secret": _plain(secret),
            "Accept": "application/json, application/problem+json",
        }
        self._base_url = base_url
        self._given = transport
        self._bulkhead = Bulkhead(name, max_calls=MAX_CALLS)

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            base_url=self._base_url, transport=self._given or _aiohttp_transport(), trust_env=False
        )
        if telemetry.is_exporting():
            # The object: with a transport of one's own the global instrumentation does nothing.
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
        """The answer below 400. Raises the error of `errors` that the callee's problem names.

        Raises DependencyUnavailable where the callee does not answer in time or at all, Overloaded
        where too many calls to it are under way.
        """
        sent = {**self._headers, **_forwarded(), **(headers or {})}
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        timeout = self._within_deadline()
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
        with self._bulkhead.call():
            response = await self._observed(request, within=timeout)
        if response.is_error:
            raise_for_problem(response, name=self.name)
        return response

    def _within_deadline(self) -> float:
        context = current_request()
        left = context.remaining() if context else None
        if left is None:
            return self._timeout
        if left <= DEADLINE_MARGIN:
            raise DependencyUnavailable(self.name)
        return min(self._timeout, left - DEADLINE_MARGIN)

    async def _observed(self, request: httpx.Request, *, within: float) -> httpx.Response:
        started = time.perf_counter()
        outcome = "error"
        try:
            async with asyncio.timeout(within):
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
        """Raises DependencyUnavailable unless the callee answers at all."""
        try:
            await self._client.get(PING_PATH, timeout=CONNECT_TIMEOUT)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise DependencyUnavailable(self.name) from error

    async def aclose(self) -> None:
        """Closes the pool; the client is not used afterwards."""
        await self._client.aclose()


def _forwarded() -> dict[str, str]:
    headers: dict[str, str] = {}
    telemetry.inject(headers)
    if context := current_request():
        headers["X-Request-ID"] = context.request_id
        headers.update(context.routing)
    return headers


def _instrument(client: httpx.AsyncClient, peer: str) -> None:
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor, RequestInfo

    async def tell(span: trace.Span, request: RequestInfo) -> None:
        span.update_name(f"{request.method.decode()} {peer}")
        span.set_attribute("peer.service", peer)

    choose_semantic_conventions()
    HTTPXClientInstrumentor.instrument_client(client, request_hook=tell)


def _aiohttp_transport() -> httpx.AsyncBaseTransport:
    # httpx's own pool collapses under concurrency; aiohttp's does not.
    from httpx_aiohttp import AiohttpTransport

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_EXPIRY, ttl_dns_cache=10
            ),
            cookie_jar=aiohttp.DummyCookieJar(),  # one user's cookie is never another's
        )

    return AiohttpTransport(client=session, trust_env=False)


def _kinds(kind: type[TwelvefoldError]) -> list[type[TwelvefoldError]]:
    """Every error below `kind`, the general ones before the special ones."""
    children = kind.__subclasses__()
    return children + [found for child in children for found in _kinds(child)]


def _kind(code: str, status: int) -> type[TwelvefoldError]:
    """The error with this code and status; else the first of the status; else of its class."""
    same = [kind for kind in _kinds(TwelvefoldError) if kind.status == status]
    exact = [kind for kind in same if kind.code == code]
    return next(iter(exact or same), NotFound if status == 410 else BadRequest)  # noqa: PLR2004 (Gone)


def raise_for_problem(response: httpx.Response, *, name: str = "callee") -> NoReturn:
    """Raises the error that a problem answer names.

    A callee's 5xx, and its refusal of us as a caller, is DependencyUnavailable: neither is the
    fault of the client behind this request.
    """
    status = response.status_code
    body = _object(response)
    if isinstance(body.get("error"), str):
        raise OAuthError(body["error"], str(body.get("error_description", "")), status=status)
    retry_after = response.headers.get("Retry-After", "")
    seconds = int(retry_after) if retry_after.isdecimal() else 2
    code = str(body.get("type", "")).rpartition("/")[2]
    if code in _OURS:
        _log.error("caller_refused", callee=name, code=code)
    if status >= _SERVER_ERROR or code in _OURS:
        raise DependencyUnavailable(name, retry_after=seconds)
    detail = str(body.get("detail", ""))
    if status == TooManyRequests.status:
        raise TooManyRequests(detail, retry_after=seconds)
    error = _kind(code, status)(detail)
    if challenge := response.headers.get("WWW-Authenticate"):
        error.headers = {"WWW-Authenticate": challenge}
    faults = body.get("errors")
    error.errors = tuple(
        FieldError(str(item.get("pointer", "")), str(item.get("detail", "")))
        for item in (faults if isinstance(faults, list) else [])
    )
    raise error


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
