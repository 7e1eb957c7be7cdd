"""Tracing of requests: the sampling decision, trace ids and attributes of the server span.

OpenTelemetry's FastAPI instrumentation makes the span of a sampled request. An unsampled request
does not enter it: it gets ids, which are logged and propagated, and stays in the context of the
process, in which instrumented libraries make no spans.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from fastapi import FastAPI
from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import Span, SpanContext, TraceFlags
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twelvefold.context import PROPAGATION_HEADERS, RequestContext
from twelvefold.observability import telemetry
from twelvefold.settings import choose_semantic_conventions

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_PROPAGATION = frozenset(name.encode() for name in PROPAGATION_HEADERS)
# The headers in RequestContext.incoming that are read here.
HEADERS = (b"traceparent", b"b3", b"x-b3-traceid", b"baggage")
_MAX_TEXT = 200  # characters of a client's value in an attribute
_TRACE = "twelvefold.trace"  # key in the scope that the instrumentation sees
Handle = Callable[[Send], Awaitable[None]]


class RequestTracer:
    """The sampler of the requests of one app. `ratio` is the share of new traces to sample.

    A client's span becomes a link with `public`; otherwise it is the parent, and its sampling
    decision applies.
    """

    def __init__(self, *, ratio: float, public: bool) -> None:
        self._instrumented = _create_instrumented_app() if telemetry.is_exporting() else None
        self._ratio = ratio
        self._public = public

    def begin(self, scope: Scope, request: RequestContext) -> RequestTrace | None:
        """Set the ids of the request and return its trace.

        Returns None for an unsampled request without baggage, which needs no context.
        """
        incoming = request.incoming
        parent = _find_parent(scope, incoming) if incoming else None
        trusted = None if self._public else parent
        if self._instrumented is not None and (
            trusted.trace_flags.sampled if trusted is not None else random.random() < self._ratio  # noqa: S311 - chance, not secrecy
        ):
            link = parent if self._public else None
            return _Sampled(self._instrumented, scope, request, public=self._public, link=link)
        trace_id = trusted.trace_id if trusted else random.getrandbits(128) or 1
        span_id = random.getrandbits(64) or 1
        request.trace_id, request.span_id = f"{trace_id:032x}", f"{span_id:016x}"
        if self._public or b"baggage" not in incoming:
            return None
        return RequestTrace(propagate.extract(_carrier(scope), otel.get_current()))


class RequestTrace:
    """A request that runs in its own OpenTelemetry context, without a span."""

    def __init__(self, context: otel.Context) -> None:
        self._context = context

    async def serve(self, handle: Handle, receive: Receive, send: Send) -> None:
        """Call `handle` in the context, with the function that sends the response."""
        token = otel.attach(self._context)
        try:
            await handle(send)
        finally:
            otel.detach(token)

    def record_exception(self, error: BaseException) -> None:
        """Record an exception that no handler caught."""


class _Sampled(RequestTrace):
    """A request with a server span, from its first byte to its last."""

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        request: RequestContext,
        *,
        public: bool,
        link: SpanContext | None,
    ) -> None:
        super().__init__(otel.Context())
        self._app = app
        self._scope = scope
        self._request = request
        self._link = link
        self._public = public
        self._handle: Handle
        self._span: Span

    async def serve(self, handle: Handle, receive: Receive, send: Send) -> None:
        self._handle = handle

        async def instrumented(send: Send) -> None:
            await self._app(self._build_scope(), receive, send)

        await super().serve(instrumented, receive, send)

    def _build_scope(self) -> dict[str, Any]:
        """Return the scope for the instrumentation, without the query, which may have tokens."""
        headers = [
            (name, value[:_MAX_TEXT] if name == b"user-agent" else value)
            for name, value in self._scope["headers"]
            if name == b"user-agent" or (name in _PROPAGATION and not self._public)
        ]
        return {
            **{key: self._scope.get(key) for key in _SCOPE_KEYS},
            "path": self._scope["path"][:_MAX_TEXT],
            "query_string": b"",
            "headers": headers,
            _TRACE: self,
        }

    def begin(self, span: Span) -> None:
        """Take over the span of the instrumentation, with its ids."""
        self._span = span
        ids = span.get_span_context()
        request = self._request
        request.trace_id, request.span_id = f"{ids.trace_id:032x}", f"{ids.span_id:016x}"
        request.sampled = span.is_recording()
        span.set_attribute("request_id", request.request_id)
        if server := self._scope.get("server"):
            span.set_attribute("server.address", server[0])  # the library appends the port
        if self._link is not None:
            span.add_link(self._link)

    async def run(self, send: Send) -> None:
        """Serve the request in its span, which ends with the last message of the response."""
        responded = False

        async def send_described(message: Message) -> None:
            nonlocal responded
            if message["type"] == "http.response.start":
                responded = True
                self._describe()
            await send(message)

        try:
            await self._handle(send_described)
        finally:
            if not responded:
                self._describe()
                self._span.set_attribute("error.type", "client_left")

    def _describe(self) -> None:
        """Set the span's name and attributes by the route and the caller, now known."""
        if route := getattr(self._scope.get("route"), "path", None):
            self._span.update_name(f"{self._scope['method']} {route}")
            self._span.set_attribute("http.route", route)
        if self._request.principal is not None:
            self._span.set_attribute("user.id", self._request.principal)

    def record_exception(self, error: BaseException) -> None:
        self._span.record_exception(error)


_SCOPE_KEYS = ("type", "method", "scheme", "http_version", "server", "client", "app")


class _Entry(FastAPI):
    """The instrumented app, which has no routes; its innermost middleware serves the real request.

    The instrumentation matches all routes of its app in order to name the span. Without routes that
    costs no time, and `_Sampled` names the span by the route that served the request.
    """

    def build_middleware_stack(self) -> ASGIApp:
        return ServerErrorMiddleware(_serve)  # the shape that the instrumentation expects


async def _serve(scope: Scope, _: Receive, send: Send) -> None:
    await cast("_Sampled", scope[_TRACE]).run(send)


def _on_span(span: Span, scope: Scope) -> None:
    cast("_Sampled", scope[_TRACE]).begin(span)


def _create_instrumented_app() -> ASGIApp:
    """Return the app in OpenTelemetry's instrumentation, which makes server spans only."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    choose_semantic_conventions()
    entry = _Entry(telemetry={"tracing": False, "metrics": False, "logs": False}, openapi_url=None)
    FastAPIInstrumentor.instrument_app(
        entry,
        server_request_hook=_on_span,
        meter_provider=NoOpMeterProvider(),
        excluded_urls="",
        exclude_spans=["receive", "send"],
    )
    return entry


def _find_parent(scope: Scope, incoming: Mapping[bytes, bytes]) -> SpanContext | None:
    """Return the caller's span as the propagators would, W3C before B3, or None."""
    header = incoming.get(b"traceparent")
    if header is not None and (match := _TRACEPARENT.fullmatch(header)):
        trace_id, span_id = int(match[1], 16), int(match[2], 16)
        if trace_id and span_id:
            flags = TraceFlags(int(match[3], 16))
            return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    if b"x-b3-traceid" in incoming or b"b3" in incoming:
        span = trace.get_current_span(propagate.extract(_carrier(scope), otel.Context()))
        parent = span.get_span_context()
        return parent if parent.is_valid else None
    return None


def _carrier(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _PROPAGATION
    }
