"""Traces: the provider, propagation (B3, W3C, baggage) and carriers for work done later.

Owns set-up and the format on the wire. Which request is sampled is decided in `http.middleware.tracing`,
spans are made by `spans`. Without an endpoint there is no provider and no exporter, but trace ids
still exist and travel.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.propagators.b3 import B3MultiFormat
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from twelvefold.context import current_request
from twelvefold.settings import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_BAGGAGE = W3CBaggagePropagator()
_W3C = CompositePropagator([TraceContextTextMapPropagator(), _BAGGAGE])
_NOTHING = nullcontext()
_providers: list[TracerProvider] = []


def configure_telemetry(settings: TelemetrySettings, *, service: str) -> None:
    """Sets the propagators and, where an endpoint is configured, the exporting provider.

    To be called before apps are created and clients opened: they ask `is_exporting`.
    """
    # The last one extracted wins: W3C over B3 where a request carries both.
    propagate.set_global_textmap(
        CompositePropagator([B3MultiFormat(), TraceContextTextMapPropagator(), _BAGGAGE])
    )
    if settings.otel_exporter_otlp_endpoint is None or _providers:
        return
    from .export import create_provider, instrument_libraries

    provider = create_provider(settings, service=service)
    _providers.append(provider)
    trace.set_tracer_provider(provider)
    instrument_libraries()
    # For the life of the process: whoever records leaves this context, nobody has to enter it.
    otel.attach(_UNRECORDED)


def is_exporting() -> bool:
    """Whether sampled requests should produce spans at all."""
    return bool(_providers)


def shutdown_telemetry() -> None:
    """Hands over what is buffered; blocks for at most a batch's timeout. Safe to repeat."""
    for provider in _providers:
        provider.shutdown()


@cache
def tracer() -> trace.Tracer:
    """Of spans that are ours and no library's."""
    return trace.get_tracer("twelvefold")


def suppress_spans() -> AbstractContextManager[None]:
    """A block in which instrumented libraries make no spans, although one is being recorded."""
    request = current_request()
    if is_exporting() and (request is None or request.sampled):
        return suppress_instrumentation()
    return _NOTHING


def _suppressed() -> otel.Context:
    token = otel.attach(otel.Context())
    try:
        with suppress_instrumentation():
            return otel.get_current()
    finally:
        otel.detach(token)


# In it instrumented libraries make no spans. They look at it before anything else, so that what is
# not sampled, and what a process does by itself, pays next to nothing.
_UNRECORDED = _suppressed()


def current_carrier() -> dict[str, str]:
    """The current trace as W3C headers, to travel in a row or a message; empty without one."""
    carrier: dict[str, str] = {}
    request = current_request()
    if request is None or request.sampled:
        _W3C.inject(carrier)
    elif request.traceparent is not None:
        carrier["traceparent"] = request.traceparent
        _BAGGAGE.inject(carrier)
    return carrier


def inject(headers: dict[str, str]) -> None:
    """Adds the current trace to `headers` in every format that we speak (B3 and W3C)."""
    request = current_request()
    if request is None or request.sampled or request.traceparent is None:
        propagate.inject(headers)
        return
    headers["traceparent"] = request.traceparent
    headers["x-b3-traceid"] = request.trace_id or ""
    headers["x-b3-spanid"] = request.span_id or ""
    headers["x-b3-sampled"] = "0"
    _BAGGAGE.inject(headers)


@contextmanager
def resume_trace(
    name: str,
    carrier: Mapping[str, str],
    *,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """A span of work done later, in the trace of the work that `carrier` came from.

    It is a child of the span that handed the work over, so that one request stays one connected
    trace however late it is done, and links to it, which tells a hand-over from a call. Without
    a carrier it begins a trace. An exception is recorded on the span and passes on. Where nothing
    is recorded the span still has ids, and the same trace.
    """
    base = _W3C.extract(dict(carrier), otel.Context())
    origin = trace.get_current_span(base).get_span_context()
    if is_exporting():
        span = tracer().start_span(
            name,
            context=base,
            kind=SpanKind.CONSUMER,
            links=[Link(origin)] if origin.is_valid else None,
            attributes=attributes,
        )
        if span.is_recording():
            token = otel.attach(trace.set_span_in_context(span, base))
            try:
                with trace.use_span(span, end_on_exit=True):
                    yield span
            finally:
                otel.detach(token)
            return
    ids = SpanContext(
        trace_id=origin.trace_id if origin.is_valid else random.getrandbits(128) or 1,
        span_id=random.getrandbits(64) or 1,
        is_remote=False,
    )
    yield NonRecordingSpan(ids)
