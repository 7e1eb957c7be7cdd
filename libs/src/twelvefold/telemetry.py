"""Traces: the provider, propagation (B3, W3C, baggage) and carriers for work done later.

Owns set-up and the format on the wire. Which request is sampled is decided by the gate in
`http.tracing`. Without an endpoint there is no provider and no exporter, but trace ids still
exist and travel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.b3 import B3MultiFormat
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .settings import TelemetrySettings

_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def configure_telemetry(settings: TelemetrySettings, *, service: str) -> None:
    """Sets the propagators and, where an endpoint is configured, the exporting provider."""
    # The last one extracted wins: W3C over B3 where a request carries both.
    propagate.set_global_textmap(
        CompositePropagator(
            [B3MultiFormat(), TraceContextTextMapPropagator(), W3CBaggagePropagator()]
        )
    )


def current_carrier() -> dict[str, str]:
    """The current trace as W3C headers, to travel in a row or a message; empty without one."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier


def inject(headers: dict[str, str]) -> None:
    """Adds the current trace to `headers` in every format that we speak (B3 and W3C)."""
    propagate.inject(headers)


@contextmanager
def span_from_carrier(
    name: str, carrier: Mapping[str, str], *, attributes: Mapping[str, str | int] | None = None
) -> Iterator[trace.Span]:
    """A new root span that links back to the work that `carrier` came from.

    A link, not a parent: a job may run hours later or many times, and one trace would never end.
    """
    origin = trace.get_current_span(_W3C.extract(dict(carrier))).get_span_context()
    links = [trace.Link(origin)] if origin.is_valid else []
    tracer = trace.get_tracer("twelvefold")
    with tracer.start_as_current_span(
        name,
        context=context.Context(),
        kind=trace.SpanKind.CONSUMER,
        links=links,
        attributes=dict(attributes or {}),
    ) as span:
        yield span
