"""Requests to a service without a process are answered, not kept waiting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from twelvefold_dev.supervisor.stand_in import StandIn


@pytest.fixture
async def listener() -> AsyncIterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
async def stand_in(listener) -> AsyncIterator[StandIn]:
    stand_in = StandIn([listener], lambda: "api does not start (SyntaxError)")
    stand_in.set_open(True)
    yield stand_in
    stand_in.close()


def url(listener: socket.socket, path: str) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}{path}"


async def test_a_request_gets_the_reason_as_a_problem(listener, stand_in) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.post(url(listener, "/api/v1/users?a=1"), json={"name": "x" * 9999})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == "/problems/unavailable"
    assert problem["detail"] == "api does not start (SyntaxError)"
    assert problem["instance"] == "/api/v1/users"
    assert problem["request_id"] == response.headers["x-request-id"]


async def test_a_closed_one_leaves_requests_to_the_next_process(listener, stand_in) -> None:
    stand_in.set_open(False)
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
    with accepted:
        accepted.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(accepted, 3) == b"GET"
    writer.close()
    del reader


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n", b"nonsense\r\n\r\n", b"x" * 70_000])
async def test_no_input_disturbs_the_next_request(listener, stand_in, sent) -> None:
    _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    writer.write(sent)
    writer.close()
    async with httpx.AsyncClient() as client:
        assert (await client.get(url(listener, "/"))).status_code == 503


async def test_beyond_the_bound_connections_wait_without_work_for_the_loop(
    listener,
) -> None:
    stand_in = StandIn([listener], lambda: "api does not start", max_connections=3)
    stand_in.set_open(True)
    address = listener.getsockname()[:2]
    idle = [(await asyncio.open_connection(*address))[1] for _ in range(3)]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        while stand_in.connections < 3:
            await asyncio.sleep(0)
    assert loop.remove_reader(listener) is False
    async with httpx.AsyncClient() as client:
        waiting = asyncio.create_task(client.get(url(listener, "/")))
        idle[0].close()
        assert (await waiting).status_code == 503
    for writer in idle:
        writer.close()
    stand_in.close()
