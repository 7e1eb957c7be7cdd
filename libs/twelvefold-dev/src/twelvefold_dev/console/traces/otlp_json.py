"""Spans as OTLP JSON, the format in which viewers such as Jaeger open a trace.

The mapping is that of Protobuf with OTLP's exceptions: ids are hexadecimal, kinds and codes are
numbers (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"). The content is what the store
has, redacted and cut; of a resource it has the service's name and instance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from .spans import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Span

_KINDS = {INTERNAL: 1, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5}
_ERROR = 2  # STATUS_CODE_ERROR
Json = dict[str, Any]


def to_otlp(spans: Iterable[Span]) -> Json:
    """Return an ExportTraceServiceRequest with one resource for each instance of a service."""
    resources: dict[tuple[str, str], dict[str, list[Json]]] = defaultdict(lambda: defaultdict(list))
    for span in spans:
        resources[span.service, span.instance][span.scope].append(_span(span))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(_resource(*identity))},
                "scopeSpans": [
                    {"scope": {"name": scope}, "spans": listed} for scope, listed in scopes.items()
                ],
            }
            for identity, scopes in resources.items()
        ]
    }


def _resource(service: str, instance: str) -> dict[str, str]:
    named = {"service.name": service, "service.instance.id": instance}
    return {name: value for name, value in named.items() if value}


def _span(span: Span) -> Json:
    wire: Json = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(span.end),
        "attributes": _attributes(span.attributes),
        "events": [
            {
                "timeUnixNano": str(event.time),
                "name": event.name,
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
        "links": [{"traceId": link.trace_id, "spanId": link.span_id} for link in span.links],
        "status": {"code": _ERROR, "message": span.message} if span.failed else {},
    }
    return {**wire, "parentSpanId": span.parent_id} if span.parent_id else wire


def _attributes(values: Mapping[str, Any]) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # Protobuf writes 64-bit integers as text
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _attributes(value)}}
    return {}
