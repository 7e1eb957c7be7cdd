"""The outermost middleware of a service app: one ASGI callable around each request.

Owns the request's context (id, deadline, routing), the concurrency limit, the time limit and the
500 of an unexpected error. It is one middleware, since each further one costs time per request.
`exchange` records metrics, span and log line; `response_headers` completes the response.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

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
from twelvefold.resilience.admission import AdmissionQueue
from twelvefold.service.health import Health

from . import tracing
from .cors import CorsPolicy
from .exchange import MAX_LOGGED_PATH, Exchange, RequestTimer
from .header_fields import keep_encoded_slashes, normalize_head
from .request_slot import RequestSlot
from .response_headers import ResponseHeaders

_ROUTING = {name.encode(): name for name in ROUTING_HEADERS}
_INCOMING = frozenset(
    {b"origin", b"x-request-id", b"x-request-deadline", *_ROUTING, *tracing.HEADERS}
)
_MAX_DEADLINE_DIGITS = 12  # of milliseconds; far beyond any timeout
TARGET = 0.5  # seconds of waiting for a slot; above it a queue that stands is an overload
# Shares of the longest wait. A call on an internal app has waited before it was made.
_INTERNAL_SHARE, _SIGNED_IN_SHARE, _ANONYMOUS_SHARE = 4 / 3, 1.0, 2 / 3


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits on the requests of one app. `timeout` and `max_wait` are in seconds."""

    timeout: float
    max_concurrency: int
    max_waiting: int
    max_wait: float
    deployed: bool = False
    public: bool = True
    cors: CorsPolicy | None = None
    # Paths with this ending stream events: they have no timeout and do not count as concurrent.
    untimed_suffix: str = "/events"
    # Paths that are served at once, also at the limit of concurrency.
    unbounded: frozenset[str] = frozenset({"/health", "/ready"})


class RequestMiddleware:
    """ASGI middleware that serves each request in its context and within its limits."""

    def __init__(
        self, app: ASGIApp, limits: RequestLimits, health: Health, tracer: tracing.RequestTracer
    ) -> None:
        self.app = app
        self._tracer = tracer
        self._limits = limits
        self._health = health
        self._headers = ResponseHeaders(health, limits.cors, deployed=limits.deployed)
        self._admission = AdmissionQueue(
            "http_public" if limits.public else "http_internal",
            slots=limits.max_concurrency,
            max_waiting=limits.max_waiting,
            max_wait=limits.max_wait,
            target=TARGET,
        )
        self._refused = metrics.http_requests_refused.labels("concurrency")
        # Bound here: a lazy logger would keep the configuration of its first line.
        self._log = structlog.get_logger(REQUEST_LOGGER).bind()
        self._log_request = request_log()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        keep_encoded_slashes(scope)
        if scope["path"] == PING_PATH and not self._limits.public:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        context = self._create_context(scope)
        exchange = Exchange(scope, send, context, headers=self._headers, log=self._log_request)
        token = current.set(context)
        trace = exchange.trace = self._tracer.begin(scope, context)
        # Event streams have a limit of their own.
        is_timed = not scope["path"].endswith(self._limits.untimed_suffix)
        metrics.counts.active += 1
        try:
            if trace is None:
                await self._serve(exchange, scope, receive, is_timed=is_timed)
            else:

                async def handle(send: Send) -> None:
                    exchange.send_by(send)
                    await self._serve(exchange, scope, receive, is_timed=is_timed)

                await trace.serve(handle, receive, send)
        finally:
            metrics.counts.active -= 1
            exchange.report()
            current.reset(token)

    async def _serve(
        self, exchange: Exchange, scope: Scope, receive: Receive, *, is_timed: bool
    ) -> None:
        send = exchange.send
        if response := self._respond_early(scope):
            await response(scope, receive, send)
            return
        timer = RequestTimer(exchange.context) if is_timed else None
        is_bounded = is_timed and scope["path"] not in self._limits.unbounded
        serve = self._serve_bounded if is_bounded else self.app
        try:
            await serve(scope, receive, send)
        except asyncio.CancelledError:
            if timer is not None and timer.has_expired():
                await exchange.refuse_late(receive)
            elif self._health.draining and exchange.status is None:
                await self._refuse_drained(exchange, scope, receive)
            else:
                raise
        except Exception as error:
            if timer is not None and timer.has_expired():
                # A library turned the cancellation by the timer into another error.
                await exchange.refuse_late(receive)
                return
            if exchange.trace is not None:
                exchange.trace.record_exception(error)
            self._log.exception(
                "unhandled_error", path=scope["path"][:MAX_LOGGED_PATH], method=scope["method"]
            )
            # If the response has begun, the return makes the server cut the connection.
            if exchange.status is None:
                await internal_error(scope)(scope, receive, send)
        finally:
            if timer is not None:
                timer.cancel()

    async def _serve_bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request once it has a slot; respond with 503 if it gets none."""
        if not self._admission.enter():
            try:
                await self._admission.wait(share=self._share_of(scope))
            except Overloaded as overloaded:
                self._refused.inc()
                await problem_response(overloaded, scope)(scope, receive, send)
                return
        slot = RequestSlot(self._admission, receive)
        try:
            await self.app(scope, slot.receive, send)
        finally:
            slot.leave()

    def _share_of(self, scope: Scope) -> float:
        """Return the share of the longest wait for this caller, whose token is not yet verified."""
        if not self._limits.public:
            return _INTERNAL_SHARE
        is_signed_in = any(name == b"authorization" for name, _ in scope["headers"])
        return _SIGNED_IN_SHARE if is_signed_in else _ANONYMOUS_SHARE

    def _respond_early(self, scope: Scope) -> Response | None:
        """Return the response to an invalid head or to a preflight."""
        limits = self._limits
        if error := normalize_head(scope):
            return problem_response(error, scope)
        if limits.cors is not None and (response := limits.cors.preflight(scope)):
            return response
        return None

    @staticmethod
    async def _refuse_drained(exchange: Exchange, scope: Scope, receive: Receive) -> None:
        """Respond with 503, since the server cancelled the request after the grace period."""
        if task := asyncio.current_task():
            task.uncancel()
        draining = Unavailable("The server is shutting down. Try again.", retry_after=1)
        await problem_response(draining, scope)(scope, receive, exchange.send)

    def _create_context(self, scope: Scope) -> RequestContext:
        """Return the context of a request; its deadline header counts on internal apps only."""
        incoming = {name: value for name, value in scope["headers"] if name in _INCOMING}
        timeout = self._limits.timeout
        if not incoming:
            return RequestContext(accept_request_id(None), time.monotonic() + timeout)
        request_id = incoming.get(b"x-request-id")
        remaining = incoming.get(b"x-request-deadline", b"")
        if (
            not self._limits.public
            and remaining.isdigit()
            and len(remaining) <= _MAX_DEADLINE_DIGITS
        ):
            timeout = min(timeout, int(remaining) / 1000)
        return RequestContext(
            accept_request_id(request_id.decode("latin-1") if request_id else None),
            time.monotonic() + timeout,
            {
                name: incoming[key].decode("latin-1")
                for key, name in _ROUTING.items()
                if key in incoming
            },
            incoming=incoming,
        )
