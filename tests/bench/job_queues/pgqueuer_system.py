"""PgQueuer with its defaults: claims of up to 10 jobs, LISTEN and NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries
from tests.bench.job_queues.base import KIND, PRODUCERS, Add, Servers


class PgQueuerSystem:
    title = "pgqueuer"

    async def install(self, servers: Servers) -> None:
        async with asyncpg.create_pool(servers.database_url, min_size=1) as pool:
            await Queries(AsyncpgPoolDriver(pool)).install()

    @asynccontextmanager
    async def producing(self, servers: Servers) -> AsyncIterator[Add]:
        async with asyncpg.create_pool(
            servers.database_url, min_size=PRODUCERS, max_size=PRODUCERS
        ) as pool:
            queries = Queries(AsyncpgPoolDriver(pool))

            async def add(count: int) -> None:
                if count == 1:
                    await queries.enqueue(KIND, None)
                else:
                    await queries.enqueue([KIND] * count, [None] * count, [0] * count)

            yield add

    async def work(self, servers: Servers, begun: Callable[[], None], stop: asyncio.Event) -> None:
        async with asyncpg.create_pool(servers.database_url, min_size=2) as pool:
            queuer = PgQueuer.from_asyncpg_pool(pool)

            async def handle(_: Any) -> None:
                begun()

            queuer.entrypoint(KIND)(handle)
            running = asyncio.create_task(queuer.run())
            await stop.wait()
            queuer.shutdown.set()
            await running


SYSTEM = PgQueuerSystem()
