"""Decoder of OTLP messages with spans, within bounds (opentelemetry.io/docs/specs/otlp).

An invalid span is rejected alone, an invalid message as a whole. The bounds below limit the memory
that any message can use.
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

MAX_BODY = 4_194_304  # bytes of one message, both compressed and decompressed
MAX_SPANS = 10_000  # of one message
_MAX_ATTRIBUTES, _MAX_EVENTS, _MAX_LINKS, _MAX_ITEMS = 64, 16, 16, 32
_MAX_NAME = 256  # characters
_MAX_TEXT, _MAX_STACK = 4_096, 16_384
_MAX_CACHED_TEXT = 512  # characters of a text whose redaction is cached
_MAX_DEPTH = 4  # of nested lists and maps
_MAX_CLOCK_SKEW = 3_600 * 10**9  # nanoseconds by which the sender's clock may be ahead
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_KINDS = {
    WireSpan.SPAN_KIND_SERVER: SERVER,
    WireSpan.SPAN_KIND_CLIENT: CLIENT,
    WireSpan.SPAN_KIND_PRODUCER: PRODUCER,
    WireSpan.SPAN_KIND_CONSUMER: CONSUMER,
}


class IngestError(Exception):
    """A message is rejected as a whole, with an HTTP status and the reason."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Batch:
    """The valid spans of one message, and the number of rejected ones."""

    spans: list[Span]
    rejected: int

    def response_body(self) -> bytes:
        """Return the ExportTraceServiceResponse for the exporter."""
        response = ExportTraceServiceResponse()
        if self.rejected:
            response.partial_success.rejected_spans = self.rejected
            response.partial_success.error_message = "invalid ids or times, or too many spans"
        return bytes(response.SerializeToString())


def decompress(body: bytes, encoding: str) -> bytes:
    """Decompress the body of a message.

    Raises IngestError where the encoding is not gzip, where the body is not valid gzip, or where
    it has more than MAX_BODY bytes.
    """
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise IngestError(415, "The content encoding must be gzip.")
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = inflate.decompress(body, MAX_BODY)
    except zlib.error:
        raise IngestError(400, "The body is not valid gzip.") from None
    if inflate.unconsumed_tail:
        raise IngestError(413, f"The decompressed message exceeds {MAX_BODY} bytes.")
    if not inflate.eof:
        raise IngestError(400, "The gzip data is incomplete.")
    return content


def read(body: bytes, max_spans: int = MAX_SPANS) -> Batch:
    """Return the valid spans of an ExportTraceServiceRequest, at most `max_spans`.

    Raises IngestError where the body is no such message.
    """
    try:
        message = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise IngestError(400, "The body is not an ExportTraceServiceRequest.") from None
    latest = time.time_ns() + _MAX_CLOCK_SKEW
    spans: list[Span] = []
    rejected = 0
    for of_resource in message.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        service = _cut(resource.get("service.name", "unknown"), _MAX_NAME)
        instance = _cut(resource.get("service.instance.id", ""), _MAX_NAME)
        for of_scope in of_resource.scope_spans:
            scope = _cut(of_scope.scope.name, _MAX_NAME)
            for wire in of_scope.spans:
                if len(spans) >= max_spans or not _is_valid(wire, latest):
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
    attributes: dict[str, Any] = {}
    for pair in pairs:
        if len(attributes) >= _MAX_ATTRIBUTES:
            break
        key = pair.key[:_MAX_NAME]
        if key == "exception.stacktrace":
            # The last lines of a stack trace are the most useful.
            attributes[key] = _clean(pair.value.string_value)[-_MAX_STACK:]
        else:
            # Redacted here too, since the sender may not be a service of the suite.
            attributes[key] = REDACTED if is_secret(key) else _convert(pair.value)
    return attributes


def _convert(value: AnyValue, depth: int = 0) -> Any:
    which = value.WhichOneof("value")
    if which == "string_value":
        return _cut(value.string_value, _MAX_TEXT)
    if which == "int_value":
        # JavaScript represents integers below 2**53 exactly.
        return value.int_value if abs(value.int_value) < 2**53 else str(value.int_value)
    if which == "double_value":
        number = value.double_value
        return number if number - number == 0 else str(number)  # JSON has no NaN
    if which == "bool_value":
        return value.bool_value
    if which == "array_value" and depth < _MAX_DEPTH:
        return [_convert(item, depth + 1) for item in value.array_value.values[:_MAX_ITEMS]]
    if which == "kvlist_value" and depth < _MAX_DEPTH:
        return {
            pair.key[:_MAX_NAME]: (
                REDACTED if is_secret(pair.key) else _convert(pair.value, depth + 1)
            )
            for pair in value.kvlist_value.values[:_MAX_ITEMS]
        }
    if which == "bytes_value":
        return f"{len(value.bytes_value)} bytes"
    return None


def _cut(text: Any, limit: int) -> str:
    clean = _clean(str(text))
    return clean if len(clean) <= limit else clean[:limit] + "…"


def _clean(text: str) -> str:
    """Redact `text` before it is cut, since part of a secret would not be recognised."""
    clean: str = _redact_cached(text) if len(text) <= _MAX_CACHED_TEXT else redact(text)
    return clean


@lru_cache(maxsize=2_048)
def _redact_cached(text: str) -> str:
    # Statements, routes and hosts repeat with every request.
    clean: str = redact(text)
    return clean
