"""Watching a job: each newer state once, after the last known version, with or without Redis."""

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest
from tests.integration.jobs.workbench import (
    NOWHERE,
    Probe,
    redis_settings,
    registry_of,
)
from tests.proxy import open_proxy

from twelvefold.errors import NotFound
from twelvefold.jobs import JobEvents, JobQueue, JobStatus, RedisWakeupPublisher

UNHURRIED = 3600.0  # a floor that no test waits for: only hints can help


async def states(events, job_id, last_version=None):
    return [record async for record in events.watch(job_id, last_version)]


async def test_a_watcher_sees_the_states_until_the_job_ends(bench):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    events = JobEvents(bench.producer, bench.redis, poll_interval=UNHURRIED)
    async with events.running():
        watching = asyncio.create_task(states(events, job_id))
        await bench.watched(job_id)
        async with bench.consuming(registry_of(probe)):
            await probe.started.wait()
            probe.let_go.set()
            async with asyncio.timeout(10):
                seen = await watching
    assert seen[0].status == "queued"
    assert seen[-1].status == "succeeded"
    versions = [record.version for record in seen]
    assert versions == sorted(set(versions))


async def test_without_redis_a_watcher_polls(bench):
    job_id = await bench.enqueue()
    events = JobEvents(bench.producer, NOWHERE, poll_interval=0.05)
    async with events.running(), bench.running(registry_of(Probe())):
        async with asyncio.timeout(10):
            seen = await states(events, job_id)
    assert seen[-1].status == "succeeded"


async def test_a_watcher_that_reconnects_sees_only_newer_states(bench):
    job_id = await bench.enqueue()
    async with bench.running(registry_of(Probe())):
        await bench.becomes("succeeded", job_id)
    events = JobEvents(bench.producer, NOWHERE)
    (last,) = await states(events, job_id)
    assert await states(events, job_id, last.version - 1) == [last]
    assert await states(events, job_id, last.version) == []


async def test_an_unknown_job_is_not_found(bench):
    with pytest.raises(NotFound):
        await states(JobEvents(bench.producer, NOWHERE), uuid4())


async def test_many_watchers_share_one_connection(bench, redis_url):
    ids = [await bench.enqueue() for _ in range(20)]
    async with open_proxy(redis_url) as proxy:
        events = JobEvents(
            bench.producer, redis_settings(proxy.url(redis_url)), poll_interval=UNHURRIED
        )
        wakeups = RedisWakeupPublisher(bench.redis)
        async with events.running(), wakeups.running():
            watching = [asyncio.create_task(states(events, job_id)) for job_id in ids]
            await bench.watched(*ids)
            assert proxy.accepted == 1
            for job_id in ids:
                async with bench.producer.transaction() as transaction:
                    await JobQueue(bench.producer, wakeups).cancel(transaction, job_id)
            async with asyncio.timeout(10):
                for seen in await asyncio.gather(*watching):
                    assert seen[-1].status is JobStatus.CANCELLED


async def test_a_lost_subscription_is_renewed_and_the_missed_state_is_read(bench, redis_url):
    job_id = await bench.enqueue()
    async with open_proxy(redis_url) as proxy:
        events = JobEvents(
            bench.producer, redis_settings(proxy.url(redis_url)), poll_interval=UNHURRIED
        )
        async with events.running():
            watching = asyncio.create_task(states(events, job_id))
            await bench.watched(job_id)
            await proxy.refuse()
            await bench.unwatched(job_id)
            await bench.cancel(job_id)  # the bench publishes no hint
            await proxy.listen()
            async with asyncio.timeout(10):
                seen = await watching
    assert seen[-1].status == "cancelled"


async def test_without_watchers_there_is_no_subscription(bench):
    job_id = await bench.enqueue()
    events = JobEvents(bench.producer, bench.redis, poll_interval=UNHURRIED)
    async with events.running():
        async with aclosing(events.watch(job_id)) as stream:
            assert (await anext(stream)).status == "queued"
            await bench.watched(job_id)
        await bench.unwatched(job_id)
