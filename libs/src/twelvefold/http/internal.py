"""Calls between services: who may call (callee) and how to call (caller).

Every caller has a secret of its own; the callee compares it in constant time, also without a
mesh. The client forwards what belongs to the request in hand: its id, deadline, trace and routing
headers. It never retries: retries are the mesh's, in one layer.
"""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

import httpx
from fastapi import Header, Request
from pydantic import SecretStr

from twelvefold import errors, metrics, telemetry
from twelvefold.errors import (
    DependencyUnavailable,
    FieldError,
    Forbidden,
    TwelvefoldError,
    Unauthenticated,
)

from .context import current_request

DEADLINE_MARGIN = 0.05  # seconds that we keep for answering once a callee has used up its time
MAX_CONNECTIONS = 100
KEEPALIVE_EXPIRY = 30.0  # seconds; below the callee's own, so that we never race its closing
CONNECT_TIMEOUT = 1.0  # seconds


def require_caller(*callers: str) -> Callable[..., Awaitable[str]]:
    """A dependency that admits these callers only and returns the caller's name.

    Accepted secrets are `app.state.callers` (name -> several, so that one can be rotated).
    Raises Unauthenticated where the secret does not fit, Forbidden where the caller may not.
    """

    async def check(
        request: Request,
        x_caller: Annotated[str | None, Header(include_in_schema=False)] = None,
        x_caller_secret: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> str:
        accepted: Mapping[str, list[str]] = request.app.state.callers
        shown = (x_caller_secret or "").encode()
        known = accepted.get(x_caller or "", [])
        # Every secret is compared, so that time tells neither which one fits nor how many exist.
        fits = [hmac.compare_digest(shown, _secret(secret)) for secret in known]
        if not any(fits):
            raise Unauthenticated("Unknown caller or wrong secret.")
        if x_caller not in callers:
            raise Forbidden("This caller may not do that.")
        return x_caller

    return check


def _secret(value: str | SecretStr) -> bytes:
    return (value.get_secret_value() if isinstance(value, SecretStr) else value).encode()


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
            "X-Caller-Secret": _secret(secret).decode(),
            "Accept": "application/json, application/problem+json",
        }
        self._base_url = base_url
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self._base_url,
                transport=self._transport or _aiohttp_transport(),
                trust_env=False,
            )
        return self._client

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

        Raises DependencyUnavailable where the callee does not answer in time or at all.
        """
        timeout = self._timeout
        sent = {**self._headers, **self._forwarded(), **(headers or {})}
        context = current_request()
        left = context.remaining() if context else None
        if left is not None:
            timeout = min(timeout, left - DEADLINE_MARGIN)
            if timeout <= 0:
                raise DependencyUnavailable(self.name)
            sent["X-Request-Deadline"] = str(int(timeout * 1000))
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        started = time.perf_counter()
        outcome = "error"
        try:
            async with asyncio.timeout(timeout):
                response = await self.client.request(
                    method,
                    path,
                    json=json,
                    content=content,
                    params=params,
                    headers=sent,
                    timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
                )
            outcome = f"{response.status_code // 100}xx"
        except TimeoutError as error:
            outcome = "timeout"
            raise DependencyUnavailable(self.name) from error
        except (httpx.HTTPError, OSError) as error:
            outcome = "timeout" if isinstance(error, httpx.TimeoutException) else "error"
            raise DependencyUnavailable(self.name) from error
        finally:
            elapsed = time.perf_counter() - started
            metrics.client_requests.labels(self.name, outcome).observe(elapsed)
        if response.is_error:
            raise_problem(response, name=self.name)
        return response

    @staticmethod
    def _forwarded() -> dict[str, str]:
        headers: dict[str, str] = {}
        telemetry.inject(headers)
        if context := current_request():
            headers["X-Request-ID"] = context.request_id
            headers.update(context.routing)
        return headers

    async def ping(self) -> None:
        """Raises DependencyUnavailable unless the callee answers at all."""
        try:
            await self.client.get("/", timeout=CONNECT_TIMEOUT)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise DependencyUnavailable(self.name) from error

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _aiohttp_transport() -> httpx.AsyncBaseTransport:
    # httpx's own pool collapses under concurrency; aiohttp's does not.
    from httpx_aiohttp import AiohttpTransport

    return AiohttpTransport(
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_EXPIRY),
        trust_env=False,
    )


def _by_code(base: type[TwelvefoldError]) -> dict[str, type[TwelvefoldError]]:
    found = {base.code: base} if "code" in vars(base) else {}
    for kind in base.__subclasses__():
        found.update(_by_code(kind))
    return found


def raise_problem(response: httpx.Response, *, name: str = "callee") -> None:
    """Raises the error that a problem answer names; a callee's 5xx is its unavailability."""
    status = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    if isinstance(body.get("error"), str):
        raise errors.OAuthError(
            body["error"], str(body.get("error_description", "")), status=status
        )
    retry_after = response.headers.get("Retry-After", "")
    seconds = int(retry_after) if retry_after.isdecimal() else 2
    if status >= 500:  # noqa: PLR2004 - the class of server errors
        raise DependencyUnavailable(name, retry_after=seconds)
    if status == errors.TooManyRequests.status:
        raise errors.TooManyRequests(str(body.get("detail", "")), retry_after=seconds)
    code = str(body.get("type", "")).rpartition("/")[2]
    kind = _by_code(TwelvefoldError).get(code)
    if kind is None or kind.status != status:
        kind = next(
            (k for k in _by_code(TwelvefoldError).values() if k.status == status),
            errors.BadRequest,
        )
    error = kind(str(body.get("detail", "")))
    error.errors = tuple(
        FieldError(str(item.get("pointer", "")), str(item.get("detail", "")))
        for item in body.get("errors") or []
    )
    raise error
