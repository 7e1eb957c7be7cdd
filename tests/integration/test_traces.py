"""Traces as a collector receives them: over real HTTP, from a real process."""

import asyncio
import socket

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings
from tests.integration.running_child import running


@pytest.fixture
def collector_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def received(collector: OtelTapHttpProtobufReceiver, count: int) -> list[Span]:
    """The first spans from now on; it keeps none from before."""
    spans: list[Span] = []
    async with asyncio.timeout(60):
        async for span in collector.stream_traces():
            spans.append(span)
            if len(spans) == count:
                break
    return spans


async def test_one_request_over_two_services_is_one_connected_trace(tmp_path, collector_port):
    settings = OtelTapHttpProtobufReceiverSettings(http_port=collector_port)
    with socket.socket() as internal:
        internal.bind(("127.0.0.1", 0))
        internal.listen()
        internal.set_inheritable(True)
        async with OtelTapHttpProtobufReceiver(settings) as collector:
            receiving = asyncio.create_task(received(collector, 3))
            async with (
                running(
                    tmp_path,
                    fds=(internal.fileno(),),
                    INTERNAL_FD=str(internal.fileno()),
                    PEER_URL=f"http://127.0.0.1:{internal.getsockname()[1]}",
                    OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector_port}",
                    OTEL_TRACES_SAMPLER_ARG="1.0",
                ) as child,
                httpx.AsyncClient() as client,
            ):
                answer = await client.get(await child.url("public") + "/api/v1/hop")
                child.signal()
                assert await child.ended() == 0  # which hands over what is buffered
            spans = await receiving
    kinds = {span.kind: span for span in spans if span.kind != Span.SPAN_KIND_SERVER}
    servers = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    edge = next(span for span in servers if not span.parent_span_id)
    inner = next(span for span in servers if span.parent_span_id)
    call = kinds[Span.SPAN_KIND_CLIENT]
    assert [edge.name, inner.name] == ["GET /api/v1/hop", "GET /internal/v1/seen"]
    assert call.parent_span_id == edge.span_id
    assert inner.parent_span_id == call.span_id
    assert {span.trace_id.hex() for span in spans} == {answer.json()["trace_id"]}
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    told = [line for line in child.lines if line["event"] == "request"]
    assert {line["trace_id"] for line in told} == {answer.json()["trace_id"]}
    assert all(raw.startswith("{") for raw in child.raw)


async def test_a_collector_that_is_away_delays_neither_requests_nor_the_end(
    tmp_path, collector_port
):
    endpoint = f"http://127.0.0.1:{collector_port}"
    exporting = running(
        tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_TRACES_SAMPLER_ARG="1.0"
    )
    async with exporting as child, httpx.AsyncClient() as client:
        answer = await client.get(await child.url("public") + "/api/v1/quick")
        assert answer.status_code == 200
        child.signal()
        async with asyncio.timeout(15):
            assert await child.ended() == 0
