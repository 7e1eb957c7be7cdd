"""awa, whose worker is compiled (Rust), ten jobs at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import awa
from tests.bench.job_queues.base import PRODUCERS, QUEUE, Add, Servers


@dataclass
class Work:
    """The payload of a job, which also names its kind."""


async def _ignore(_job: Any) -> None:
    """Do nothing."""


class AwaSystem:
    title = "awa (Rust)"

    async def install(self, servers: Servers) -> None:
        async with awa.AsyncClient(servers.database_url) as client:
            await client.migrate()
            # The first worker activates the storage for bulk insertion.
            client.task(Work, queue=QUEUE)(_ignore)
            await client.start([(QUEUE, 1)])
            await client.shutdown()

    @asynccontextmanager
    async def producing(self, servers: Servers) -> AsyncIterator[Add]:
        async with awa.AsyncClient(servers.database_url, max_connections=PRODUCERS) as client:

            async def add(count: int) -> None:
                if count == 1:
                    await client.insert(Work(), queue=QUEUE)
                else:
                    await client.enqueue_many_copy([Work()] * count, queue=QUEUE)

            yield add

    async def work(self, servers: Servers, begun: Callable[[], None], stop: asyncio.Event) -> None:
        async with awa.AsyncClient(servers.database_url) as client:

            async def handle(_job: Any) -> None:
                begun()

            client.task(Work, queue=QUEUE)(handle)
            await client.start([(QUEUE, 10)])
            await stop.wait()
            await client.shutdown()


SYSTEM = AwaSystem()
