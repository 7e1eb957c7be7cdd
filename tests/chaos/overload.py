"""Five times as much as fits: what is still done, how fast the rest is refused, what it costs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
from tests.chaos.checker import percentile
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.load import PASSWORD
from tests.suite import SERVICES

GENERATOR = Path(__file__).with_name("generator.py")
TIMES = 5
DONE = (200, 201, 202)
# Connections by which the peak is found. Too few leave it idle, too many are an overload already.
CLOSED = (2, 4, 8, 16, 32)
GOODPUT = 0.9  # of the peak, at least
REFUSED_MS = 50.0  # at the median, at most
GROWN_MB = 200.0  # of all processes of a service, at most
Log = Callable[[str], None]
Latencies = Mapping[int, list[float]]


async def overload(
    environment: ChaosEnvironment, seconds: float, log: Log
) -> tuple[bool, list[tuple[str, str]]]:
    """Whether it holds for registration and for creating jobs, and the lines of the table."""
    await part_processors(environment)
    routes = {
        "registration": (
            "/api/v1/users",
            {"email": "{unique}@load.example", "name": "Load", "password": PASSWORD},
            {},
        ),
        "creating jobs": (
            "/api/v1/jobs",
            # Without recipients: the job is cheap, so that what is measured is its creation.
            {"type": "email.send", "payload": {"template": "welcome", "user_id": "{unique}"}},
            {"Authorization": f"Bearer {await admin_token(environment)}"},
        ),
    }
    holds = True
    rows: list[tuple[str, str]] = []
    for name, (path, body, headers) in routes.items():
        plan = {
            "method": "POST",
            "urls": [environment.api + path],
            "body": body,
            "headers": headers,
            "seconds": seconds,
        }
        log(f"{name}: the peak")
        peak = 0.0
        for closed in CLOSED:
            found = await generated({**plan, "closed": closed})
            peak = max(peak, rate_of(found, seconds))
            log(f"{name}: {closed} connections, {counts_of(found)}")
        if not peak:
            return False, [*rows, (name, "nothing was done")]
        log(f"{name}: {peak:.0f} a second; now {TIMES} times that")
        before, pids = await resident_bytes(environment), await all_pids(environment)
        seen = await generated({**plan, "rate": TIMES * peak})
        grown = (await resident_bytes(environment) - before) / 1_000_000
        good = rate_of(seen, seconds)
        refused = seen.get(503, [])
        other = {status: len(found) for status, found in seen.items() if status not in (*DONE, 503)}
        median = percentile(refused, 0.5)
        same = pids == await all_pids(environment)
        holds = holds and (
            good >= GOODPUT * peak and median < REFUSED_MS and same and grown < GROWN_MB
        )
        output = (
            f"peak {peak:.0f}/s, at {TIMES} x {good:.0f}/s done ({good / peak:.0%}), "
            f"{len(refused)} refused in {median:.0f} ms at the median "
            f"(p99 {percentile(refused, 0.99):.0f}), other answers {other or 'none'}, "
            f"memory grew {grown:.0f} MB, {'no crash' if same else 'A CRASH'}"
        )
        rows.append((name, output))
        await asyncio.sleep(5)
    return holds, rows


async def admin_token(environment: ChaosEnvironment) -> str:
    """An access token of an admin, made one behind the suite's back."""
    email = f"admin.{uuid4().hex}@example.com"
    async with httpx.AsyncClient(base_url=environment.api, timeout=30) as http:
        body = {"email": email, "name": "Admin", "password": PASSWORD}
        assert (await http.post("/api/v1/users", json=body)).status_code == httpx.codes.CREATED
        sql = await environment.sql()
        await sql.execute("UPDATE users.accounts SET role = 'admin' WHERE email = $1", email)
        await sql.close()
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        response = await http.post("/api/v1/auth/token", data=form)
    token: str = response.json()["access_token"]
    return token


async def part_processors(environment: ChaosEnvironment) -> None:
    """The suite and its servers on one processor, where there are two; the generator has the
    other.
    """
    if len(os.sched_getaffinity(0)) < 2:
        return
    pids = await all_pids(environment)
    pids += [server.pid for server in environment.servers.all if server.pid is not None]
    for pid in pids:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            for thread in process.threads():
                os.sched_setaffinity(thread.id, {0})


async def all_pids(environment: ChaosEnvironment) -> list[int]:
    return [pid for name in SERVICES for pid in await environment.pids(name)]


async def resident_bytes(environment: ChaosEnvironment) -> int:
    """Resident bytes of the suite's own processes."""
    return sum(psutil.Process(pid).memory_info().rss for pid in await all_pids(environment))


async def generated(plan: dict[str, Any]) -> Latencies:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(GENERATOR),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    processor = 1 if len(os.sched_getaffinity(0)) > 1 else None
    output, _ = await process.communicate(json.dumps({**plan, "processor": processor}).encode())
    return {int(status): found for status, found in json.loads(output).items()}


def rate_of(seen: Latencies, seconds: float) -> float:
    return sum(len(found) for status, found in seen.items() if status in DONE) / seconds


def counts_of(seen: Latencies) -> dict[int, int]:
    return {status: len(found) for status, found in seen.items()}
