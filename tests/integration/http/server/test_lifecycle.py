"""A served process as clients, balancers and supervisors see it: real sockets, real signals."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.integration.http.server.running_child import Child, in_flight, running, status_of, until


async def test_sigterm_ends_a_process_in_order_with_exit_code_0(tmp_path):
    async with running(tmp_path) as child:
        assert await status_of(await child.url("management") + "/readyz") == 200
        child.signal()
        assert await child.ended() == 0
    assert child.steps == [
        "first opened",
        "second opened",
        "drained",
        "second closed",
        "first closed",
        "backing closed",
    ]
    assert [line["event"] for line in child.lines][-2:] == ["stopping", "stopped"]


async def test_sigint_ends_it_as_sigterm_does_but_for_the_lame_duck(tmp_path):
    async with running(tmp_path, HTTP_LAME_DUCK="600") as child:
        child.signal(signal.SIGINT)
        assert await child.ended() == 0
    assert child.steps[-1] == "backing closed"


async def test_a_second_signal_ends_it_at_once(tmp_path):
    async with running(tmp_path, HTTP_LAME_DUCK="60") as child:
        child.signal()
        await child.logged("stopping")
        child.signal()
        assert await child.ended() == 128 + signal.SIGTERM


async def test_a_signal_during_the_start_cancels_it(tmp_path):
    async with running(tmp_path, ready=False, OPENING_HANGS="true") as child:
        await until(lambda: "first opened" in child.steps)
        child.signal()
        assert await child.ended() == 0
    assert child.steps == ["first opened", "backing closed"]


async def test_during_the_lame_duck_requests_are_answered_and_connections_closed(tmp_path):
    async with running(tmp_path, HTTP_LAME_DUCK="3") as child, httpx.AsyncClient() as client:
        public, management = await child.url("public"), await child.url("management")
        first = await client.get(f"{public}/api/v1/quick")
        assert "connection" not in first.headers
        child.signal()
        await child.logged("stopping")
        async with httpx.AsyncClient() as prober:
            assert (await prober.get(f"{management}/readyz")).status_code == 503
            assert (await prober.get(f"{management}/livez")).status_code == 200
        # The idle keep-alive connection of before still works, and so do new ones.
        second = await client.get(f"{public}/api/v1/quick")
        assert second.status_code == 200
        assert second.headers["connection"] == "close"
        async with httpx.AsyncClient() as newcomer:
            third = await newcomer.get(f"{public}/api/v1/quick")
        assert third.status_code == 200
        assert third.headers["connection"] == "close"
        assert await child.ended() == 0


async def test_a_request_in_flight_finishes_within_the_grace_period(tmp_path):
    async with running(tmp_path, HTTP_GRACE="10") as child, httpx.AsyncClient() as client:
        public = await child.url("public")
        slow = asyncio.create_task(client.get(f"{public}/api/v1/slow", params={"seconds": 1}))
        await until(lambda: in_flight(child))
        child.signal()
        response = await slow
        assert response.json() == {"slept": 1}
        assert await child.ended() == 0


async def test_a_request_longer_than_the_grace_period_gets_a_503_problem(tmp_path):
    async with running(tmp_path, HTTP_GRACE="0.2") as child, httpx.AsyncClient() as client:
        public = await child.url("public")
        slow = asyncio.create_task(client.get(f"{public}/api/v1/slow", params={"seconds": 60}))
        await until(lambda: in_flight(child))
        await status_of(f"{public}/api/v1/quick")  # so the slow request was read before
        child.signal()
        response = await slow
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert response.json()["type"] == "/problems/unavailable"
        assert await child.ended() == 0


async def test_requests_that_wait_for_their_turn_finish_within_the_grace_period(tmp_path):
    async with one_at_a_time(tmp_path, HTTP_GRACE="20") as (child, requests):
        child.signal()
        assert [(await request).json() for request in requests] == [{"slept": 0.5}] * 3
        assert await child.ended() == 0


async def test_requests_that_wait_longer_than_the_grace_period_get_a_503_problem(tmp_path):
    async with one_at_a_time(tmp_path, seconds=60, HTTP_GRACE="0.2") as (child, requests):
        child.signal()
        for request in requests:
            response = await request
            assert response.status_code == 503
            assert response.json()["type"] == "/problems/unavailable"
        assert await child.ended() == 0


async def test_a_process_that_stands_still_for_longer_than_the_longest_wait_refuses_nothing(
    tmp_path,
):
    async with one_at_a_time(tmp_path, HTTP_WAIT="3.5") as (child, requests):
        child.signal(signal.SIGSTOP)
        await asyncio.sleep(4)  # the stall itself
        child.signal(signal.SIGCONT)
        assert [(await request).status_code for request in requests] == [200] * 3


@asynccontextmanager
async def one_at_a_time(
    folder: Path, *, seconds: float = 0.5, **settings: Any
) -> AsyncIterator[tuple[Child, list[asyncio.Task[httpx.Response]]]]:
    """A process that works on one request, while two more wait. They take so many seconds each."""
    async with (
        running(folder, HTTP_MAX_CONCURRENCY="1", **settings) as child,
        httpx.AsyncClient(timeout=30) as client,
        httpx.AsyncClient() as prober,
    ):
        public, management = await child.url("public"), await child.url("management")
        requests = [
            asyncio.create_task(client.get(f"{public}/api/v1/slow", params={"seconds": seconds}))
            for _ in range(3)
        ]
        async with asyncio.timeout(20):
            while (
                'pool_waiting{pool="http_public"} 2.0'
                not in (await prober.get(f"{management}/metrics")).text
            ):
                await asyncio.sleep(0.01)
        yield child, requests


async def test_an_event_stream_ends_by_the_drain_and_not_by_the_request_timeout(tmp_path):
    async with (
        running(tmp_path, HTTP_REQUEST_TIMEOUT="0.1") as child,
        httpx.AsyncClient() as client,
        client.stream("GET", await child.url("public") + "/api/v1/streams/events") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: open"
        assert await status_of(await child.url("public") + "/api/v1/slow?seconds=5") == 503
        child.signal()
        assert "event: end" in [line async for line in lines]
        assert await child.ended() == 0


async def test_a_process_waits_for_its_schema_before_it_is_ready(tmp_path):
    async with running(tmp_path, ready=False) as child:
        await child.logged("waiting_for_schema")
        readyz = await child.url("management") + "/readyz"
        assert await status_of(readyz) == 503
        (tmp_path / "schema").touch()
        await child.logged("ready")
        assert await status_of(readyz) == 200
    assert sum(line["event"] == "waiting_for_schema" for line in child.lines) == 1


async def test_processes_share_an_inherited_socket_and_a_restart_refuses_no_request(tmp_path):
    with socket.socket() as shared:
        shared.bind(("127.0.0.1", 0))
        shared.listen(128)
        shared.set_inheritable(True)
        url = f"http://127.0.0.1:{shared.getsockname()[1]}/api/v1/quick"
        fd = (shared.fileno(),)
        inherited = str(shared.fileno())
        async with running(tmp_path, fds=fd, HTTP_FD=inherited) as old:
            stop = asyncio.Event()
            clients = [asyncio.create_task(keep_asking(url, stop)) for _ in range(8)]
            async with running(tmp_path, fds=fd, HTTP_FD=inherited):
                old.signal()
                assert await old.ended() == 0
                stop.set()
                responses = [response for client in clients for response in await client]
    assert set(responses) == {200}
    assert len(responses) > 50


async def keep_asking(url: str, stop: asyncio.Event) -> list[int]:
    responses = []
    async with httpx.AsyncClient() as client:  # keep-alive
        while not stop.is_set():
            responses.append((await client.get(url)).status_code)
    return responses


async def test_a_taken_port_is_one_line_and_exit_code_1(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with running(tmp_path, ready=False, PORT=port) as child:
            assert await child.ended() == 1
    assert [line["event"] for line in child.lines] == ["cannot_listen"]


async def test_every_line_on_stdout_is_json_and_every_request_has_one(tmp_path):
    async with running(tmp_path) as child:
        response = await status_of(await child.url("public") + "/api/v1/quick")
        assert response == 200
        line = await child.logged("request")
        child.signal()
        await child.ended()
    assert line["route"] == "/api/v1/quick"
    assert len(str(line["trace_id"])) == 32
    assert all(raw.startswith("{") for raw in child.raw)
    names = [line["name"] for line in child.lines if line["event"] == "listening"]
    assert names == ["public", "internal", "management"]
