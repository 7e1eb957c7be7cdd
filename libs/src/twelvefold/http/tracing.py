"""Decides which requests are traced, before anything instrumented is reached.

Owns the decision and the context of the requests that are not sampled; the spans of the others
are made by opentelemetry-instrumentation-fastapi. A sampled request goes through the instrumented
app, any other through the plain one, with a non-recording span whose ids are logged and travel.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags
from starlette.types import ASGIApp, Receive, Scope, Send

from twelvefold import telemetry

from .context import current_request

if TYPE_CHECKING:
    from fastapi import FastAPI

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_PROPAGATION = frozenset(
    {
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"b3",
        b"x-b3-traceid",
        b"x-b3-spanid",
        b"x-b3-parentspanid",
        b"x-b3-sampled",
        b"x-b3-flags",
    }
)
# What the request layer picks out of the headers for the gate.
HEADERS = (b"traceparent", b"b3", b"x-b3-traceid", b"baggage")
_LINK = "twelvefold.trace_link"


class SamplingGate:
    """ASGI callable in front of the same app, instrumented and plain.

    `traced` is None where nothing is exported. With `public`, what the client says about its
    trace is no more than a link; otherwise the parent decides.
    """

    def __init__(
        self, plain: ASGIApp, traced: ASGIApp | None, *, ratio: float, public: bool
    ) -> None:
        self._plain = plain
        self._traced = traced
        self._ratio = ratio
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = current_request()
        if request is None:  # not a request: lifespan
            await self._plain(scope, receive, send)
            return
        incoming = request.incoming
        parent = _parent(scope, incoming) if incoming else None
        trusted = parent if not self._public else None
        if self._traced is not None and (
            trusted.trace_flags.sampled if trusted is not None else random.random() < self._ratio  # noqa: S311 - chance, not secrecy
        ):
            await self._sampled(self._traced, parent, scope, receive, send)
            return
        trace_id = trusted.trace_id if trusted else random.getrandbits(128) or 1
        span_id = random.getrandbits(64) or 1
        request.trace_id, request.span_id = f"{trace_id:032x}", f"{span_id:016x}"
        span = NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False))
        base = otel.Context()
        if trusted is not None and b"baggage" in incoming:
            base = propagate.extract(_carrier(scope), base)
        token = otel.attach(trace.set_span_in_context(span, base))
        try:
            await self._plain(scope, receive, send)
        finally:
            otel.detach(token)

    async def _sampled(
        self,
        traced: ASGIApp,
        parent: SpanContext | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if self._public:
            # The instrumentation must not find a parent here; ours is a new trace.
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in _PROPAGATION]
            scope[_LINK] = parent
        decided = telemetry.decided.set(True)
        token = otel.attach(otel.Context())
        try:
            await traced(scope, receive, send)
        finally:
            otel.detach(token)
            telemetry.decided.reset(decided)


def instrumented(app: FastAPI) -> ASGIApp:
    """The app's stack inside opentelemetry-instrumentation-fastapi, without receive/send spans."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app,
        server_request_hook=_on_server_span,
        meter_provider=NoOpMeterProvider(),
        excluded_urls="",
        exclude_spans=["receive", "send"],
    )
    return app.build_middleware_stack()


def _on_server_span(span: Span, scope: dict[str, Any]) -> None:
    found = span.get_span_context()
    if request := current_request():
        request.trace_id, request.span_id = f"{found.trace_id:032x}", f"{found.span_id:016x}"
        request.sampled = found.trace_flags.sampled
        span.set_attribute("request_id", request.request_id)
    if parent := scope.get(_LINK):
        span.add_link(parent)


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
