"""The exporting side of telemetry: provider, sampler, exporter, instrumented libraries.

Loaded only where an endpoint is configured. The OTLP exporter itself is imported by the thread
that sends the first batch, since it costs a start tenths of a second. Spans are redacted and
named here, at the last point before they leave and off the event loop. A collector that is away,
slow or refuses costs spans and one warning a minute, never a request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status
from opentelemetry.util.types import Attributes

from twelvefold.settings import TelemetrySettings, choose_semantic_conventions

from . import metrics
from .redaction import REDACTED, has_no_secret, is_secret, redact
from .sql_summary import summarize_statement

MAX_QUEUED_SPANS = (
    2048  # spans that may wait to be sent, some megabytes; beyond it they are dropped
)
_BATCH = 512
WARNING_EVERY = 60.0  # seconds
# Their own complaints come with every batch and every span; ours once a minute.
_TALKATIVE = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")
EXPORT_TIMEOUT = 5  # seconds for one batch; a collector that is away must not delay the end
_log = structlog.get_logger(__name__)


class EntrySpanSampler(Sampler):
    """A server span is made for sampled requests only; a child is sampled as its parent.

    A job without an origin is sampled by ratio. Nothing else begins a trace: what a process does
    by itself, several times a second, would drown the rest.
    """

    def __init__(self, ratio: float) -> None:
        self._by_ratio = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: otel.Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        parent = trace.get_current_span(parent_context).get_span_context()
        if kind is SpanKind.SERVER:
            sampled = True
        elif parent.is_valid:
            sampled = parent.trace_flags.sampled
        else:
            sampled = kind is SpanKind.CONSUMER and trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < (
                self._by_ratio.bound
            )
        decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP
        return SamplingResult(decision, attributes if sampled else None, parent.trace_state)

    def get_description(self) -> str:
        return "GateSampler"


class RedactingExporter(SpanExporter):
    """Opens the real exporter with the first batch and never hands it a secret."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/") + "/v1/traces"
        self._exporter: SpanExporter | None = None
        self._warned_at = float("-inf")
        self._lost = 0  # since the last warning
        self._failing = False
        self.ending = False
        self.handed_over = 0  # spans that have left the queue

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.handed_over += len(spans)
        if self.ending and self._failing:
            # Each further batch would take a timeout of the end's time.
            return self._ended(spans, SpanExportResult.FAILURE)
        if self._exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            self._exporter = OTLPSpanExporter(endpoint=self._endpoint, timeout=EXPORT_TIMEOUT)
        try:
            result = self._exporter.export([redacted_span(span) for span in spans])
        except Exception as error:  # a defect of the exporter is no reason to lose its thread
            _log.debug("export_failed", error=type(error).__name__)
            result = SpanExportResult.FAILURE
        return self._ended(spans, result)

    def _ended(self, spans: Sequence[ReadableSpan], result: SpanExportResult) -> SpanExportResult:
        self._failing = result is not SpanExportResult.SUCCESS
        if self._failing:
            metrics.exported_spans.labels("failed").inc(len(spans))
            self.lost(len(spans))
        else:
            metrics.exported_spans.labels("sent").inc(len(spans))
        return result

    def lost(self, count: int) -> None:
        """Warns that spans were lost, once a minute at most."""
        self._lost += count
        now = time.monotonic()
        if now - self._warned_at >= WARNING_EVERY:
            self._warned_at = now
            _log.warning("spans_lost", collector=redact(self._endpoint), spans=self._lost)
            self._lost = 0

    def shutdown(self) -> None:
        if self._exporter is not None:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter is None or self._exporter.force_flush(timeout_millis)


class BoundedProcessor(SpanProcessor):
    """Batches spans for the exporter's thread; beyond WAITING they are dropped and counted."""

    def __init__(self, exporter: RedactingExporter) -> None:
        self._exporter = exporter
        self._batches = BatchSpanProcessor(
            exporter, max_queue_size=MAX_QUEUED_SPANS + _BATCH, max_export_batch_size=_BATCH
        )
        self._taken = 0
        self._dropped = metrics.exported_spans.labels("dropped")

    def on_start(self, span: Span, parent_context: otel.Context | None = None) -> None:
        return None

    def on_end(self, span: ReadableSpan) -> None:
        if self._taken - self._exporter.handed_over >= MAX_QUEUED_SPANS:
            self._dropped.inc()
            self._exporter.lost(1)
            return
        self._taken += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        self._exporter.ending = True
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # as it ships

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._batches.force_flush(timeout_millis)


def _attributes(found: Any) -> dict[str, Any]:
    return {
        key: REDACTED if is_secret(key) else redact(value) for key, value in (found or {}).items()
    }


def _is_plain(attributes: Mapping[str, Any]) -> bool:
    for key, value in attributes.items():
        if is_secret(key) or not (isinstance(value, (int, float)) or has_no_secret(value)):
            return False
    return True


def redacted_span(span: ReadableSpan) -> ReadableSpan:
    """A finished span without secrets, a statement's under a name that tells its table."""
    found = span.attributes or {}
    if not span.events and span.status.description is None and _is_plain(found):
        if "db.query.text" not in found:
            return span  # as most are: a copy costs as much as looking
        attributes = dict(found)
    else:
        attributes = _attributes(found)
    name = span.name
    statement = attributes.get("db.query.text")
    if statement is not None and attributes.get("db.system.name") == "postgresql":
        operation, table = summarize_statement(statement)
        attributes["db.operation.name"] = operation
        name = f"{operation} {table}" if table else operation
        if table:
            attributes["db.collection.name"] = table
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
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
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    provider = TracerProvider(
        sampler=EntrySpanSampler(settings.otel_traces_sampler_arg),
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
    for outcome in ("sent", "failed", "dropped"):
        metrics.exported_spans.labels(outcome)
    endpoint = settings.otel_exporter_otlp_endpoint or ""
    provider.add_span_processor(BoundedProcessor(RedactingExporter(endpoint)))
    return provider


def instrument_libraries() -> None:
    """Spans of the database driver. asyncpg only: SQLAlchemy on top would trace twice.

    The clients of S3 and of other services are instrumented where they are opened, that of Redis
    traces itself.
    """
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor

    choose_semantic_conventions()
    AsyncPGInstrumentor().instrument()  # type: ignore[no-untyped-call]  # as it ships
