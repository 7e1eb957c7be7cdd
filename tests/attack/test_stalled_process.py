"""A process that stands still again and again: no revoked token comes in meanwhile."""

import asyncio
import os
import signal
import time
from collections import Counter
from functools import partial

import httpx
import pytest
from tests.running_suite import Suite

pytestmark = pytest.mark.timeout(1800)
AT_ONCE = 50
STALL = 0.4  # seconds, longer than the timeout of Redis
BETWEEN = 0.03  # seconds, in which requests get half-way


async def test_no_revoked_token_is_accepted_while_the_process_stands_still(
    suite, attacker, clients, stoppable_api, at_once, scaled, figure
):
    """By SIGSTOP, which has the effect of hostile input that holds the loop."""
    count = scaled(200, 5000)
    counted_alone = await _counted_alone(suite)
    (mallory,) = await clients(1)
    await mallory.log_in()
    response = await mallory.http.get("/api/v1/users/me", headers=mallory.bearer)
    assert response.status_code == 200
    revoked = await mallory.http.post(
        "/api/v1/auth/revoke", data={"token": mallory.tokens["refresh_token"]}
    )
    assert revoked.status_code == 200
    statuses: Counter[int] = Counter()
    done = asyncio.Event()

    async def ask(path: str) -> None:
        response = await mallory.http.get(path, headers=mallory.bearer)
        statuses[response.status_code] += 1

    async def stall() -> int:
        stalls = 0
        while not done.is_set():
            os.kill(stoppable_api, signal.SIGSTOP)
            await asyncio.sleep(STALL)
            os.kill(stoppable_api, signal.SIGCONT)
            stalls += 1
            await asyncio.sleep(BETWEEN)
        return stalls

    stalling = asyncio.create_task(stall())
    began = time.perf_counter()
    paths = ("/api/v1/jobs", "/api/v1/images", "/api/v1/users/me", "/api/v1/users/me/sessions")
    try:
        await at_once((partial(ask, paths[number % 4]) for number in range(count)), AT_ONCE)
    finally:
        done.set()
        stalls = await stalling
    figure(
        "revoked tokens while the process stands still",
        requests=statuses.total(),
        stalls=stalls,
        took_s=time.perf_counter() - began,
        accepted=statuses[200],
        refused_401=statuses[401],
        told_to_come_again_503=statuses[503],
    )
    assert set(statuses) <= {401, 503}, statuses
    innocent = await attacker.http.get("/api/v1/users/me", headers=attacker.bearer)
    assert innocent.status_code == 200, "another client was affected"
    assert await _counted_alone(suite) == counted_alone, "Redis was never away"


async def _counted_alone(suite: Suite) -> float:
    """How many requests api has counted without Redis, which earlier tests may have stopped."""
    async with httpx.AsyncClient() as client:
        exposed = (await client.get(f"{suite.management['api']}/metrics")).text
    (value,) = (
        line.rpartition(" ")[2]
        for line in exposed.splitlines()
        if line.startswith("rate_limit_local_total ")
    )
    return float(value)
