"""The exporting side of telemetry: provider, sampler, exporter, instrumented libraries.

Loaded only where an endpoint is configured. The OTLP exporter itself is imported by the thread
that sends the first batch, since it costs a start tenths of a second. Spans are redacted here,
at the last point before they leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry import context as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Status

from .redaction import REDACTED, is_secret, redact
from .settings import TelemetrySettings
from .telemetry import EXPORT_TIMEOUT, decided


class GateSampler(Sampler):
    """What the gate has decided holds; any other root is sampled by ratio, a child as its parent."""

    def __init__(self, ratio: float) -> None:
        self._otherwise = ParentBased(TraceIdRatioBased(ratio))

    def should_sample(
        self, parent_context: otel.Context | None, *args: Any, **kwargs: Any
    ) -> SamplingResult:
        sampler = ALWAYS_ON if decided.get() else self._otherwise
        return sampler.should_sample(parent_context, *args, **kwargs)

    def get_description(self) -> str:
        return "GateSampler"


class RedactingExporter(SpanExporter):
    """Opens the real exporter with the first batch and never hands it a secret."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/") + "/v1/traces"
        self._exporter: SpanExporter | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            self._exporter = OTLPSpanExporter(endpoint=self._endpoint, timeout=EXPORT_TIMEOUT)
        return self._exporter.export([redacted_span(span) for span in spans])

    def shutdown(self) -> None:
        if self._exporter is not None:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter is None or self._exporter.force_flush(timeout_millis)


def _attributes(found: Any) -> dict[str, Any]:
    return {
        key: REDACTED if is_secret(key) else redact(value) for key, value in (found or {}).items()
    }


def redacted_span(span: ReadableSpan) -> ReadableSpan:
    """A copy of a finished span without secrets in its attributes and events."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_attributes(span.attributes),
        events=[
            Event(event.name, _attributes(event.attributes), event.timestamp)
            for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, redact(span.status.description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def create_provider(settings: TelemetrySettings, *, service: str) -> TracerProvider:
    """A provider that exports to the configured endpoint (which must be set)."""
    provider = TracerProvider(
        sampler=GateSampler(settings.otel_traces_sampler_arg),
        resource=Resource.create(
            {
                "service.name": service,
                "service.namespace": "twelvefold",
                "service.version": settings.service_version,
                "service.instance.id": settings.instance_id,
                "deployment.environment.name": str(settings.environment),
            }
        ),
        shutdown_on_exit=False,  # the process does it in order
    )
    endpoint = settings.otel_exporter_otlp_endpoint or ""
    provider.add_span_processor(BatchSpanProcessor(RedactingExporter(endpoint)))
    return provider


def instrument_libraries() -> None:
    """Spans of the database driver and Redis. asyncpg only: SQLAlchemy on top would trace twice."""
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    AsyncPGInstrumentor().instrument()  # type: ignore[no-untyped-call]  # as it ships
    RedisInstrumentor().instrument()
