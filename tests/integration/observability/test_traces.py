"""Traces as a collector receives them over HTTP from a real process, and failing collectors."""

import asyncio
import resource
import socket
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from tests.bench import frame
from tests.collector import Collector
from tests.integration.http.server.running_child import Child, running

from twelvefold.observability.export import MAX_QUEUED_SPANS

MANY = MAX_QUEUED_SPANS + 600  # requests with one span each: more than the queue and the batch hold


def sampled(
    folder: Path, endpoint: str, fds: tuple[int, ...] = (), **settings: str
) -> AbstractAsyncContextManager[Child]:
    """Yield a running child that records every request and exports to `endpoint`."""
    return running(
        folder,
        fds=fds,
        ready=True,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_TRACES_SAMPLER_ARG="1.0",
        **settings,
    )


def rss_mebibytes(child: Child) -> float:
    pages = int(Path(f"/proc/{child.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def send_requests(child: Child, count: int) -> None:
    """Send `count` requests and check that each gets 200."""
    port = httpx.URL(await child.url("public")).port
    assert port
    await frame.load(port, frame.get("/api/v1/quick"), count, connections=4)


async def exposed(child: Child) -> str:
    async with httpx.AsyncClient() as client:
        return (await client.get(await child.url("management") + "/metrics")).text


async def test_one_request_over_two_services_is_one_connected_trace(tmp_path):
    with socket.socket() as internal:
        internal.bind(("127.0.0.1", 0))
        internal.listen()
        internal.set_inheritable(True)
        async with Collector() as collector:
            exporting = sampled(
                tmp_path,
                collector.url,
                fds=(internal.fileno(),),
                INTERNAL_FD=str(internal.fileno()),
                PEER_URL=f"http://127.0.0.1:{internal.getsockname()[1]}",
                SERVICE_VERSION="1.2.3",
            )
            async with (
                exporting as child,
                httpx.AsyncClient(headers={"user-agent": "tester/1"}) as client,
            ):
                response = await client.get(await child.url("public") + "/api/v1/hop?token=planted")
                child.signal()
                assert await child.ended() == 0  # its shutdown sends the buffered spans
            spans = {span.name: span for span in collector.spans}
    edge, call = spans["GET /api/v1/hop"], spans["GET peer"]
    inner = spans["GET /internal/v1/seen"]
    assert len(collector.spans) == 3
    assert (edge.kind, call.kind, inner.kind) == ("server", "client", "server")
    assert (edge.parent, call.parent, inner.parent) == ("", edge.span_id, call.span_id)
    assert {span.trace_id for span in collector.spans} == {response.json()["trace_id"]}
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert edge.attributes.pop("client.port") > 0
    assert edge.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/api/v1/hop",
        "url.scheme": "http",
        "url.path": "/api/v1/hop",
        "client.address": "127.0.0.1",
        "server.address": "127.0.0.1",
        "server.port": int(httpx.URL(response.url).port or 0),
        "network.protocol.version": "1.1",
        "user_agent.original": "tester/1",
        "request_id": response.headers["x-request-id"],
    }
    assert call.attributes.pop("server.port") > 0
    assert call.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "peer.service": "peer",
        "server.address": "127.0.0.1",
    }
    assert edge.resource["service.name"] == "child"
    assert edge.resource["service.namespace"] == "twelvefold"
    assert edge.resource["service.version"] == "1.2.3"
    assert edge.resource["service.instance.id"]
    assert edge.resource["deployment.environment.name"] == "testing"
    request_lines = [line for line in child.lines if line["event"] == "request"]
    assert {line["trace_id"] for line in request_lines} == {response.json()["trace_id"]}
    assert all(raw.startswith("{") for raw in child.raw)


async def test_a_slow_query_and_a_failing_handler_show_on_their_span(tmp_path):
    async with (
        Collector() as collector,
        sampled(tmp_path, collector.url) as child,
        httpx.AsyncClient() as client,
    ):
        url = await child.url("public") + "/api/v1"
        await client.get(f"{url}/slow?seconds=0.3")
        assert (await client.get(f"{url}/fails")).status_code == 500
        child.signal()
        assert await child.ended() == 0
    spans = {span.name: span for span in collector.spans}
    assert spans["GET /api/v1/slow"].seconds >= 0.3
    failing = spans["GET /api/v1/fails"]
    assert failing.failed
    ((event, attributes),) = failing.events
    assert event == "exception"
    assert attributes["exception.type"] == "RuntimeError"
    assert "in fails" in attributes["exception.stacktrace"]


async def test_an_unavailable_collector_delays_neither_requests_nor_the_shutdown(tmp_path):
    with socket.socket() as closed:  # bound but not listening: refuses connections
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with sampled(tmp_path, endpoint) as child:
            await send_requests(child, 100)
            await child.logged("spans_lost")
            child.signal()
            async with asyncio.timeout(15):
                assert await child.ended() == 0
    assert len([line for line in child.lines if line["level"] == "warning"]) == 1


@pytest.mark.parametrize(
    ("status", "delay", "count"), [(503, 0.0, 300), (400, 0.0, 300), (200, 3600.0, MANY)]
)
async def test_a_collector_that_refuses_or_is_slow_costs_spans_and_one_warning(
    tmp_path, status, delay, count
):
    async with (
        Collector(status=status, delay=delay) as collector,
        sampled(tmp_path, collector.url, OTEL_BSP_SCHEDULE_DELAY="100") as child,
    ):
        await send_requests(child, count)
        before = rss_mebibytes(child)
        await send_requests(child, count // 2)
        await child.logged("spans_lost")
        assert collector.batches
        assert rss_mebibytes(child) < before + 16  # the queue of spans, and nothing else
        output = await exposed(child)
        assert 'telemetry_spans_total{outcome="sent"} 0.0' in output
        lost = [
            f'telemetry_spans_total{{outcome="{outcome}"}} 0.0' for outcome in ("failed", "dropped")
        ]
        assert not all(none in output for none in lost)
    warned = [line for line in child.lines if line["level"] == "warning"]
    minutes = {str(line["time"])[:16] for line in child.lines}
    assert 1 <= len(warned) <= len(minutes), "at most one a minute, however long this took"


async def test_spans_arrive_again_once_the_collector_does(tmp_path):
    async with (
        Collector(status=503) as collector,
        sampled(tmp_path, collector.url, OTEL_BSP_SCHEDULE_DELAY="50") as child,
    ):
        await send_requests(child, 3)
        await child.logged("spans_lost")
        collector.status = 200
        await send_requests(child, 3)
        await collector.until(lambda spans: len(spans) >= 3)
