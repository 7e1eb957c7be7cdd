"""The outermost layer of a service app: one pure ASGI callable around every request.

Owns the request's context (id, deadline, routing), the concurrency bound, the timeout, security
headers, the last-resort 500, and what is told about the request: counters, metrics, its span and
one canonical log line. Everything in one layer, since each further one costs every request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twelvefold.context import (
    PING_PATH,
    ROUTING_HEADERS,
    RequestContext,
    accept_request_id,
    current,
)
from twelvefold.errors import Overloaded, Unavailable
from twelvefold.http.rest.problems import internal_error, problem_response
from twelvefold.observability import metrics
from twelvefold.observability.logs import REQUEST_LOGGER, request_log
from twelvefold.service.health import Health

from . import tracing
from .cors import CorsPolicy
from .header_fields import keep_encoded_slashes, normalize_head

_ROUTING = {name.encode(): name for name in ROUTING_HEADERS}
_PICKED = frozenset(
    {b"origin", b"x-request-id", b"x-request-deadline", *_ROUTING, *tracing.HEADERS}
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
_NO_STORE = (b"cache-control", b"no-store")
_REVALIDATE = (b"cache-control", b"private, no-cache")
_CLOSE = (b"connection", b"close")
_DEADLINE_DIGITS = 12  # of milliseconds; far beyond any timeout
_LOGGED_PATH = 200  # characters of an unknown path that a log line shows
Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How a layer treats its requests. `timeout` is in seconds."""

    timeout: float
    max_concurrency: int
    deployed: bool = False
    public: bool = True
    cors: CorsPolicy | None = None
    # Paths with this ending stream events: no timeout, and their duration is no latency.
    untimed_suffix: str = "/events"
    # Answered even where the bound of concurrency is reached.
    unbounded: frozenset[str] = frozenset({"/health", "/ready"})


class RequestMiddleware:
    """ASGI middleware; see the module."""

    def __init__(
        self, app: ASGIApp, limits: RequestLimits, health: Health, tracing: tracing.RequestTracer
    ) -> None:
        self.app = app
        self._tracing = tracing
        self._limits = limits
        self.cors = limits.cors
        self._health = health
        self._active = 0
        side = "public" if limits.public else "internal"
        metrics.register_pool(f"http_{side}", limits.max_concurrency, lambda: self._active)
        # Bound here: a lazy logger would keep the set-up of its first line.
        self._log = structlog.get_logger(REQUEST_LOGGER).bind()
        self.log_request = request_log()
        self._security = (*_SECURITY, _HSTS) if limits.deployed else _SECURITY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        keep_encoded_slashes(scope)
        if scope["path"] == PING_PATH and not self._limits.public:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        exchange = _Exchange(self, scope, send)
        token = current.set(exchange.context)
        traced = exchange.traced = self._tracing.begin(scope, exchange.context)
        # Streams have a bound of their own.
        work = 1 if exchange.timed(self._limits) else 0
        self._active += work
        metrics.counts.active += 1
        receive = exchange.receiving(receive) if work else receive
        try:
            if traced is None:
                await self._bounded(exchange, scope, receive)
            else:

                async def handle(send: Send) -> None:
                    exchange.sends_by(send)
                    await self._bounded(exchange, scope, receive)

                await traced.serve(handle, receive, send)
        finally:
            self._active -= work
            metrics.counts.active -= 1
            exchange.report()
            current.reset(token)

    async def _bounded(self, exchange: _Exchange, scope: Scope, receive: Receive) -> None:
        conduct = self._limits
        send = exchange.send
        if response := self._answer_at_once(scope):
            await response(scope, receive, send)
            return
        timer = _Timer(exchange.context) if exchange.timed(conduct) else None
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if timer is not None and timer.settled():
                await exchange.refuse_late(receive)
            elif self._health.draining and exchange.status is None:
                await self._refuse_drained(exchange, scope, receive)
            else:
                raise
        except Exception as error:
            if timer is not None and timer.settled():
                # What a library made of our cancellation; the time was up all the same.
                await exchange.refuse_late(receive)
                return
            if exchange.traced is not None:
                exchange.traced.failed(error)
            self._log.exception(
                "unhandled_error", path=scope["path"][:_LOGGED_PATH], method=scope["method"]
            )
            # Where the answer has begun, returning now makes the server cut the connection.
            if exchange.status is None:
                await internal_error(scope)(scope, receive, send)
        finally:
            if timer is not None:
                timer.cancel()

    def _answer_at_once(self, scope: Scope) -> Response | None:
        """The answer to a head that is not to be understood, to a preflight, to one too many."""
        conduct = self._limits
        if refusal := normalize_head(scope):
            return problem_response(refusal, scope)
        if conduct.cors is not None and (response := conduct.cors.preflight(scope)):
            return response
        if self._active > conduct.max_concurrency and scope["path"] not in conduct.unbounded:
            metrics.http_requests_refused.labels("concurrency").inc()
            return problem_response(Overloaded("Too many requests at once.", retry_after=1), scope)
        return None

    @staticmethod
    async def _refuse_drained(exchange: _Exchange, scope: Scope, receive: Receive) -> None:
        """The server cancels what the grace period did not suffice for."""
        if task := asyncio.current_task():
            task.uncancel()
        gone = Unavailable("The server is shutting down. Try again.", retry_after=1)
        await problem_response(gone, scope)(scope, receive, exchange.send)

    def works(self, change: int) -> None:
        """Counts what is worked on at this moment."""
        self._active += change

    def context(self, scope: Scope) -> RequestContext:
        """What the headers say about the request; who sent them decides what counts."""
        found = {name: value for name, value in scope["headers"] if name in _PICKED}
        limit = self._limits.timeout
        if not found:
            return RequestContext(accept_request_id(None), time.monotonic() + limit)
        given = found.get(b"x-request-id")
        left = found.get(b"x-request-deadline", b"")
        if not self._limits.public and left.isdigit() and len(left) <= _DEADLINE_DIGITS:
            limit = min(limit, int(left) / 1000)
        return RequestContext(
            accept_request_id(given.decode("latin-1") if given else None),
            time.monotonic() + limit,
            {_ROUTING[name]: found[name].decode("latin-1") for name in _ROUTING if name in found},
            incoming=found,
        )

    def finished(self, headers: Headers, request_id: str) -> list[tuple[bytes, bytes]]:
        """The headers of an answer with those that every answer has."""
        finished = [*headers, *self._security, (b"x-request-id", request_id.encode("latin-1"))]
        if self._health.draining:
            finished.append(_CLOSE)
        default = _NO_STORE
        for name, _ in headers:
            if name == b"cache-control":
                return finished
            if name == b"etag":
                default = _REVALIDATE
        finished.append(default)
        return finished


