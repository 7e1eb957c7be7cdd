"""A worker that dies at a named point: another one ends its job, and the effect is there once."""

from __future__ import annotations

import signal

import pytest
from tests.chaos.worker_child import COUNT, CRASH_POINTS, DEAD, MAIL, OBJECT, STEP, Payload
from tests.integration.jobs.workbench import open_database, until

from twelvefold.jobs import JobQueue

# The kind that comes by the point.
KINDS = {"after_object_put": OBJECT, "after_mail": MAIL, "after_step": STEP}
ENDED_BY = "SELECT status FROM jobs.jobs WHERE id = $1"
EFFECTS = "SELECT count(*) FROM chaos.effects WHERE job_id = $1"


@pytest.fixture
async def enqueue(chaos_database):
    producer = open_database(chaos_database.url("api_app"))

    async def one(kind: str, **payload):
        async with producer.transaction() as transaction:
            queue = JobQueue(producer)
            return await queue.enqueue(transaction, kind, Payload(**payload), queue="chaos")

    yield one
    await producer.aclose()


@pytest.mark.parametrize("point", CRASH_POINTS)
async def test_a_job_whose_worker_dies_at_any_point_is_done_and_its_effect_is_there_once(
    point, new_worker, enqueue, sql, count_emails
):
    kind = KINDS.get(point, COUNT)
    job_id = await enqueue(kind)
    doomed = new_worker("doomed", CRASH_AT=point)
    await doomed.start()
    assert await doomed.ended() == DEAD, "it did not come by the point"
    survivor = new_worker("survivor")
    await survivor.start()

    async def succeeded():
        return await sql.fetchval(ENDED_BY, job_id) == "succeeded"

    await until(succeeded)
    assert await sql.fetchval(EFFECTS, job_id) == 1
    row = await sql.fetchrow("SELECT attempts, crashes FROM jobs.jobs WHERE id = $1", job_id)
    # What was settled before the end of the process is no crash; nothing here counts as an attempt.
    assert (row["attempts"], row["crashes"]) == (0, 0 if point == "after_settle" else 1)
    if kind == MAIL:
        # Sent, and lost before it could be noted: the one effect that may be there twice.
        assert count_emails(f"{job_id}@chaos.example") == 2


async def test_a_stopped_worker_that_wakes_after_its_lease_completes_nothing(
    new_worker, enqueue, sql
):
    """Of its 20 jobs, all of which were done elsewhere meanwhile, not one is taken from it."""
    jobs = [await enqueue(COUNT, seconds=4.0) for _ in range(20)]
    sleeper = new_worker("sleeper", CHAOS_CONCURRENCY="20")
    await sleeper.start()

    async def running(count, worker):
        held = "SELECT count(*) FROM jobs.jobs WHERE status = 'running' AND worker LIKE $1"
        return await sql.fetchval(held, f"{worker}%") == count

    await until(lambda: running(20, "sleeper"))
    sleeper.send(signal.SIGSTOP)
    relief = new_worker("relief", CHAOS_CONCURRENCY="20")
    await relief.start()

    async def all_done():
        done = "SELECT count(*) FROM jobs.jobs WHERE status = 'succeeded'"
        return await sql.fetchval(done) == len(jobs)

    await until(all_done)
    sleeper.send(signal.SIGCONT)
    log = sleeper.folder / "sleeper-1.log"
    await until(lambda: log.read_text().count('"status":"lost"') == 20)
    by = await sql.fetch("SELECT worker, count(*) AS n FROM chaos.effects GROUP BY worker")
    assert {row["worker"]: row["n"] for row in by} == {"relief-1": 20}
