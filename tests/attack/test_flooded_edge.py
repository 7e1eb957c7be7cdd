"""Somebody who takes what is there for all: event streams, and what no route's policy covers."""

import asyncio
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial

import httpx
import pytest
from tests.attack.conftest import assert_problem

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
ACCOUNTS = 10


async def _a_job(mallory) -> str:
    """One that waits long enough to be watched."""
    headers = {**mallory.bearer, "Content-Type": "image/png"}
    response = await mallory.http.post("/api/v1/images", content=PNG, headers=headers)
    assert response.status_code == 202, response.text
    return str(response.json()["job"]["id"])


async def test_ten_accounts_of_one_address_leave_event_streams_to_others(
    suite, attacker, clients, postgres, figure
):
    """Each asks for thirty; the innocent account is of the same machine's other address."""
    if sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8 for its own")
    mallories = await clients(ACCOUNTS)
    for mallory in mallories:
        await mallory.log_in()
    jobs = [await _a_job(mallory) for mallory in mallories]
    statuses: Counter[int] = Counter()
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=suite.url, timeout=30, limits=limits) as client,
        AsyncExitStack() as held,
    ):
        for mallory, job in zip(mallories, jobs, strict=True):
            # It goes on for as long as it is watched.
            await postgres.execute(
                "UPDATE jobs.jobs SET status = 'queued', run_at = now() + interval '1 hour' "
                "WHERE id = $1::uuid",
                job,
            )
            for _ in range(30):
                request = client.build_request(
                    "GET", f"/api/v1/jobs/{job}/events", headers=mallory.bearer
                )
                response = await client.send(request, stream=True)
                held.push_async_callback(response.aclose)
                statuses[response.status_code] += 1
        figure("event streams asked for by 10 accounts", asked=statuses.total(), held=statuses[200])
        assert set(statuses) == {200, 429}
        assert statuses[200] <= 50
        refused = await mallories[0].http.get(
            f"/api/v1/jobs/{jobs[0]}/events", headers=mallories[0].bearer
        )
        assert_problem(refused, 429)
        innocent_job = await _a_job(attacker)
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx.AsyncClient(
            base_url=suite.url, transport=transport, timeout=30
        ) as elsewhere:
            path = f"/api/v1/jobs/{innocent_job}/events"
            async with elsewhere.stream("GET", path, headers=attacker.bearer) as innocent:
                assert innocent.status_code == 200
    async with asyncio.timeout(20):  # what was held is free again
        while (
            await mallories[0].http.head(
                f"/api/v1/jobs/{jobs[0]}/events", headers=mallories[0].bearer
            )
        ).status_code != 200:
            await asyncio.sleep(0.05)


async def test_unknown_paths_and_the_documentation_cost_little(
    suite, attacker, at_once, scaled, figure
):
    """The quota of a laptop is a million: this measures what a response costs all clients."""
    count = scaled(300, 10_000)
    paths = ("/nothing/here", "/docs/swagger-ui-bundle.js", "/openapi.json", "/health")
    statuses: Counter[int] = Counter()

    async def ask(path: str) -> None:
        statuses[(await attacker.http.get(path)).status_code] += 1

    began = time.perf_counter()
    await at_once((partial(ask, paths[number % 4]) for number in range(count)), 20)
    took = time.perf_counter() - began
    figure("requests without a policy of a route", requests=count, a_second=count / took)
    assert set(statuses) == {200, 404}
