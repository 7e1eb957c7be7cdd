"""Traces: the provider, propagation (B3, W3C, baggage) and carriers for work done later.

Owns set-up and the format on the wire. Which request is sampled is decided by the gate in
`http.tracing`. Without an endpoint there is no provider and no exporter, but trace ids still
exist and travel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry import context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.b3 import B3MultiFormat
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .settings import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

# The gate has decided for this request: do not throw dice again. No value of OpenTelemetry's own
# context, since extracting a B3 header starts a new one of those.
decided: ContextVar[bool] = ContextVar("twelvefold_sampled", default=False)
EXPORT_TIMEOUT = 5  # seconds for one batch; a collector that is away must not delay the end
_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_providers: list[TracerProvider] = []


def configure_telemetry(settings: TelemetrySettings, *, service: str) -> None:
    """Sets the propagators and, where an endpoint is configured, the exporting provider.

    To be called before apps are created and clients opened: they ask `is_exporting`.
    """
    # The last one extracted wins: W3C over B3 where a request carries both.
    propagate.set_global_textmap(
        CompositePropagator(
            [B3MultiFormat(), TraceContextTextMapPropagator(), W3CBaggagePropagator()]
        )
    )
    if settings.otel_exporter_otlp_endpoint is None or _providers:
        return
    from .exporting import create_provider, instrument_libraries

    provider = create_provider(settings, service=service)
    _providers.append(provider)
    trace.set_tracer_provider(provider)
    instrument_libraries()


def is_exporting() -> bool:
    """Whether sampled requests should produce spans at all."""
    return bool(_providers)


def shutdown_telemetry() -> None:
    """Hands over what is buffered; blocks for at most a batch's timeout. Safe to repeat."""
    for provider in _providers:
        provider.shutdown()


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
    name: str,
    carrier: Mapping[str, str],
    *,
    attributes: Mapping[str, str | int | float | bool] | None = None,
) -> Iterator[trace.Span]:
    """A new root span that links back to the work that `carrier` came from.

    A link, not a parent: a job may run hours later or many times, and one trace would never end.
    An exception is recorded on the span and passes on.
    """
    origin = trace.get_current_span(
        _W3C.extract(dict(carrier), context.Context())
    ).get_span_context()
    links: Sequence[trace.Link] = [trace.Link(origin)] if origin.is_valid else []
    with trace.get_tracer("twelvefold").start_as_current_span(
        name,
        context=context.Context(),
        kind=trace.SpanKind.CONSUMER,
        links=links,
        attributes=dict(attributes or {}),
    ) as span:
        yield span
