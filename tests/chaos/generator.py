"""Sends requests at a constant rate whatever the responses (an open loop), or all at once.

    python tests/chaos/generator.py < plan.json

A process of its own, on a processor of its own. The plan names the URLs, which take turns, the
request, and one of `rate` (a second), `closed` (connections that send again after each response)
and `burst` (requests at once). The answer on stdout counts statuses and gives latencies from when
each request was due, so that a system that answers late is not flattered by a generator that waits
for it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

_PATIENCE = 15.0  # seconds for one answer


@dataclass
class Seen:
    """What came back: by status (0: nothing), latencies in milliseconds."""

    latencies: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, seconds: float) -> None:
        self.latencies.setdefault(status, []).append(seconds * 1000)


async def generate(plan: dict[str, Any]) -> Seen:
    """`burst` at once, or `rate` a second for `seconds`, or `closed` connections for as long."""
    seen, urls = Seen(), itertools.cycle(plan["urls"])
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        end = time.perf_counter() + plan.get("seconds", 0.0)
        if plan.get("burst"):
            due = time.perf_counter()
            calls = [_one(http, plan, next(urls), due, seen) for _ in range(plan["burst"])]
            await asyncio.gather(*calls)
        elif plan.get("rate"):
            began = time.perf_counter()
            sent: list[asyncio.Task[None]] = []
            while (due := began + len(sent) / plan["rate"]) < end:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                sent.append(asyncio.create_task(_one(http, plan, next(urls), due, seen)))
            await asyncio.gather(*sent)
        else:

            async def again() -> None:
                while time.perf_counter() < end:
                    await _one(http, plan, next(urls), time.perf_counter(), seen)

            await asyncio.gather(*(again() for _ in range(plan["closed"])))
    return seen


async def _one(
    http: aiohttp.ClientSession, plan: dict[str, Any], url: str, due: float, seen: Seen
) -> None:
    headers = plan["headers"]
    body: bytes | aiohttp.FormData | None = None
    if "body" in plan:
        body = json.dumps(plan["body"]).replace("{unique}", str(uuid4())).encode()
        headers = {"Content-Type": "application/json", **headers}
    elif "form" in plan:
        body = aiohttp.FormData(plan["form"])
    try:
        async with http.request(plan["method"], url, data=body, headers=headers) as response:
            await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        status = 0
    seen.add(status, time.perf_counter() - due)


if __name__ == "__main__":
    options = json.load(sys.stdin)
    if options.get("processor") is not None:
        os.sched_setaffinity(0, {options["processor"]})
    json.dump(asyncio.run(generate(options)).latencies, sys.stdout)
