"""Reads what OTLP exporters send (opentelemetry.io/docs/specs/otlp), and bounds it.

Owns the encoding. Whatever is wrong with one span costs that span, whatever is wrong with a
message the message; nothing that is sent makes the process grow beyond the bounds below.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from twelvefold.observability.redaction import REDACTED, is_secret, redact

from .spans import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Event, Link, Span

MAX_BODY = 4_194_304  # bytes of one message, as it is sent and decompressed alike
_MAX_SPANS = 10_000  # of one message
_MAX_ATTRIBUTES, _MAX_EVENTS, _MAX_LINKS, _MAX_ITEMS = 64, 16, 16, 32
_MAX_NAME = 256  # characters
_MAX_TEXT, _MAX_STACK = 4_096, 16_384
_REPEATED = 512  # characters up to which a text is worth remembering
_MAX_DEPTH = 4  # of lists and maps within each other
_MAX_AHEAD = 3_600 * 10**9  # nanoseconds by which another clock may be ahead of ours
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_KINDS = {
    WireSpan.SPAN_KIND_SERVER: SERVER,
    WireSpan.SPAN_KIND_CLIENT: CLIENT,
    WireSpan.SPAN_KIND_PRODUCER: PRODUCER,
    WireSpan.SPAN_KIND_CONSUMER: CONSUMER,
}


class IngestError(Exception):
    """The message as a whole; `status` is HTTP's, `detail` says why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Batch:
    """The spans of one message; `rejected` were invalid."""

    spans: list[Span]
    rejected: int

    def answer(self) -> bytes:
        """What the exporter is told."""
        response = ExportTraceServiceResponse()
        if self.rejected:
            response.partial_success.rejected_spans = self.rejected
            response.partial_success.error_message = "invalid ids or times, or too many spans"
        return bytes(response.SerializeToString())


def decompressed(body: bytes, encoding: str) -> bytes:
    """Raises Refused: for another encoding than gzip, for no gzip, for more than MAX_BODY."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise IngestError(415, "the encoding is not gzip")
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = inflate.decompress(body, MAX_BODY)
    except zlib.error:
        raise IngestError(400, "the body is no gzip") from None
    if inflate.unconsumed_tail:
        raise IngestError(413, f"more than {MAX_BODY} bytes when decompressed")
    if not inflate.eof:
        raise IngestError(400, "the gzip ends too early")
    return content


def read(body: bytes) -> Batch:
    """Every valid span of an ExportTraceServiceRequest. Raises Refused where it is none."""
    try:
        message = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise IngestError(400, "the body is no ExportTraceServiceRequest") from None
    latest = time.time_ns() + _MAX_AHEAD
    spans: list[Span] = []
    rejected = 0
    for of_resource in message.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        service = _cut(resource.get("service.name", "unknown"), _MAX_NAME)
        instance = _cut(resource.get("service.instance.id", ""), _MAX_NAME)
        for of_scope in of_resource.scope_spans:
            scope = _cut(of_scope.scope.name, _MAX_NAME)
            for wire in of_scope.spans:
                if len(spans) >= _MAX_SPANS or not _is_valid(wire, latest):
                    rejected += 1
                else:
                    spans.append(_span(wire, service, instance, scope))
    return Batch(spans, rejected)


def _is_valid(wire: WireSpan, latest: int) -> bool:
    return (
        len(wire.trace_id) == _TRACE_ID_BYTES
        and any(wire.trace_id)
        and len(wire.span_id) == _SPAN_ID_BYTES
        and any(wire.span_id)
        and 0 < wire.start_time_unix_nano < latest
        and wire.end_time_unix_nano < latest
    )


def _span(wire: WireSpan, service: str, instance: str, scope: str) -> Span:
    has_parent = len(wire.parent_span_id) == _SPAN_ID_BYTES and any(wire.parent_span_id)
    return Span(
        trace_id=wire.trace_id.hex(),
        span_id=wire.span_id.hex(),
        parent_id=wire.parent_span_id.hex() if has_parent else None,
        service=service,
        instance=instance,
        name=_cut(wire.name, _MAX_NAME) or "unnamed",
        kind=_KINDS.get(wire.kind, INTERNAL),
        start=wire.start_time_unix_nano,
        end=max(wire.start_time_unix_nano, wire.end_time_unix_nano),
        failed=wire.status.code == Status.STATUS_CODE_ERROR,
        message=_cut(wire.status.message, _MAX_TEXT),
        scope=scope,
        attributes=_attributes(wire.attributes),
        events=tuple(
            Event(_cut(event.name, _MAX_NAME), event.time_unix_nano, _attributes(event.attributes))
            for event in wire.events[:_MAX_EVENTS]
        ),
        links=tuple(
            Link(link.trace_id.hex(), link.span_id.hex())
            for link in wire.links[:_MAX_LINKS]
            if len(link.trace_id) == _TRACE_ID_BYTES and len(link.span_id) == _SPAN_ID_BYTES
        ),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        if len(found) >= _MAX_ATTRIBUTES:
            break
        key = pair.key[:_MAX_NAME]
        if key == "exception.stacktrace":
            # Its last lines tell most.
            found[key] = _clean(pair.value.string_value)[-_MAX_STACK:]
        else:
            # A second net: whoever sends here may be none of our services.
            found[key] = REDACTED if is_secret(key) else _value(pair.value)
    return found


def _value(value: AnyValue, depth: int = 0) -> Any:
    which = value.WhichOneof("value")
    if which == "string_value":
        return _cut(value.string_value, _MAX_TEXT)
    if which == "int_value":
        # A browser's numbers are exact up to here.
        return value.int_value if abs(value.int_value) < 2**53 else str(value.int_value)
    if which == "double_value":
        number = value.double_value
        return number if number - number == 0 else str(number)  # JSON has no NaN
    if which == "bool_value":
        return value.bool_value
    if which == "array_value" and depth < _MAX_DEPTH:
        return [_value(item, depth + 1) for item in value.array_value.values[:_MAX_ITEMS]]
    if which == "kvlist_value" and depth < _MAX_DEPTH:
        return {
            pair.key[:_MAX_NAME]: REDACTED if is_secret(pair.key) else _value(pair.value, depth + 1)
            for pair in value.kvlist_value.values[:_MAX_ITEMS]
        }
    if which == "bytes_value":
        return f"{len(value.bytes_value)} bytes"
    return None


def _cut(text: Any, limit: int) -> str:
    clean = _clean(str(text))
    return clean if len(clean) <= limit else clean[:limit] + "…"


def _clean(text: str) -> str:
    """Redacted, before it is cut: half a secret has no shape."""
    clean: str = _redacted_again(text) if len(text) <= _REPEATED else redact(text)
    return clean


@lru_cache(maxsize=2_048)
def _redacted_again(text: str) -> str:
    """Statements, routes and hosts come with every request."""
    clean: str = redact(text)
    return clean
