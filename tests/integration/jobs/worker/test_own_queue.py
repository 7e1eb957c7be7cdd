"""A service that runs its own kinds on a queue of its own, as its own role."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from pydantic import SecretStr
from tests.integration.jobs.workbench import (
    NO_BACKOFF,
    Probe,
    Work,
    open_database,
    registry_of,
    until,
)

from twelvefold.database.database import Database
from twelvefold.database.migrations import bootstrap
from twelvefold.database.revisions import Migrations
from twelvefold.jobs import (
    HandlerRegistry,
    JobKind,
    JobQueue,
    JobStatus,
    PeriodicJob,
    RedisWakeupPublisher,
)
from twelvefold.jobs.worker.consumer import create_consumer
from twelvefold.settings import ConsumerSettings

PACK, COUNT = "shop.pack", "shop.count"


@pytest.fixture
async def shop(bench, jobs_database) -> Migrations:
    """A service that joins the suite: only its roles and its schema are there."""
    name = f"shop{uuid.uuid4().hex[:8]}"
    shop = Migrations(service=name, schema=name, package="users.migrations", runs_jobs=True)
    passwords = {shop.owner_role: "owner", shop.app_role: "app"}
    await bootstrap(jobs_database.superuser_url, [shop], passwords)
    jobs_database.passwords.update(passwords)
    return shop


@pytest.fixture
async def database(shop, jobs_database):
    database = open_database(jobs_database.url(shop.app_role))
    yield database
    await database.aclose()


async def test_it_runs_its_kinds_and_its_schedule_and_leaves_the_shared_queue_alone(
    bench, shop, database: Database, jobs_database
):
    settings = ConsumerSettings(
        environment="testing",
        database_url=SecretStr(jobs_database.url(shop.app_role)),
        redis_url=bench.redis.redis_url,
        worker_grace=5.0,
    )
    packed, counted = Probe(), Probe()
    registry = HandlerRegistry()
    registry.add(JobKind(PACK, Work, backoff=NO_BACKOFF), packed)
    registry.add(JobKind(COUNT, Work), counted)
    wakeups = RedisWakeupPublisher(settings)
    consumer = create_consumer(
        database,
        settings,
        registry,
        wakeups=wakeups,
        queue=shop.service,
        schedule=[PeriodicJob(COUNT, every=timedelta(days=1))],
    )
    queue = JobQueue(database, wakeups, queue=shop.service)
    shared = await bench.enqueue(kind=PACK)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(wakeups.running())
        await stack.enter_async_context(consumer.running())
        async with database.transaction() as transaction:
            own = await queue.enqueue(transaction, PACK, Work(name="a parcel"))
        await until(lambda: packed.names == ["a parcel"] and len(counted.runs) == 1)

        async def succeeded() -> bool:
            record = await queue.find(own)
            return record is not None and record.status is JobStatus.SUCCEEDED

        await until(succeeded)
        await consumer.drain()
    assert (await bench.row(shared))["claim_no"] == 0


async def test_the_worker_of_the_shared_queue_leaves_its_jobs_alone(bench, shop, database):
    queue = JobQueue(database, queue=shop.service)
    async with database.transaction() as transaction:
        own = await queue.enqueue(transaction, "test.work", Work())
    async with bench.running(registry_of(Probe())):
        await bench.becomes("succeeded", await bench.enqueue())
    assert (await bench.row(own))["claim_no"] == 0
