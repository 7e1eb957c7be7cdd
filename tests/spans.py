"""Spans for tests: as the console keeps them, and as exporters send them."""

from __future__ import annotations

import itertools
import time
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from twelvefold_dev.console.traces.spans import Event, Span

MS = 1_000_000
_numbers = itertools.count(1)
_KINDS = {
    "server": WireSpan.SPAN_KIND_SERVER,
    "client": WireSpan.SPAN_KIND_CLIENT,
    "producer": WireSpan.SPAN_KIND_PRODUCER,
    "consumer": WireSpan.SPAN_KIND_CONSUMER,
    "internal": WireSpan.SPAN_KIND_INTERNAL,
}


def new_trace_id() -> str:
    return f"{next(_numbers):032x}"


def new_span_id() -> str:
    return f"{next(_numbers):016x}"


def span(
    name: str = "GET /things",
    *,
    trace: str | None = None,
    parent: Span | str | None = None,
    at: int = 0,
    ms: int = 10,
    kind: str | None = None,
    service: str = "api",
    error: str | None = None,
    **attributes: Any,
) -> Span:
    """A span that begins `at` ms after a fixed time and takes `ms`.

    With a parent it is a client's call, else a request. `__` in a name of an attribute is a dot.
    """
    start = _BASE + at * MS
    kind = kind or ("client" if parent else "server")
    described = {key.replace("__", "."): value for key, value in attributes.items()}
    events = (Event("exception", start, _exception(error)),) if error else ()
    return Span(
        trace_id=trace or (parent.trace_id if isinstance(parent, Span) else new_trace_id()),
        span_id=new_span_id(),
        parent_id=parent.span_id if isinstance(parent, Span) else parent,
        service=service,
        instance=f"{service}-1",
        name=name,
        kind=kind,
        start=start,
        end=start + ms * MS,
        failed=error is not None,
        attributes=described,
        events=events,
    )


_BASE = time.time_ns() - 60_000 * MS


def _exception(text: str) -> dict[str, str]:
    kind, _, message = text.partition(": ")
    return {"exception.type": kind, "exception.message": message}


def wire(found: Span) -> WireSpan:
    """The same, as it travels."""
    sent = WireSpan(
        trace_id=bytes.fromhex(found.trace_id),
        span_id=bytes.fromhex(found.span_id),
        parent_span_id=bytes.fromhex(found.parent_id or ""),
        name=found.name,
        kind=_KINDS[found.kind],
        start_time_unix_nano=found.start,
        end_time_unix_nano=found.end,
        attributes=_pairs(found.attributes),
        events=[
            WireSpan.Event(
                name=one.name, time_unix_nano=one.time, attributes=_pairs(one.attributes)
            )
            for one in found.events
        ],
        links=[
            WireSpan.Link(
                trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id)
            )
            for link in found.links
        ],
    )
    if found.failed:
        sent.status.code = Status.STATUS_CODE_ERROR
    return sent


def message(*spans: WireSpan | Span, service: str | None = None) -> ExportTraceServiceRequest:
    """One message with a resource for each service."""
    request = ExportTraceServiceRequest()
    for one in spans:
        of_resource = request.resource_spans.add()
        name = service or (one.service if isinstance(one, Span) else "api")
        of_resource.resource.attributes.extend(_pairs({"service.name": name}))
        of_resource.scope_spans.add().spans.append(wire(one) if isinstance(one, Span) else one)
    return request


def _pairs(attributes: Any) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=str(value))
