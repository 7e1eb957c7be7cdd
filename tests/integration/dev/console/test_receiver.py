"""Spans over real HTTP, from the exporter of the suite and from hostile senders."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from tests.integration.dev.console.conftest import PROTOBUF
from tests.spans import message, span, wire

from twelvefold_dev.console.traces.otlp import MAX_BODY
from twelvefold_dev.system.child_process import measure_memory


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_spans_exported_by_the_sdk_are_shown(console, compression) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "users"}))
    exporter = OTLPSpanExporter(f"{console.url}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def work() -> str:
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("outer") as outer:
            with tracer.start_as_current_span("inner", attributes={"flavour": "blue"}):
                pass
            trace_id = outer.get_span_context().trace_id
        provider.shutdown()
        return f"{trace_id:032x}"

    found = await console.get(f"traces/{await asyncio.to_thread(work)}")
    outer, inner = found["trace"]["spans"]
    assert (outer["name"], inner["name"], inner["parent"]) == ("outer", "inner", outer["id"])
    assert inner["attributes"] == {"flavour": "blue"}
    assert outer["service"] == "users"


async def test_spans_of_several_processes_form_one_trace(console) -> None:
    root = span("POST /api/v1/users")
    call = span("POST users", parent=root)
    inner = span("POST /internal", parent=call, kind="server", service="users")
    await asyncio.gather(console.send(inner), console.send(root), console.send(call))
    found = await console.get(f"traces/{root.trace_id}")
    assert [one["name"] for one in found["trace"]["spans"]] == [
        "POST /api/v1/users", "POST users", "POST /internal",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({}, b"", 415),
        (PROTOBUF, b"\xff\xff", 400),
        (PROTOBUF | {"Content-Encoding": "gzip"}, b"no gzip", 400),
        (PROTOBUF | {"Content-Encoding": "br"}, b"x", 415),
        (PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(bytes(MAX_BODY * 10)), 413),
        (PROTOBUF, bytes(MAX_BODY + 1), 413),
    ],
)
async def test_an_invalid_message_is_refused_by_a_problem(console, headers, body, status) -> None:
    response = await console.http.post("/v1/traces", content=body, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_spans_are_sent_by_post_only(console) -> None:
    assert (await console.http.get("/v1/traces")).status_code == 405


async def test_the_response_contains_the_number_of_rejected_spans(console) -> None:
    spoilt = wire(span())
    spoilt.ClearField("trace_id")
    body = message(spoilt, span()).SerializeToString()
    response = await console.http.post("/v1/traces", content=body, headers=PROTOBUF)
    result = ExportTraceServiceResponse.FromString(response.content)
    assert response.status_code == 200
    assert result.partial_success.rejected_spans == 1


async def test_other_signals_are_not_found(console) -> None:
    for signal in ("metrics", "logs"):
        response = await console.http.post(f"/v1/{signal}", content=b"", headers=PROTOBUF)
        assert response.status_code == 404


async def test_too_many_messages_are_refused_and_memory_is_bounded(start_console) -> None:
    console = await start_console()
    heavy = message(*(span(note="x" * 3_000) for _ in range(512))).SerializeToString()
    statuses: list[int] = []

    async def send_messages() -> None:
        for _ in range(6):
            response = await console.http.post("/v1/traces", content=heavy, headers=PROTOBUF)
            statuses.append(response.status_code)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(send_messages())
        await console.get("stack")  # reads are served at the same time
    assert set(statuses) == {200, 503}
    memory = measure_memory(console.server.pid)
    assert memory is not None
    assert memory.rss < 150_000_000
    assert (await console.get("stack"))["received"]["refused"] == statuses.count(503)
