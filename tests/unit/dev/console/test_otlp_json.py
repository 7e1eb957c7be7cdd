"""The export of a trace conforms to OTLP's mapping to JSON, and loses nothing that is stored."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.spans import span

from twelvefold_dev.console.traces.otlp import read
from twelvefold_dev.console.traces.otlp_json import to_otlp
from twelvefold_dev.console.traces.spans import Link

_IDS = ("traceId", "spanId", "parentSpanId")


def parse(exported: dict[str, Any]) -> ExportTraceServiceRequest:
    """Parse strictly: an unknown field or a value of another type is an error.

    OTLP writes ids in hexadecimal where Protobuf's own mapping, which this parser has, writes
    base64 (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding").
    """

    def to_base64(value: Any) -> Any:
        if isinstance(value, list):
            return [to_base64(item) for item in value]
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(item)).decode()
                if key in _IDS
                else to_base64(item)
                for key, item in value.items()
            }
        return value

    text = json.dumps(to_base64(json.loads(json.dumps(exported))))
    message = ExportTraceServiceRequest()
    json_format.Parse(text, message)
    return message


def test_an_exported_trace_is_read_back_as_it_was_stored() -> None:
    root = span("GET /things", http__route="/things", error="E: message")
    attributes = {
        "text": 'ä \N{SNOWMAN} "', "number": -3, "large": 2**52, "share": 0.25, "flag": True,
        "list": ["a", 1, 2.5, False], "map": {"inner": ["b"]}, "none": None, "empty": [],
    }  # fmt: skip
    query = replace(
        span("SELECT", parent=root, service="users"),
        attributes=attributes,
        scope="asyncpg",
        links=(Link("a" * 32, "b" * 16),),
    )
    job = replace(span("job", parent=query, kind="consumer", service="worker"), message="late")
    code = span("code", parent=job, kind="internal", service="worker")
    enqueue = span("enqueue", parent=root, kind="producer")
    spans = [replace(root, message="failed"), query, replace(job, failed=True), code, enqueue]

    message = parse(to_otlp(spans))

    found = {one.span_id: one for one in read(message.SerializeToString()).spans}
    assert found == {one.span_id: one for one in spans}


def test_ids_kinds_and_integers_have_the_forms_that_otlp_prescribes() -> None:
    root = span(n=7)
    (resource,) = to_otlp([root])["resourceSpans"]
    assert resource["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "api"}},
        {"key": "service.instance.id", "value": {"stringValue": "api-1"}},
    ]
    ((wire,),) = [of_scope["spans"] for of_scope in resource["scopeSpans"]]
    assert wire["traceId"] == root.trace_id
    assert wire["spanId"] == root.span_id
    assert "parentSpanId" not in wire  # an empty one is no id
    assert wire["kind"] == 2
    assert wire["startTimeUnixNano"] == str(root.start)
    assert wire["attributes"] == [{"key": "n", "value": {"intValue": "7"}}]


def test_spans_of_one_instance_share_a_resource() -> None:
    root = span()
    spans = [root, span(parent=root), span(parent=root, service="users")]
    resources = to_otlp(spans)["resourceSpans"]
    assert [len(one["scopeSpans"][0]["spans"]) for one in resources] == [2, 1]
