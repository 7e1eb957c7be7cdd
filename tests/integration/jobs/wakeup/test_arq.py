"""Wake-ups over a real Redis: they wake a worker, and losing one loses nothing else."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import arq.constants
import arq.jobs
import pytest
import redis.asyncio
from arq.connections import ArqRedis
from tests.integration.jobs.workbench import (
    NOWHERE,
    QUICK,
    QUICK_MAINTENANCE,
    WORK,
    Probe,
    Work,
    redis_settings,
    registry_of,
    until,
)
from tests.proxy import open_proxy

from twelvefold.identifiers import new_id
from twelvefold.jobs import JobQueue, RedisWakeupPublisher, Wakeup
from twelvefold.jobs.channels import wakeup_channel
from twelvefold.jobs.wakeup.arq import (
    FUNCTION,
    JOB_KEY,
    MAX_PENDING,
    ArqListener,
    encode_json,
    encode_wakeup,
    queue_key,
)

# Polls too rarely for a test: only a wake-up can start a job.
NO_POLLS = replace(QUICK, poll=3600.0, fallback_poll_interval=3600.0)
NO_RESENDS = replace(QUICK_MAINTENANCE, wakeup_interval=3600.0)


@pytest.fixture
async def redis_client(bench):
    client = redis.asyncio.from_url(bench.redis.redis_url.get_secret_value())
    yield client
    await client.aclose()


async def enqueue(bench, wakeups, count=1):
    queue = JobQueue(bench.producer, wakeups)
    ids = []
    for number in range(count):
        async with bench.producer.transaction() as transaction:
            ids.append(await queue.enqueue(transaction, WORK, Work(name=str(number))))
    return ids


def test_a_wake_up_has_the_format_of_arq_itself():
    job_id, now = new_id(), 1_700_000_000_000
    expected = arq.jobs.serialize_job(
        FUNCTION, (str(job_id),), {}, None, now, serializer=encode_json
    )
    assert encode_wakeup(job_id, now) == expected
    assert arq.constants.job_key_prefix == JOB_KEY


async def test_a_wake_up_starts_a_job_at_once(bench):
    probe = Probe()
    async with bench.consuming(
        registry_of(probe), runner=NO_POLLS, maintenance=NO_RESENDS
    ) as consumer:
        await until(lambda: consumer.listener.connected)
        wakeups = RedisWakeupPublisher(bench.redis)
        async with wakeups.running():
            (job_id,) = await enqueue(bench, wakeups)
        await bench.becomes("succeeded", job_id)
    assert probe.runs == [job_id]


async def test_a_message_makes_an_idle_worker_take_the_wake_up_without_a_poll(bench):
    probe = Probe()
    async with bench.consuming(
        registry_of(probe), runner=NO_POLLS, maintenance=NO_RESENDS, idle_poll_interval=3600.0
    ) as consumer:
        await until(lambda: consumer.listener.connected)
        wakeups = RedisWakeupPublisher(bench.redis)
        async with wakeups.running():
            for _ in range(3):
                (job_id,) = await enqueue(bench, wakeups)
                await bench.becomes("succeeded", job_id)
    assert len(probe.runs) == 3


async def test_a_worker_without_free_slots_finds_the_other_jobs_without_hints(bench):
    probe = Probe()
    wakeups = RedisWakeupPublisher(bench.redis)
    async with wakeups.running():
        ids = await enqueue(bench, wakeups, 10)
    # No more wake-ups are sent: only the end of a job can start the next.
    few = replace(NO_POLLS, concurrency=2)
    async with bench.consuming(
        registry_of(probe), runner=few, maintenance=NO_RESENDS, idle_poll_interval=3600.0
    ):
        await bench.becomes("succeeded", *ids)
    assert sorted(probe.runs) == sorted(ids)


async def test_a_wake_up_without_a_hint_is_found(bench, redis_client):
    async with bench.consuming(registry_of(Probe()), runner=NO_POLLS, maintenance=NO_RESENDS):
        # More jobs than the runner polls for at its start.
        for _ in range(4):
            (job_id,) = await enqueue(bench, bench.wakeups)
            # As a release without hints sends them.
            now = int(time.time() * 1000)
            await redis_client.set(f"{JOB_KEY}{job_id}:0", encode_wakeup(job_id, now))
            await redis_client.zadd(queue_key("default"), {f"{job_id}:0": now})
            await bench.becomes("succeeded", job_id)


async def test_clock_skew_delays_no_job(bench, monkeypatch):
    probe = Probe()
    ahead = time.time() + 0.5
    async with bench.consuming(
        registry_of(probe), runner=NO_POLLS, maintenance=NO_RESENDS, idle_poll_interval=3600.0
    ) as consumer:
        await until(lambda: consumer.listener.connected)
        wakeups = RedisWakeupPublisher(bench.redis)
        with monkeypatch.context() as clock:
            clock.setattr("twelvefold.jobs.wakeup.arq.time.time", lambda: ahead)
            async with wakeups.running():
                (job_id,) = await enqueue(bench, wakeups)
        await bench.becomes("succeeded", job_id)


async def test_processed_wake_ups_leave_no_keys_in_redis(bench, redis_client):
    async with bench.consuming(
        registry_of(Probe()), runner=NO_POLLS, maintenance=NO_RESENDS
    ) as consumer:
        await until(lambda: consumer.listener.connected)
        wakeups = RedisWakeupPublisher(bench.redis)
        async with wakeups.running():
            ids = await enqueue(bench, wakeups, 5)
        await bench.becomes("succeeded", *ids)

        async def empty() -> bool:
            return bool(await redis_client.dbsize() == 0)

        await until(empty)


async def test_a_wake_up_contains_only_an_id_as_json(bench, redis_client):
    wakeups = RedisWakeupPublisher(bench.redis)
    async with wakeups.running():
        (job_id,) = await enqueue(bench, wakeups)
    content = json.loads(await redis_client.get(f"{JOB_KEY}{job_id}:0"))
    assert (content["f"], content["a"], content["k"]) == (FUNCTION, [str(job_id)], {})
    assert await redis_client.zrange(queue_key("default"), 0, -1) == [f"{job_id}:0".encode()]


async def test_the_jobs_of_a_batch_have_one_wake_up_for_each_queue(bench, redis_client):
    wakeups = RedisWakeupPublisher(bench.redis)
    first, other = Wakeup(new_id(), 3), Wakeup(new_id(), 0, "other")
    for wakeup in (first, Wakeup(new_id()), other, Wakeup(new_id()), other):
        wakeups.wake(wakeup)  # one batch, because sending starts later
    async with wakeups.running():
        pass
    for wakeup in (first, other):
        pending = await redis_client.zrange(queue_key(wakeup.queue), 0, -1)
        assert pending == [f"{wakeup.job_id}:{wakeup.claim_no}".encode()]
    await redis_client.flushdb()


async def test_wake_ups_that_no_worker_takes_are_bounded(bench, redis_client):
    sent = [Wakeup(new_id()) for _ in range(MAX_PENDING + 5)]
    for wakeup in sent:
        wakeups = RedisWakeupPublisher(bench.redis)
        wakeups.wake(wakeup)
        async with wakeups.running():
            pass
    pending = await redis_client.zrange(queue_key("default"), 0, -1)
    assert len(pending) == MAX_PENDING
    assert f"{sent[-1].job_id}:0".encode() in pending
    assert 0 < await redis_client.ttl(f"{JOB_KEY}{sent[-1].job_id}:0") <= 60
    await redis_client.flushdb()


async def test_one_of_several_idle_workers_takes_a_wake_up(bench, redis_client):
    taken: list[int] = []
    listeners = [
        ArqListener(
            bench.redis,
            queue="default",
            on_wakeup=partial(taken.append, number),
            idle_poll_interval=3600.0,
        )
        for number in range(4)
    ]

    async def announce(*receivers: ArqListener) -> None:
        wakeups, wakeup = RedisWakeupPublisher(bench.redis), Wakeup(new_id())
        wakeups.wake(wakeup)
        async with wakeups.running():
            pass
        count = len(taken)
        for receiver in receivers:
            receiver.announce(f"{wakeup.job_id}:0")
        await until(lambda: len(taken) > count)

    async with AsyncExitStack() as stack:
        for listener in listeners:
            await stack.enter_async_context(listener.running())
        await until(lambda: all(listener.connected for listener in listeners))
        await announce(*listeners)
        # A listener takes one wake-up after the other: the first is decided in all of them.
        for listener in listeners:
            await announce(listener)
    assert len(taken) == 1 + len(listeners)
    assert taken[1:] == [0, 1, 2, 3]


async def test_a_worker_that_fills_its_slots_wakes_another(bench):
    first, second = Probe(), Probe()
    first.hold()
    wakeups = RedisWakeupPublisher(bench.redis)
    alone = {"runner": replace(NO_POLLS, concurrency=2), "maintenance": NO_RESENDS}
    async with wakeups.running(), bench.consuming(registry_of(first), **alone) as busy:
        await until(lambda: busy.listener.connected)
        async with bench.consuming(
            registry_of(second), worker="other", idle_poll_interval=3600.0, **alone
        ) as idle:
            await until(lambda: idle.listener.connected)
            # One commit, and so one wake-up, for more jobs than one worker has slots.
            async with bench.producer.transaction() as transaction:
                queue = JobQueue(bench.producer, wakeups)
                ids = await queue.enqueue_many(transaction, WORK, [Work()] * 6)
            await until(lambda: len(first.runs) + len(second.runs) == 6)
            first.let_go.set()
            await bench.becomes("succeeded", *ids)
    assert len(second.runs) >= 4


async def test_jobs_run_without_redis(bench):
    probe = Probe()
    wakeups = RedisWakeupPublisher(NOWHERE)
    async with bench.consuming(registry_of(probe), redis=NOWHERE), wakeups.running():
        ids = await enqueue(bench, wakeups, 5)
        await bench.becomes("succeeded", *ids)
    assert sorted(probe.runs) == sorted(ids)


async def test_enqueueing_does_not_wait_for_a_hanging_redis(bench, redis_url):
    async with open_proxy(redis_url) as proxy:
        wakeups = RedisWakeupPublisher(redis_settings(proxy.url(redis_url)))
        async with wakeups.running():
            proxy.hold()
            started = time.perf_counter()
            await enqueue(bench, wakeups, 10)
            assert time.perf_counter() - started < 2.0


async def test_an_outage_of_redis_only_delays_jobs_and_ends_with_a_reconnection(bench, redis_url):
    probe = Probe()
    async with open_proxy(redis_url) as proxy:
        through = redis_settings(proxy.url(redis_url))
        wakeups = RedisWakeupPublisher(bench.redis)
        async with (
            wakeups.running(),
            bench.consuming(registry_of(probe), redis=through) as consumer,
        ):
            await until(lambda: consumer.listener.connected)
            await proxy.refuse()
            await until(lambda: not consumer.listener.connected)
            polled = await enqueue(bench, wakeups, 3)
            await bench.becomes("succeeded", *polled)
            await proxy.listen()
            await until(lambda: consumer.listener.connected)
            woken = await enqueue(bench, wakeups, 3)
            await bench.becomes("succeeded", *woken)
    assert sorted(probe.runs) == sorted([*polled, *woken])


async def test_a_running_job_survives_the_loss_of_redis(bench, redis_url):
    probe = Probe()
    probe.hold()
    async with open_proxy(redis_url) as proxy:
        wakeups = RedisWakeupPublisher(bench.redis)
        async with (
            wakeups.running(),
            bench.consuming(
                registry_of(probe),
                redis=redis_settings(proxy.url(redis_url)),
                maintenance=NO_RESENDS,
            ) as consumer,
        ):
            (job_id,) = await enqueue(bench, wakeups)
            await probe.started.wait()
            await proxy.refuse()
            await until(lambda: not consumer.listener.connected)
            probe.let_go.set()
            await bench.becomes("succeeded", job_id)
    assert (probe.cancelled, len(probe.runs)) == (0, 1)


async def test_flushing_redis_loses_no_job_and_repeats_none(bench, redis_client):
    wakeups = RedisWakeupPublisher(bench.redis)
    async with wakeups.running():
        ids = await enqueue(bench, wakeups, 50)
    await redis_client.flushdb()
    probe = Probe()
    # Without the grace period of five seconds for a wake-up.
    async with bench.consuming(registry_of(probe), runner=replace(QUICK, wakeup_grace=0.0)):
        await until(lambda: len(probe.runs) >= 10)
        await redis_client.flushdb()
        await bench.becomes("succeeded", *ids)
    assert sorted(probe.runs) == sorted(ids)


async def test_a_key_that_arq_left_locked_only_delays_a_job(bench, redis_client):
    wakeups = RedisWakeupPublisher(bench.redis)
    async with wakeups.running():
        (job_id,) = await enqueue(bench, wakeups)
    # As after a worker that was killed before it claimed the job.
    await redis_client.set(f"{arq.constants.in_progress_key_prefix}{job_id}:0", b"1")
    await bench.due_since(job_id, 5.1)
    async with bench.consuming(registry_of(Probe())):
        await bench.becomes("succeeded", job_id)


async def test_a_draining_worker_leaves_wake_ups_to_others(bench, redis_client):
    probe = Probe()
    async with bench.consuming(
        registry_of(probe), runner=NO_POLLS, maintenance=NO_RESENDS
    ) as consumer:
        await until(lambda: consumer.listener.connected)
        await consumer.drain()
        wakeups = RedisWakeupPublisher(bench.redis)
        async with wakeups.running():
            (job_id,) = await enqueue(bench, wakeups)
    assert await redis_client.zcard(queue_key("default")) == 1
    assert (await bench.record(job_id)).status == "queued"


async def test_a_worker_without_free_slots_leaves_wake_ups_to_others(bench, redis_client):
    probe = Probe()
    probe.hold()
    wakeups = RedisWakeupPublisher(bench.redis)
    slots = replace(NO_POLLS, concurrency=2)
    ids = [await bench.enqueue() for _ in range(3)]
    async with (
        wakeups.running(),
        bench.consuming(registry_of(probe), runner=slots, maintenance=NO_RESENDS) as consumer,
    ):
        await until(lambda: len(probe.runs) == 2)
        await until(lambda: consumer.listener.connected)
        ids += await enqueue(bench, wakeups)
        consumer.listener.announce(f"{ids[-1]}:0")

        async def is_pending() -> bool:
            score = await redis_client.zscore(queue_key("default"), f"{ids[-1]}:0")
            return score is not None

        await until(is_pending)
        probe.let_go.set()
        await bench.becomes("succeeded", *ids)


async def test_a_message_of_an_earlier_release_makes_an_idle_worker_poll(bench, redis_client):
    async with bench.consuming(
        registry_of(Probe()), runner=NO_POLLS, maintenance=NO_RESENDS, idle_poll_interval=3600.0
    ) as consumer:
        await until(lambda: consumer.listener.connected)
        (job_id,) = await enqueue(bench, bench.wakeups)
        now = int(time.time() * 1000)
        await redis_client.set(f"{JOB_KEY}{job_id}:0", encode_wakeup(job_id, now))
        await redis_client.zadd(queue_key("default"), {f"{job_id}:0": now})
        await redis_client.publish(wakeup_channel("default"), "")
        await bench.becomes("succeeded", job_id)


async def test_a_pickled_entry_in_redis_is_never_executed(bench, redis_client):
    pickled = ArqRedis.from_url(bench.redis.redis_url.get_secret_value())
    await pickled.enqueue_job(FUNCTION, str(new_id()), _queue_name=queue_key("default"))
    await pickled.aclose()
    async with bench.consuming(registry_of(Probe())) as consumer:

        async def discarded() -> bool:
            return bool(await redis_client.zcard(queue_key("default")) == 0)

        await until(discarded)
        assert consumer.listener.connected
        await bench.becomes("succeeded", await bench.enqueue())


async def test_a_hint_cancels_a_running_job_at_once(bench):
    probe = Probe()
    probe.hold()
    rare_heartbeats = replace(QUICK, heartbeat=3600.0)
    wakeups = RedisWakeupPublisher(bench.redis)
    async with (
        wakeups.running(),
        bench.consuming(registry_of(probe), runner=rare_heartbeats) as consumer,
    ):
        (job_id,) = await enqueue(bench, wakeups)
        await probe.started.wait()
        await until(lambda: bool(consumer._subscriber._subscribed))
        async with bench.producer.transaction() as transaction:
            await JobQueue(bench.producer, wakeups).cancel(transaction, job_id)
        await bench.becomes("cancelled", job_id)


async def test_wake_ups_are_dropped_during_an_outage_of_redis_and_sent_after_it(bench, redis_url):
    async with open_proxy(redis_url) as proxy:
        settings = redis_settings(proxy.url(redis_url))
        wakeups = RedisWakeupPublisher(settings)
        async with wakeups.running(), redis.asyncio.from_url(redis_url) as client:
            await proxy.refuse()
            wakeups.wake(Wakeup(new_id()))
            await proxy.listen()
            kept = Wakeup(new_id(), 7)

            async def arrives() -> bool:
                wakeups.wake(kept)
                await asyncio.sleep(0)
                return bool(await client.zcard(queue_key("default")))

            await until(arrives)
            assert await client.zrange(queue_key("default"), 0, -1) == [
                f"{kept.job_id}:{kept.claim_no}".encode()
            ]
