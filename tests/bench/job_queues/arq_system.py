"""Bare arq, tuned: polls each 5 ms, 100 jobs at a time, JSON, no stored results.

With its own defaults (two polls a second, ten jobs at a time) it runs 200 jobs a second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from arq.connections import RedisSettings, create_pool
from arq.worker import Worker, func
from tests.bench.job_queues.base import KIND, Add, Servers


def _dump(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


class ArqSystem:
    title = "tuned arq"

    async def install(self, servers: Servers) -> None:
        """Need nothing: arq has no database."""

    @asynccontextmanager
    async def producing(self, servers: Servers) -> AsyncIterator[Add]:
        pool = await create_pool(RedisSettings.from_dsn(servers.redis_url), job_serializer=_dump)

        async def add(count: int) -> None:
            await asyncio.gather(*(pool.enqueue_job(KIND) for _ in range(count)))

        yield add
        await pool.aclose()

    async def work(self, servers: Servers, begun: Callable[[], None], stop: asyncio.Event) -> None:
        async def handle(_: dict[Any, Any]) -> None:
            begun()

        worker = Worker(
            functions=[func(handle, name=KIND)],  # type: ignore[arg-type]  # arq asks for a __qualname__
            redis_settings=RedisSettings.from_dsn(servers.redis_url),
            handle_signals=False,
            poll_delay=0.005,
            max_jobs=100,
            keep_result=0,
            job_serializer=_dump,
            job_deserializer=json.loads,
        )
        running = asyncio.create_task(worker.main())
        await stop.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        with suppress(asyncio.CancelledError):  # of the jobs that it cancels
            await worker.close()


SYSTEM = ArqSystem()
