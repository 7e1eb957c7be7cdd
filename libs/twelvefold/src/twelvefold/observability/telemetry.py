"""Traces: set-up, propagation (B3, W3C, baggage) and carriers for deferred work.

`http.middleware.tracing` decides which requests are sampled; `spans` makes spans. Without an
endpoint there is no provider and no exporter, but trace ids are still made and propagated.
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
from twelvefold.extras import require_extra
from twelvefold.settings import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_BAGGAGE = W3CBaggagePropagator()
_W3C = CompositePropagator([TraceContextTextMapPropagator(), _BAGGAGE])
_NOTHING = nullcontext()
_providers: list[TracerProvider] = []


def configure_telemetry(settings: TelemetrySettings, *, service: str) -> None:
    """Set the propagators and, if an endpoint is configured, the exporting provider.

    Call it before apps are created and clients opened: they read `is_exporting`.
    """
    # The last propagator wins: W3C over B3 where a request carries both.
    propagate.set_global_textmap(
        CompositePropagator([B3MultiFormat(), TraceContextTextMapPropagator(), _BAGGAGE])
    )
    if settings.otel_exporter_otlp_endpoint is None or _providers:
        return
    require_extra("otel", "OTEL_EXPORTER_OTLP_ENDPOINT")
    from .export import create_provider, instrument_libraries

    provider = create_provider(settings, service=service)
    _providers.append(provider)
    trace.set_tracer_provider(provider)
    instrument_libraries()
    # The default for the whole process: recorded work leaves this context.
    otel.attach(_UNRECORDED)


def is_exporting() -> bool:
    """Return whether sampled requests produce spans."""
    return bool(_providers)


def shutdown_telemetry() -> None:
    """Send the buffered spans; block for at most one batch's timeout. Safe to repeat."""
    for provider in _providers:
        provider.shutdown()


@cache
def tracer() -> trace.Tracer:
    """Return the tracer of manual spans."""
    return trace.get_tracer("twelvefold")


def suppress_spans() -> AbstractContextManager[None]:
    """Return a block in which instrumented libraries make no spans."""
    request = current_request()
    if is_exporting() and (request is None or request.sampled):
        return suppress_instrumentation()
    return _NOTHING


def _suppressed_context() -> otel.Context:
    token = otel.attach(otel.Context())
    try:
        with suppress_instrumentation():
            return otel.get_current()
    finally:
        otel.detach(token)


# Instrumented libraries make no spans in this context. They check it before anything else, so that
# unsampled and periodic work costs next to nothing.
_UNRECORDED = _suppressed_context()


def current_carrier() -> dict[str, str]:
    """Return the current trace as W3C headers, for a row or a message; empty without a trace."""
    carrier: dict[str, str] = {}
    request = current_request()
    if request is None or request.sampled:
        _W3C.inject(carrier)
    elif request.traceparent is not None:
        carrier["traceparent"] = request.traceparent
        _BAGGAGE.inject(carrier)
    return carrier


def inject(headers: dict[str, str]) -> None:
    """Add the current trace to `headers` in B3 and W3C formats."""
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
    """Yield a span of deferred work, in the trace that `carrier` came from.

    The span is a child of the span that deferred the work, so that one request stays one trace,
    and links to it, which distinguishes deferred work from a call. Without a carrier it begins a
    trace. It records an exception and re-raises it. Where nothing is recorded, the span still has
    ids in the same trace.
    """
    base = _W3C.extract(dict(carrier), otel.Context()) if carrier else otel.Context()
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
