"""procrastinate on psycopg, ten jobs at a time, LISTEN and NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import procrastinate
from tests.bench.job_queues.base import KIND, PRODUCERS, QUEUE, Add, Servers


def _create_app(servers: Servers) -> procrastinate.App:
    connector = procrastinate.PsycopgConnector(
        conninfo=servers.database_url, min_size=PRODUCERS, max_size=PRODUCERS + 2
    )
    return procrastinate.App(connector=connector)


class ProcrastinateSystem:
    title = "procrastinate"

    async def install(self, servers: Servers) -> None:
        async with _create_app(servers).open_async() as app:
            await app.schema_manager.apply_schema_async()

    @asynccontextmanager
    async def producing(self, servers: Servers) -> AsyncIterator[Add]:
        async with _create_app(servers).open_async() as app:
            task = app.configure_task(KIND, queue=QUEUE)

            async def add(count: int) -> None:
                if count == 1:
                    await task.defer_async()
                else:
                    await task.batch_defer_async(*[{}] * count)

            yield add

    async def work(self, servers: Servers, begun: Callable[[], None], stop: asyncio.Event) -> None:
        async with _create_app(servers).open_async() as app:

            async def handle() -> None:
                begun()

            app.task(name=KIND, queue=QUEUE)(handle)
            running = asyncio.create_task(
                app.run_worker_async(concurrency=10, install_signal_handlers=False)
            )
            await stop.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


SYSTEM = ProcrastinateSystem()
