"""The outermost layer of a service app: one pure ASGI callable around every request.

Owns the request's context (id, deadline, routing), the concurrency bound, the timeout, security
headers, the last-resort 500, and what is told about the request: counters, metrics and one
canonical log line. Everything in one layer, since each further one costs every request.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twelvefold import metrics
from twelvefold.errors import Overloaded, Unavailable
from twelvefold.health import Health

from .context import ROUTING_HEADERS, RequestContext, _current, request_id_from
from .problems import internal_error, problem_response

_log = structlog.get_logger("twelvefold.request")
_UNMATCHED = "unmatched"
_ROUTING = {name.encode(): name for name in ROUTING_HEADERS}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_NO_STORE = (b"cache-control", b"no-store")
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


@dataclass(slots=True)
class Counts:
    """What /info says about the requests of this process."""

    requests: int = 0
    errors: int = 0
    active: int = 0


COUNTS = Counts()


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a layer treats its requests. Seconds and numbers of requests."""

    timeout: float
    max_concurrency: int
    deployed: bool
    public: bool
    # Paths with this ending stream events and have no timeout.
    untimed_suffix: str = "/events"


class RequestLayer:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, conduct: Conduct, health: Health) -> None:
        self.app = app
        self._conduct = conduct
        self._health = health
        self._active = 0
        self._headers = [*_SECURITY, *([_HSTS] if conduct.deployed else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        context = self._context(scope)
        token = _current.set(context)
        status = 500
        sent = 0
        begun = ended = False

        async def sending(message: Message) -> None:
            nonlocal status, sent, begun, ended
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                message["headers"] = self._finished(message.get("headers", ()), context)
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
                ended = not message.get("more_body", False)
            await send(message)

        self._active += 1
        COUNTS.active += 1
        try:
            if self._active > self._conduct.max_concurrency:
                metrics.http_requests_refused.labels("concurrency").inc()
                refusal = Overloaded("Too many requests at once.", retry_after=1)
                await problem_response(refusal, scope)(scope, receive, sending)
                return
            try:
                if scope["path"].endswith(self._conduct.untimed_suffix):
                    await self.app(scope, receive, sending)
                else:
                    async with asyncio.timeout(self._conduct.timeout):
                        await self.app(scope, receive, sending)
            except TimeoutError:
                metrics.http_requests_refused.labels("timeout").inc()
                if begun:
                    raise
                late = Unavailable("The request took too long.", retry_after=1)
                await problem_response(late, scope)(scope, receive, sending)
            except Exception:
                _log.exception("unhandled_error", path=scope["path"], method=scope["method"])
                if ended:
                    return
                if begun:
                    raise
                await internal_error(scope)(scope, receive, sending)
        finally:
            self._active -= 1
            COUNTS.active -= 1
            self._tell(scope, context, status, sent, time.perf_counter() - started)
            _current.reset(token)

    def _context(self, scope: Scope) -> RequestContext:
        request_id: str | None = None
        limit = self._conduct.timeout
        routing: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value.decode("latin-1")
            elif name in _ROUTING:
                routing[_ROUTING[name]] = value.decode("latin-1")
            elif name == b"x-request-deadline" and not self._conduct.public and value.isdigit():
                limit = min(limit, int(value) / 1000)
        return RequestContext(request_id_from(request_id), time.monotonic() + limit, routing)

    def _finished(self, headers: Any, context: RequestContext) -> list[tuple[bytes, bytes]]:
        finished = [*headers, *self._headers, (b"x-request-id", context.request_id.encode())]
        json = cached = False
        for name, value in headers:
            if name == b"cache-control":
                cached = True
            elif name == b"content-type":
                json = b"json" in value
        if json and not cached:
            finished.append(_NO_STORE)
        if self._health.draining:
            finished.append((b"connection", b"close"))
        return finished

    def _tell(
        self, scope: Scope, context: RequestContext, status: int, sent: int, seconds: float
    ) -> None:
        route = scope.get("route")
        template = getattr(route, "path", _UNMATCHED)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        COUNTS.requests += 1
        COUNTS.errors += status >= 500  # noqa: PLR2004 - the class of server errors
        metrics.http_requests.labels(method, template, str(status)).inc()
        exemplar = {"trace_id": context.trace_id} if context.sampled and context.trace_id else None
        metrics.http_request_duration.labels(method, template).observe(seconds, exemplar)
        _log.info(
            "request",
            method=method,
            route=template,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            bytes=sent,
            principal=context.principal,
        )
