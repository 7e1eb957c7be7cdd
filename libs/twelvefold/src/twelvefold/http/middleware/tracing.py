"""Decides which requests are traced, before anything is done for them.

Owns the decision, the ids of every request, which are logged and propagated, and what the server
span of a sampled request says beyond the semantic conventions. The span itself is made by
OpenTelemetry's FastAPI instrumentation. A request that is not sampled does not enter it: it stays
in the context of the process, in which instrumented libraries make no spans, and pays for ids only.
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

from twelvefold.context import RequestContext
from twelvefold.observability import telemetry
from twelvefold.settings import choose_semantic_conventions

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
PROPAGATION_HEADERS = (
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
)
_PROPAGATION = frozenset(name.encode() for name in PROPAGATION_HEADERS)
# What the request layer picks out of the headers for us.
HEADERS = (b"traceparent", b"b3", b"x-b3-traceid", b"baggage")
_MAX_TEXT = 200  # characters that are kept of what a client says
_TRACED = "twelvefold.traced"  # key of the scope that the instrumentation sees
Handle = Callable[[Send], Awaitable[None]]


class RequestTracer:
    """Traces the requests of one app. `ratio` is the share of new traces that are sampled.

    With `public`, a client's span becomes a link; otherwise it is the parent and decides.
    """

    def __init__(self, *, ratio: float, public: bool) -> None:
        self._instrumented = _instrumented_app() if telemetry.is_exporting() else None
        self._ratio = ratio
        self._public = public

    def begin(self, scope: Scope, request: RequestContext) -> RequestTrace | None:
        """Give the request its ids. Return what it runs in, or None for most that are not sampled."""
        incoming = request.incoming
        parent = _parent(scope, incoming) if incoming else None
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
    """A request that runs in a context of its own; unless sampled it has no span there."""

    def __init__(self, context: otel.Context) -> None:
        self._context = context

    async def serve(self, handle: Handle, receive: Receive, send: Send) -> None:
        """Call `handle` within the context, with what to send by."""
        token = otel.attach(self._context)
        try:
            await handle(send)
        finally:
            otel.detach(token)

    def failed(self, error: BaseException) -> None:
        """Record an exception that no handler took."""


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
            await self._app(self._visible(), receive, send)

        await super().serve(instrumented, receive, send)

    def _visible(self) -> dict[str, Any]:
        """What the instrumentation may see: no query (it may hold tokens) and no other headers."""
        headers = [
            (name, value[:_MAX_TEXT] if name == b"user-agent" else value)
            for name, value in self._scope["headers"]
            if name == b"user-agent" or (name in _PROPAGATION and not self._public)
        ]
        return {
            **{key: self._scope.get(key) for key in _VISIBLE},
            "path": self._scope["path"][:_MAX_TEXT],
            "query_string": b"",
            "headers": headers,
            _TRACED: self,
        }

    def begun(self, span: Span) -> None:
        """Take the ids of the span that the instrumentation has made."""
        self._span = span
        found = span.get_span_context()
        request = self._request
        request.trace_id, request.span_id = f"{found.trace_id:032x}", f"{found.span_id:016x}"
        request.sampled = span.is_recording()
        span.set_attribute("request_id", request.request_id)
        if server := self._scope.get("server"):
            span.set_attribute("server.address", server[0])  # the library appends the port
        if self._link is not None:
            span.add_link(self._link)

    async def run(self, send: Send) -> None:
        """Serve the request within its span, which the last message of the response ends."""
        responded = False

        async def described(message: Message) -> None:
            nonlocal responded
            if message["type"] == "http.response.start":
                responded = True
                self._describe()
            await send(message)

        try:
            await self._handle(described)
        finally:
            if not responded:
                self._describe()
                self._span.set_attribute("error.type", "client_left")

    def _describe(self) -> None:
        """Name the span by what is known since the request was routed and authenticated."""
        if route := getattr(self._scope.get("route"), "path", None):
            self._span.update_name(f"{self._scope['method']} {route}")
            self._span.set_attribute("http.route", route)
        if self._request.principal is not None:
            self._span.set_attribute("user.id", self._request.principal)

    def failed(self, error: BaseException) -> None:
        self._span.record_exception(error)


_VISIBLE = ("type", "method", "scheme", "http_version", "server", "client", "app")


class _Entry(FastAPI):
    """What is instrumented: an app of no routes, whose innermost layer serves the real request.

    The instrumentation matches every route of its app before a request is routed, only to name the
    span; here that costs nothing, and `_Sampled` names the span by the route that was taken.
    """

    def build_middleware_stack(self) -> ASGIApp:
        return ServerErrorMiddleware(_serve)  # the shape that the instrumentation expects


async def _serve(scope: Scope, _: Receive, send: Send) -> None:
    await cast("_Sampled", scope[_TRACED]).run(send)


def _begun(span: Span, scope: Scope) -> None:
    cast("_Sampled", scope[_TRACED]).begun(span)


def _instrumented_app() -> ASGIApp:
    """Return the app behind OpenTelemetry's instrumentation, with spans of requests alone."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    choose_semantic_conventions()
    entry = _Entry(telemetry={"tracing": False, "metrics": False, "logs": False}, openapi_url=None)
    FastAPIInstrumentor.instrument_app(
        entry,
        server_request_hook=_begun,
        meter_provider=NoOpMeterProvider(),
        excluded_urls="",
        exclude_spans=["receive", "send"],
    )
    return entry


def _parent(scope: Scope, incoming: Mapping[bytes, bytes]) -> SpanContext | None:
    """The caller's span as the propagators would find it, W3C before B3, or None."""
    header = incoming.get(b"traceparent")
    if header is not None and (match := _TRACEPARENT.fullmatch(header)):
        trace_id, span_id = int(match[1], 16), int(match[2], 16)
        if trace_id and span_id:
            flags = TraceFlags(int(match[3], 16))
            return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    if b"x-b3-traceid" in incoming or b"b3" in incoming:
        found = trace.get_current_span(propagate.extract(_carrier(scope), otel.Context()))
        parent = found.get_span_context()
        return parent if parent.is_valid else None
    return None


def _carrier(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _PROPAGATION
    }
