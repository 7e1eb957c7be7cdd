"""Experiments on a suite in use: Redis away, connections ended, processes replaced.

Owns what is done and what is counted; people live on the suite meanwhile (`load`), each of whom
notices what no server would say of itself: a response to another client, or older than one's
own last change.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg
import httpx
from httpx_aiohttp import AiohttpTransport
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.history import History
from tests.chaos.load import Person, Tally
from tests.chaos.scenario import Report, account_for_people, calm
from tests.suite import SERVICES

Log = Callable[[str], None]
STALE_AFTER = 10.0  # seconds after Redis is back, from when on no read may be stale
_BACKENDS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename IN ('users_app', 'api_app', 'worker_app')
  AND state IN ('active', 'idle in transaction') AND pid <> pg_backend_pid()
ORDER BY random() LIMIT 1
"""
_ANY_BACKEND = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename IN ('users_app', 'api_app', 'worker_app') ORDER BY random() LIMIT 1
"""


@dataclass
class ClientPool:
    """People who live on the suite."""

    people: list[Person]
    tally: Tally
    history: History
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def living(
    environment: ChaosEnvironment, count: int, pause: float = 0.1
) -> AsyncIterator[ClientPool]:
    """`count` people until the block ends; then they leave, and every job ends."""
    history = History(environment.folder / f"history-{uuid4().hex[:6]}.jsonl")
    stop, tally = asyncio.Event(), Tally()
    transport = AiohttpTransport()
    async with httpx.AsyncClient(base_url=environment.api, timeout=20, transport=transport) as http:
        people = [Person(http, history, stop, tally, pause=pause) for _ in range(count)]
        lives = [asyncio.create_task(person.live()) for person in people]
        try:
            async with asyncio.timeout(60):
                while not all(person.settled for person in people):
                    await asyncio.sleep(0.1)
            yield ClientPool(people, tally, history, stop)
        finally:
            stop.set()
            await asyncio.gather(*lives)
            history.close()


async def _accounted(environment: ChaosEnvironment, clients: ClientPool, log: Log) -> Report:
    report = Report()
    sql = await environment.sql()
    report.unfinished = await calm(sql, 120, log)
    await account_for_people(sql, environment, clients.history, report)
    await sql.close()
    return report


async def without_redis(environment: ChaosEnvironment, seconds: float, log: Log) -> Report:
    """Takes Redis away for so long, and brings it back with what it held before."""
    async with living(environment, 8) as clients:
        sql = await environment.sql()
        redis = environment.server("redis")
        done = "SELECT count(*) FROM jobs.jobs WHERE status = 'succeeded'"
        before, writes = await sql.fetchval(done), clients.tally.copy()
        assert redis.pid is not None
        os.kill(redis.pid, signal.SIGKILL)
        await redis.wait()
        log(f"Redis is away for {seconds:.0f} s")
        await asyncio.sleep(seconds)
        done_without = await sql.fetchval(done) - before
        during = clients.tally - writes
        await redis.start()
        back = time.time()
        log("Redis is back")
        await asyncio.sleep(2 * STALE_AFTER)
        await sql.close()
    report = await _accounted(environment, clients, log)
    stale = [event.at - back for event in clients.history.events("stale") if event.at > back]
    late = [after for after in stale if after > STALE_AFTER]
    report.rows[:0] = [
        ("requests meanwhile", f"{during.answered}, {during.failed} failed"),
        ("jobs done meanwhile", str(done_without)),
        ("stale reads after Redis returned", f"{len(stale)}, {len(late)} of them later than 10 s"),
    ]
    report.unfinished += during.failed + len(late) + (done_without == 0)
    return report


async def ended_connections(environment: ChaosEnvironment, count: int, log: Log) -> Report:
    """Ends so many backends in the middle of their work, and leaves as many requests halfway."""
    async with living(environment, 8, pause=0.02) as clients:
        sql = await environment.sql()
        log(f"{count} backends are ended, {count} clients leave in the middle of a request")
        await asyncio.gather(_terminate(sql, count), _leave(environment, clients, count))
        await sql.close()
        log("ten seconds of rest")
        await asyncio.sleep(10)
        before = clients.tally.copy()
        await asyncio.sleep(10)
        after = clients.tally - before
    report = await _accounted(environment, clients, log)
    crossed = sum(1 for _ in clients.history.events("crossed"))
    report.rows[:0] = [
        ("ten seconds later", f"{after.answered} requests, {after.failed} failed"),
        ("responses to another client", str(crossed)),
    ]
    report.unfinished += after.failed + crossed + (after.answered == 0)
    return report


async def _terminate(sql: asyncpg.Connection[asyncpg.Record], count: int) -> None:
    done = 0
    while done < count:
        # In the middle of work where there is any at this moment.
        found = await sql.fetchval(_BACKENDS) or await sql.fetchval(_ANY_BACKEND)
        done += bool(found)
        await asyncio.sleep(0.01)


async def _leave(environment: ChaosEnvironment, clients: ClientPool, count: int) -> None:
    """Requests whose client goes away before the answer, at any point of the way."""
    url = httpx.URL(environment.api)
    for number in range(count):
        person = clients.people[number % len(clients.people)]
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            f"GET /api/v1/users/{person.id} HTTP/1.1\r\nHost: chaos\r\n"
            f"Authorization: Bearer {person.token}\r\n\r\n".encode()
        )
        await writer.drain()
        await asyncio.sleep(random.uniform(0, 0.01))  # noqa: S311 (chaos, not secrecy)
        writer.transport.abort()
        await asyncio.sleep(0.01)


async def replaced_processes(environment: ChaosEnvironment, times: int, log: Log) -> Report:
    """Replaces every process of every service so many times, under keep-alive clients."""
    async with living(environment, 8, pause=0.02) as clients:
        before = clients.tally.copy()
        for number in range(1, times + 1):
            log(f"restart {number} of {times}")
            for service in SERVICES:
                await environment.command("restart", service)
        during = clients.tally - before
    report = await _accounted(environment, clients, log)
    report.rows[:0] = [
        ("requests meanwhile", f"{during.answered}, {during.failed} failed"),
    ]
    report.unfinished += during.failed
    return report
