"""Export of spans: provider, sampler, exporter, instrumented libraries.

Imported only where an OTLP endpoint is configured. The thread that sends the first batch imports
the OTLP exporter, because that import would add tenths of a second to the start. Spans are
redacted and named here, off the event loop, as the last step before they leave the process. A
collector that is unavailable, slow or refusing costs spans and one warning a minute, never a
request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
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

MAX_QUEUED_SPANS = 2048  # some megabytes; further spans are dropped
_MAX_BATCH_SPANS = 512
WARNING_INTERVAL = 60.0  # seconds
# These loggers warn for every batch and every span; `RedactingExporter` warns once a minute.
_NOISY_LOGGERS = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")
EXPORT_TIMEOUT = 5  # seconds for one batch, so that a lost collector does not delay the shutdown
_log = structlog.get_logger(__name__)


class EntrySpanSampler(Sampler):
    """Sample server spans always, child spans as their parent, and jobs without parent by ratio.

    The middleware starts a server span for sampled requests only. Nothing else begins a trace:
    the periodic work of a process would outnumber all other traces.
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
        return "EntrySpanSampler"


class RedactingExporter(SpanExporter):
    """Redact spans and send them by OTLP; the first batch opens the OTLP exporter."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/") + "/v1/traces"
        self._exporter: SpanExporter | None = None
        self._warned_at = float("-inf")
        self._unreported = 0  # spans lost since the last warning
        self._failing = False
        self.is_shutting_down = False
        self.dequeued_spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.dequeued_spans += len(spans)
        if self.is_shutting_down and self._failing:
            # Each further batch would delay the shutdown by one timeout.
            return self._record_result(spans, SpanExportResult.FAILURE)
        if self._exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            self._exporter = OTLPSpanExporter(endpoint=self._endpoint, timeout=EXPORT_TIMEOUT)
        try:
            result = self._exporter.export([redact_span(span) for span in spans])
        except Exception as error:  # a defect of the exporter must not end its thread
            _log.debug("export_failed", error=type(error).__name__)
            result = SpanExportResult.FAILURE
        return self._record_result(spans, result)

    def _record_result(
        self, spans: Sequence[ReadableSpan], result: SpanExportResult
    ) -> SpanExportResult:
        self._failing = result is not SpanExportResult.SUCCESS
        if self._failing:
            metrics.exported_spans.labels("failed").inc(len(spans))
            self.warn_of_loss(len(spans))
        else:
            metrics.exported_spans.labels("sent").inc(len(spans))
        return result

    def warn_of_loss(self, count: int) -> None:
        """Count `count` lost spans, and log their sum at most once a minute."""
        self._unreported += count
        now = time.monotonic()
        if now - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = now
            _log.warning("spans_lost", collector=redact(self._endpoint), spans=self._unreported)
            self._unreported = 0

    def shutdown(self) -> None:
        if self._exporter is not None:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter is None or self._exporter.force_flush(timeout_millis)


class BoundedProcessor(SpanProcessor):
    """Queue spans for the exporter's thread; beyond MAX_QUEUED_SPANS drop and count them."""

    def __init__(self, exporter: RedactingExporter) -> None:
        self._exporter = exporter
        self._batches = BatchSpanProcessor(
            exporter,
            max_queue_size=MAX_QUEUED_SPANS + _MAX_BATCH_SPANS,
            max_export_batch_size=_MAX_BATCH_SPANS,
        )
        self._queued_spans = 0
        self._dropped = metrics.exported_spans.labels("dropped")

    def on_start(self, span: Span, parent_context: otel.Context | None = None) -> None:
        return None

    def on_end(self, span: ReadableSpan) -> None:
        if self._queued_spans - self._exporter.dequeued_spans >= MAX_QUEUED_SPANS:
            self._dropped.inc()
            self._exporter.warn_of_loss(1)
            return
        self._queued_spans += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        self._exporter.is_shutting_down = True
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # the library has no types

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._batches.force_flush(timeout_millis)


def _redact_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        key: REDACTED if is_secret(key) else redact(value)
        for key, value in (attributes or {}).items()
    }


def _is_plain(attributes: Mapping[str, Any]) -> bool:
    for key, value in attributes.items():
        if is_secret(key) or not (isinstance(value, (int, float)) or has_no_secret(value)):
            return False
    return True


def redact_span(span: ReadableSpan) -> ReadableSpan:
    """Return a finished span without secrets; a SQL span is named by operation and table."""
    original = span.attributes or {}
    if not span.events and span.status.description is None and _is_plain(original):
        if "db.query.text" not in original:
            return span  # the common case needs no copy
        attributes = dict(original)
    else:
        attributes = _redact_attributes(original)
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
            Event(event.name, _redact_attributes(event.attributes), event.timestamp)
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
    """Return a provider that exports to the configured endpoint, which must be set."""
    for name in _NOISY_LOGGERS:
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
        shutdown_on_exit=False,  # the process shuts it down, after its listeners
    )
    for outcome in ("sent", "failed", "dropped"):
        metrics.exported_spans.labels(outcome)
    endpoint = settings.otel_exporter_otlp_endpoint or ""
    provider.add_span_processor(BoundedProcessor(RedactingExporter(endpoint)))
    return provider


def instrument_libraries() -> None:
    """Instrument asyncpg, not SQLAlchemy: together they would trace each statement twice.

    The clients of S3 and of other services are instrumented where they are opened. The Redis
    client makes its own spans.
    """
    if find_spec("asyncpg") is None:  # a service without a database
        return
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor

    choose_semantic_conventions()
    AsyncPGInstrumentor().instrument()  # type: ignore[no-untyped-call]  # the library has no types
