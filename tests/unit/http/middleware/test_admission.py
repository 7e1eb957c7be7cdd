"""Requests over the limit of concurrency wait in order, within bounds, and nothing else waits."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from tests.unit.http.demo import SETTINGS, Demo, demo
from tests.unit.http.middleware.test_requests import sample

from twelvefold.observability import metrics
from twelvefold.service.health import Health

SIGNED_IN = {"Authorization": "Bearer x"}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def narrow(slots: int, **more: Any) -> AbstractAsyncContextManager[Demo]:
    return demo(SETTINGS.model_copy(update={"http_max_concurrency": slots, **more}))


def hold(it: Demo, *numbers: int) -> list[asyncio.Task[httpx.Response]]:
    """Requests that are served until the gate opens."""
    return [asyncio.create_task(it.client.get(f"/api/v1/held/{number}")) for number in numbers]


def waiting() -> float:
    return sample("pool_waiting", pool="http_public")


async def test_500_requests_at_once_are_all_answered_in_the_order_of_their_arrival():
    refused = sample("http_requests_refused_total", reason="concurrency")
    async with narrow(32) as it:
        requests = hold(it, *range(500))
        await until(lambda: metrics.counts.active == 500)
        assert it.held.reached == list(range(32))
        assert waiting() == 468
        it.held.gate.set()
        responses = await asyncio.gather(*requests)
    assert {response.status_code for response in responses} == {200}
    assert it.held.reached == list(range(500))
    assert waiting() == 0
    assert sample("pool_in_use", pool="http_public") == 0
    assert sample("http_requests_refused_total", reason="concurrency") == refused


async def test_a_request_beyond_the_bound_of_the_queue_is_refused_at_once():
    async with narrow(2, http_queue=1) as it:
        requests = hold(it, 1, 2, 3)
        await until(lambda: waiting() == 1)
        refused = await it.client.get("/api/v1/things/1")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["type"] == "/problems/overloaded"
        assert not any(task.done() for task in requests)
        it.held.gate.set()
        assert [(await task).status_code for task in requests] == [200, 200, 200]
        assert (await it.client.get("/api/v1/things/1")).status_code == 200


async def test_probes_preflights_and_errors_in_the_head_do_not_wait():
    async with narrow(1, http_cors_origins=["https://app.example.com"]) as it:
        requests = hold(it, 1, 2)
        await until(lambda: waiting() == 1)
        for path in ("/health", "/ready"):
            assert (await it.client.get(path)).status_code == 200
        asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
        assert (await it.client.options("/api/v1/context", headers=asked)).status_code == 204
        assert waiting() == 1
        it.held.gate.set()
        await asyncio.gather(*requests)


async def test_a_request_that_waits_is_503_at_its_deadline():
    async with narrow(1, http_request_timeout=2, http_wait=60) as it:
        responses = await asyncio.gather(*hold(it, 1, 2, 3))
        assert [response.status_code for response in responses] == [503, 503, 503]
    assert waiting() == 0
    assert sample("pool_in_use", pool="http_public") == 0


@pytest.mark.parametrize("headers", [{}, SIGNED_IN], ids=["anonymous", "signed in"])
async def test_a_request_waits_no_longer_than_the_setting_says(headers):
    async with narrow(1, http_wait=0.05) as it:
        (request,) = hold(it, 1)
        await until(lambda: it.held.reached == [1])
        response = await it.client.get("/api/v1/things/1", headers=headers)
        assert response.status_code == 503
        assert response.json()["type"] == "/problems/overloaded"
        assert it.line("request")["status"] == 503
        assert not request.done()
        it.held.gate.set()
        assert (await request).status_code == 200


async def test_sending_clients_and_streams_take_no_slot():
    held = asyncio.Event()

    async def slowly():
        yield b"the beginning"
        await held.wait()
        yield b"the end"

    async with narrow(1) as it:
        sending = asyncio.create_task(it.client.post("/api/v1/upload", content=slowly()))
        watching = asyncio.create_task(it.client.get("/api/v1/streams/events"))
        await until(lambda: metrics.counts.active == 2)
        assert (await it.client.get("/api/v1/things/1")).status_code == 200
        held.set()
        assert (await sending).status_code == 200
        watching.cancel()
        await asyncio.wait([watching])
        assert (await it.client.get("/api/v1/things/1")).status_code == 200
    assert sample("pool_in_use", pool="http_public") == 0


async def test_a_body_that_has_arrived_is_read_before_the_next_request_begins():
    """Many bodies that arrive late at the same time are worked on a few at a time."""
    gates = [asyncio.Event() for _ in range(3)]

    async def slowly(gate: asyncio.Event):
        yield b"the beginning"
        await gate.wait()
        yield b"the end"

    async with narrow(1) as it:
        sending = [
            asyncio.create_task(it.client.post("/api/v1/upload", content=slowly(gate)))
            for gate in gates
        ]
        await until(lambda: metrics.counts.active == 3 and waiting() == 0)
        requests = hold(it, 1, 2)
        await until(lambda: it.held.reached == [1] and waiting() == 1)
        for gate in gates:
            gate.set()
        await until(lambda: waiting() == 4)
        assert sample("pool_in_use", pool="http_public") == 1
        it.held.gate.set()
        assert {(await task).status_code for task in (*sending, *requests)} == {200}


async def test_a_small_body_that_is_there_keeps_its_slot():
    async with narrow(1) as it:
        posts = [
            asyncio.create_task(it.client.post("/api/v1/anything", json={"a": number}))
            for number in range(20)
        ]
        responses = await asyncio.gather(*posts)
    assert [response.json() for response in responses] == [{"a": number} for number in range(20)]


async def test_a_request_that_is_cut_off_while_it_waits_leaves_the_queue():
    async with narrow(1) as it:
        requests = hold(it, 1, 2, 3)
        await until(lambda: waiting() == 2)
        requests[1].cancel()
        await asyncio.wait([requests[1]])
        assert waiting() == 1
        it.held.gate.set()
        assert [(await task).status_code for task in (requests[0], requests[2])] == [200, 200]
        assert it.held.reached == [1, 3]


async def test_while_draining_requests_that_wait_are_still_served():
    health = Health()
    health.mark_ready()
    settings = SETTINGS.model_copy(update={"http_max_concurrency": 1})
    async with demo(settings, health=health) as it:
        requests = hold(it, 1, 2, 3)
        await until(lambda: waiting() == 2)
        health.mark_draining()
        it.held.gate.set()
        assert [(await task).status_code for task in requests] == [200, 200, 200]


async def test_an_internal_call_waits_no_longer_than_its_caller():
    settings = SETTINGS.model_copy(update={"http_max_concurrency": 1, "http_wait": 60})
    async with demo(settings, public=False) as it:
        (request,) = hold(it, 1)
        await until(lambda: it.held.reached == [1])
        headers = {"X-Request-Deadline": "100"}
        assert (await it.client.get("/api/v1/things/1", headers=headers)).status_code == 503
        assert not request.done()
        it.held.gate.set()
        await request
