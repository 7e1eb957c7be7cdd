"""The producer's side: enqueue, list, cancel and retry, with the grants of its role."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from unittest.mock import ANY
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy.exc
from sqlalchemy import text
from tests.integration.jobs.workbench import WORK, Work, open_database

from twelvefold.contracts.jobs import KINDS, MAX_ATTEMPTS
from twelvefold.errors import Conflict, NotFound
from twelvefold.identifiers import new_id
from twelvefold.jobs import JobStatus, Wakeup
from twelvefold.jobs.channels import CANCEL_CHANNEL, change_channel
from twelvefold.jobs.insertion import MAX_ROWS
from twelvefold.jobs.retry_policy import DEFAULT_MAX_ATTEMPTS


async def test_a_rollback_leaves_neither_a_job_nor_a_wake_up(bench):
    with contextlib.suppress(ZeroDivisionError):
        async with bench.producer.transaction() as transaction:
            await bench.jobs.enqueue(transaction, WORK, Work())
            raise ZeroDivisionError
    assert await bench.sql.fetchval("SELECT count(*) FROM jobs.jobs") == 0
    assert bench.wakeups.sent == []


async def test_a_wake_up_is_sent_after_the_commit_and_not_before(bench):
    async with bench.producer.transaction() as transaction:
        job_id = await bench.jobs.enqueue(transaction, WORK, Work())
        assert bench.wakeups.sent == []
    assert bench.wakeups.sent == [Wakeup(job_id, 0, "default")]


async def test_a_job_for_later_sends_no_wake_up(bench):
    await bench.enqueue(run_at=datetime.now(UTC) + timedelta(minutes=5))
    assert bench.wakeups.sent == []


async def test_a_unique_key_makes_one_job_and_every_producer_gets_its_id(bench):
    ids = await asyncio.gather(*(bench.enqueue(unique_key="evict 42") for _ in range(8)))
    assert len(set(ids)) == 1
    assert await bench.sql.fetchval("SELECT count(*) FROM jobs.jobs") == 1
    assert len(bench.wakeups.sent) == 1
    assert await bench.enqueue(unique_key="evict 43") != ids[0]
    assert await bench.enqueue(kind="test.other", unique_key="evict 42") != ids[0]


async def test_the_same_id_twice_is_one_job(bench):
    job_id = new_id()
    assert await bench.enqueue("first", job_id=job_id) == job_id
    assert await bench.enqueue("second", job_id=job_id) == job_id
    assert await bench.sql.fetchval("SELECT payload->>'name' FROM jobs.jobs") == "first"


@pytest.mark.parametrize("kind", [*KINDS, WORK])
async def test_a_queued_job_shows_the_attempts_of_its_kind(bench, kind):
    job_id = await bench.enqueue(kind=kind)
    record = await bench.jobs.find(job_id)
    assert record.max_attempts == MAX_ATTEMPTS.get(kind, DEFAULT_MAX_ATTEMPTS)
    stored = await bench.sql.fetchval("SELECT max_attempts FROM jobs.jobs")
    assert stored == MAX_ATTEMPTS.get(kind)


async def test_contradicting_arguments_are_rejected_before_any_statement(bench):
    with pytest.raises(ValueError, match="unique key"):
        await bench.enqueue(unique_key="a", job_id=new_id())
    with pytest.raises(ValueError, match="time zone"):
        await bench.enqueue(run_at=datetime(2030, 1, 1))  # noqa: DTZ001 (the fault)


async def test_many_jobs_are_one_statement_per_thousand_and_one_wake_up(bench):
    payloads = [Work(name=str(number)) for number in range(MAX_ROWS + 5)]
    async with bench.producer.transaction() as transaction:
        ids = await bench.jobs.enqueue_many(transaction, WORK, payloads, priority=3)
        assert bench.wakeups.sent == []
    rows = await bench.sql.fetch(
        "SELECT id, payload->>'name' AS name, priority FROM jobs.jobs ORDER BY id"
    )
    assert [(row["id"], row["name"]) for row in rows] == [
        (job_id, work.name) for job_id, work in zip(ids, payloads, strict=True)
    ]
    assert {row["priority"] for row in rows} == {3}
    # One for each statement, of which the publisher sends one.
    assert {wakeup.job_id for wakeup in bench.wakeups.sent} == {ids[0], ids[MAX_ROWS]}


async def test_no_jobs_at_all_are_no_statement_and_no_wake_up(bench):
    async with bench.producer.transaction() as transaction:
        assert await bench.jobs.enqueue_many(transaction, WORK, []) == []
    assert bench.wakeups.sent == []


async def test_many_jobs_with_unique_keys_are_inserted_once(bench):
    async def enqueue(*keys):
        async with bench.producer.transaction() as transaction:
            return await bench.jobs.enqueue_many(
                transaction, WORK, [Work()] * len(keys), unique_keys=keys
            )

    first = await enqueue("a", "b")
    assert await enqueue("b", "c", "b") == [first[1], ANY, first[1]]
    assert await bench.sql.fetchval("SELECT count(*) FROM jobs.jobs") == 3
    assert await bench.enqueue(unique_key="a") == first[0]
    with pytest.raises(ValueError, match="one unique key"):
        async with bench.producer.transaction() as transaction:
            await bench.jobs.enqueue_many(transaction, WORK, [Work()], unique_keys=[])


async def test_a_rollback_leaves_none_of_many_jobs(bench):
    with contextlib.suppress(ZeroDivisionError):
        async with bench.producer.transaction() as transaction:
            await bench.jobs.enqueue_many(transaction, WORK, [Work()] * 3)
            raise ZeroDivisionError
    assert await bench.sql.fetchval("SELECT count(*) FROM jobs.jobs") == 0
    assert bench.wakeups.sent == []


@pytest.mark.parametrize("role", ["api_app", "users_app"])
async def test_other_services_can_insert_but_neither_read_payloads_nor_change_rows(
    bench, jobs_database, role
):
    job_id = await bench.enqueue()
    database = open_database(jobs_database.url(role))
    forbidden = [
        "SELECT payload FROM jobs.jobs",
        "UPDATE jobs.jobs SET status = 'succeeded'",
        "DELETE FROM jobs.jobs",
        "INSERT INTO jobs.jobs (id, kind, version) VALUES (gen_random_uuid(), '', 9)",
        "INSERT INTO jobs.job_effects VALUES (gen_random_uuid(), 'x')",
        "TRUNCATE jobs.jobs",
    ]
    for statement in forbidden:
        with pytest.raises(sqlalchemy.exc.DBAPIError, match="permission denied"):
            async with database.transaction() as transaction:
                await transaction.execute(text(statement))
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="does not exist"):
        async with database.read() as reader:
            await reader.execute(text("SELECT payload FROM jobs.job_status"))
    async with database.read() as reader:
        seen = await reader.scalar(text("SELECT id FROM jobs.job_status"))
    assert seen == job_id
    await database.aclose()


async def test_the_functions_run_as_the_owner_with_a_fixed_search_path(bench):
    rows = await bench.sql.fetch(
        "SELECT proname, prosecdef, proconfig, proacl::text[] AS acl FROM pg_proc "
        "WHERE pronamespace = 'jobs'::regnamespace"
    )
    assert {row["proname"] for row in rows} == {
        "cancel_job",
        "count_waiting",
        "grant_consumer",
        "grant_producer",
        "job_subject",
        "retry_job",
    }
    for row in rows:
        assert row["prosecdef"]
        assert row["proconfig"] == ["search_path=pg_catalog, pg_temp"]
        # A grant to PUBLIC has no name before the equals sign.
        assert not [entry for entry in row["acl"] if entry.startswith("=")]


async def test_a_waiting_job_is_cancelled_at_once(bench):
    job_id = await bench.enqueue()
    record = await bench.cancel(job_id)
    assert (record.status, record.cancel_requested) == ("cancelled", True)
    assert record.finished_at is not None
    assert await bench.leases().claim(1) == []
    assert bench.wakeups.published == [(change_channel(job_id), str(record.version))]
    assert (await bench.cancel(job_id)).version == record.version


async def test_cancelling_a_running_job_requests_its_cancellation(bench):
    job_id = await bench.enqueue()
    await bench.leases().claim(1)
    record = await bench.cancel(job_id)
    assert (record.status, record.cancel_requested) == ("running", True)
    assert (CANCEL_CHANNEL, str(job_id)) in bench.wakeups.published


@pytest.mark.parametrize("status", ["succeeded", "rejected", "dead"])
async def test_an_ended_job_cannot_be_cancelled(bench, status):
    job_id = await bench.enqueue()
    await bench.sql.execute("UPDATE jobs.jobs SET status = $1", status)
    with pytest.raises(Conflict):
        await bench.cancel(job_id)


@pytest.mark.parametrize("status", ["dead", "rejected", "cancelled"])
async def test_a_retry_restarts_a_job_that_ended_without_success(bench, status):
    job_id = await bench.enqueue()
    await bench.sql.execute(
        "UPDATE jobs.jobs SET status = $1, attempts = 5, crashes = 3, claim_no = 8, "
        "cancel_requested = true, finished_at = now(), unusable_since = now()",
        status,
    )
    bench.wakeups.sent.clear()
    record = await bench.retry(job_id)
    assert (record.status, record.attempts, record.crashes) == ("queued", 0, 0)
    assert (record.cancel_requested, record.finished_at) == (False, None)
    assert bench.wakeups.sent == [Wakeup(job_id, 8, "default")]
    assert [claim.claim_no for claim in await bench.leases().claim(1)] == [9]


async def test_a_retry_runs_a_failed_job_now_and_keeps_its_attempts(bench):
    job_id = await bench.enqueue()
    await bench.sql.execute(
        "UPDATE jobs.jobs SET status = 'failed', attempts = 2, run_at = now() + interval '1 h'"
    )
    assert await bench.leases().claim(1) == []
    record = await bench.retry(job_id)
    assert (record.status, record.attempts) == ("failed", 2)
    assert [claim.id for claim in await bench.leases().claim(1)] == [job_id]


@pytest.mark.parametrize("status", ["queued", "running", "succeeded"])
async def test_a_waiting_running_or_succeeded_job_cannot_be_retried(bench, status):
    job_id = await bench.enqueue()
    await bench.sql.execute("UPDATE jobs.jobs SET status = $1", status)
    with pytest.raises(Conflict):
        await bench.retry(job_id)


async def test_an_unknown_job_is_not_found(bench):
    with pytest.raises(NotFound):
        await bench.cancel(uuid4())
    with pytest.raises(NotFound):
        await bench.retry(uuid4())
    assert await bench.jobs.find(uuid4()) is None


async def test_jobs_are_listed_newest_first_by_owner_status_and_kind(bench):
    mine, other = uuid4(), uuid4()
    ids = [await bench.enqueue(owner_id=mine) for _ in range(5)]
    foreign = await bench.enqueue(owner_id=other)
    special = await bench.enqueue(kind="test.other", owner_id=mine)
    await bench.cancel(ids[0])
    async with bench.producer.read() as reader:
        everything = await bench.jobs.list(reader)
        assert [job.id for job in everything] == [special, foreign, *reversed(ids)]
        first = await bench.jobs.list(reader, owner_id=mine, kind=WORK, limit=2)
        rest = await bench.jobs.list(reader, owner_id=mine, kind=WORK, after=first[-1].position)
        assert [job.id for job in (*first, *rest)] == list(reversed(ids))
        cancelled = await bench.jobs.list(reader, status=JobStatus.CANCELLED)
        assert [job.id for job in cancelled] == [ids[0]]


async def test_every_change_raises_the_version(bench):
    job_id = await bench.enqueue()
    versions = [(await bench.record(job_id)).version]
    leases = bench.leases()
    (claim,) = await leases.claim(1)
    versions.append(claim.version)
    versions.append(await leases.record_progress(claim, 50))
    versions.append((await bench.cancel(job_id)).version)
    assert versions == sorted(set(versions))


async def test_a_large_payload_is_rejected(bench):
    with pytest.raises(asyncpg.CheckViolationError, match="jobs_payload_size"):
        await bench.enqueue("x" * 20_000)