class _Timer:
    """Cancels the task that serves a request once its time is up; cheaper than asyncio.timeout."""

    __slots__ = ("_fired", "_handle", "_task")

    def __init__(self, context: RequestContext) -> None:
        self._fired = False
        self._task = asyncio.current_task()
        self._handle = asyncio.get_running_loop().call_later(context.remaining() or 0, self._fire)

    def _fire(self) -> None:
        self._fired = True
        if self._task is not None:
            self._task.cancel()

    def settled(self) -> bool:
        """Whether the cancellation that arrived is this timer's and nobody else's."""
        if not self._fired or self._task is None:
            return False
        self._fired = False
        return self._task.uncancel() <= 0

    def cancel(self) -> None:
        self._handle.cancel()
        self.settled()


class _Exchange:
    """One request and its answer: passes the answer on, completed, and tells about both."""

    __slots__ = (
        "_begun_at",
        "_layer",
        "_scope",
        "_send",
        "_sent",
        "_started_at",
        "context",
        "status",
        "traced",
    )

    def __init__(self, layer: RequestMiddleware, scope: Scope, send: Send) -> None:
        self._started_at = self._begun_at = time.perf_counter()
        self._layer = layer
        self._scope = scope
        self._send = send
        self._sent = 0
        self.context = layer.context(scope)
        self.status: int | None = None
        self.traced: tracing.RequestTrace | None = None

    def sends_by(self, send: Send) -> None:
        """Send through `send` from now on: what traces the request stands in between."""
        self._send = send

    def timed(self, limits: RequestLimits) -> bool:
        return not self._scope["path"].endswith(limits.untimed_suffix)

    def receiving(self, receive: Receive) -> Receive:
        """While the client has yet to send, nothing is worked on: slow clients take no room."""
        layer, waited = self._layer, False

        async def received() -> Message:
            nonlocal waited
            if waited:  # the body is whole: what comes next is the client's leaving
                return await receive()
            layer.works(-1)
            try:
                message = await receive()
            finally:
                layer.works(1)
            waited = not message.get("more_body", False)
            return message

        return received

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._begun_at = time.perf_counter()
            headers = [*message.get("headers", ()), *self.context.response_headers]
            if (cors := self._layer.cors) is not None:
                headers += cors.response_headers(self.context.incoming.get(b"origin"))
            message["headers"] = self._layer.finished(headers, self.context.request_id)
        elif message["type"] == "http.response.body":
            self._sent += len(message.get("body", b""))
        await self._send(message)

    async def refuse_late(self, receive: Receive) -> None:
        metrics.http_requests_refused.labels("timeout").inc()
        if self.status is None:
            late = Unavailable("The request took too long.", retry_after=1)
            await problem_response(late, self._scope)(self._scope, receive, self.send)

    def report(self) -> None:
        scope = self._scope
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        template = getattr(scope.get("route"), "path", None)
        status = self.status or 499  # the client left before there was an answer
        now = time.perf_counter()
        metrics.observe_request(
            scope,
            method=method,
            handler=template or metrics.UNMATCHED,
            status=status,
            seconds=now - self._started_at,
            seconds_to_response=self._begun_at - self._started_at,
        )
        fields: dict[str, Any] = {
            "method": method,
            "route": template,
            "status": status,
            "duration_ms": round((now - self._started_at) * 1000, 2),
            "bytes": self._sent,
            "principal": self.context.principal,
        }
        if template is None:
            fields["path"] = scope["path"][:_LOGGED_PATH]
        self._layer.log_request(fields)
