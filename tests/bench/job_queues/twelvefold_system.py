"""The suite's own queue, with its default settings: 10 slots, fair claims, logs, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pydantic import SecretStr
from tests.bench.job_queues.base import KIND, QUEUE, Add, Servers

from twelvefold.database.database import Database
from twelvefold.database.migrations import bootstrap, upgrade
from twelvefold.database.revisions import installed_migrations
from twelvefold.jobs import HandlerRegistry, JobContext, JobKind, JobQueue, RedisWakeupPublisher
from twelvefold.jobs.retention import EmptyPayload
from twelvefold.jobs.worker.consumer import Consumer, ConsumerOptions
from twelvefold.observability.logs import configure_logs
from twelvefold.settings import EnvironmentSettings, PostgresSettings, RedisSettings

PASSWORD = "bench"


def _database(url: str, name: str) -> Database:
    settings = PostgresSettings(environment="testing", database_url=SecretStr(url))
    return Database(settings, application_name=name)


def _redis(servers: Servers) -> RedisSettings:
    return RedisSettings(environment="testing", redis_url=SecretStr(servers.redis_url))


class TwelvefoldSystem:
    title = "twelvefold"

    async def install(self, servers: Servers) -> None:
        found = installed_migrations()
        passwords = {role: PASSWORD for one in found for role in (one.owner_role, one.app_role)}
        await bootstrap(servers.database_url, found, passwords)
        for one in found:
            address = servers.database_url.partition("@")[2]
            await upgrade(one, f"postgresql://{one.owner_role}:{PASSWORD}@{address}")

    @asynccontextmanager
    async def producing(self, servers: Servers) -> AsyncIterator[Add]:
        database = _database(servers.producer_url, "bench-producer")
        wakeups = RedisWakeupPublisher(_redis(servers))
        queue = JobQueue(database, wakeups)

        async def add(count: int) -> None:
            async with database.transaction() as transaction:
                if count == 1:
                    await queue.enqueue(transaction, KIND, EmptyPayload(), queue=QUEUE)
                else:
                    payloads = [EmptyPayload()] * count
                    await queue.enqueue_many(transaction, KIND, payloads, queue=QUEUE)

        async with wakeups.running():
            yield add
        await database.aclose()

    async def work(self, servers: Servers, begun: Callable[[], None], stop: asyncio.Event) -> None:
        settings = EnvironmentSettings(environment="testing", log_format="json")
        configure_logs(settings, service="bench")
        database = _database(servers.worker_url, "bench")
        registry = HandlerRegistry()

        async def handle(_job: JobContext, _payload: EmptyPayload) -> None:
            begun()

        registry.add(JobKind(KIND, EmptyPayload), handle)
        wakeups = RedisWakeupPublisher(_redis(servers))
        options = ConsumerOptions(worker="bench", queue=QUEUE)
        consumer = Consumer(database, _redis(servers), registry, wakeups=wakeups, options=options)
        async with wakeups.running(), consumer.running():
            await stop.wait()  # and then settles what it has begun
        await database.aclose()


SYSTEM = TwelvefoldSystem()
