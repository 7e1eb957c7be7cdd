"""Queue maintenance: expired leases, resent wake-ups, periodic jobs, gauges, retention."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.integration.jobs.workbench import (
    QUICK_MAINTENANCE,
    WORK,
    Probe,
    is_recent,
    registry_of,
)

from twelvefold.jobs import JobStatus, PeriodicJob, Wakeup
from twelvefold.jobs.model import Settlement
from twelvefold.jobs.retention import prune_ended_jobs
from twelvefold.observability import metrics


async def test_an_expired_lease_is_a_crash_and_the_job_runs_again(bench):
    job_id = await bench.enqueue()
    (claim,) = await bench.leases().claim(1)
    assert await bench.maintenance().reap_expired_leases() == 0
    await bench.expire(job_id)
    assert await bench.maintenance().reap_expired_leases() == 1
    row = await bench.row(job_id)
    assert (row["status"], row["crashes"], row["attempts"]) == ("failed", 1, 0)
    assert row["errors"][0]["error"] == "lease of tests expired"
    async with bench.running(registry_of(Probe())):
        await bench.becomes("succeeded", job_id)
    assert (await bench.row(job_id))["claim_no"] == claim.claim_no + 1


async def test_a_job_that_crashes_its_worker_three_times_is_dead(bench):
    job_id = await bench.enqueue()
    for crashes in (1, 2, 3):
        assert len(await bench.leases().claim(1)) == 1
        await bench.expire(job_id)
        await bench.maintenance().reap_expired_leases()
        assert (await bench.record(job_id)).crashes == crashes
    record = await bench.record(job_id)
    assert (record.status, record.attempts) == ("dead", 0)
    assert record.finished_at is not None


async def test_concurrent_reapers_take_each_expired_lease_once(bench):
    for _ in range(20):
        await bench.enqueue()
    await bench.leases().claim(20)
    await bench.sql.execute("UPDATE jobs.jobs SET lease_until = now() - interval '1 s'")
    counts = await asyncio.gather(*(bench.maintenance().reap_expired_leases() for _ in range(4)))
    assert sum(counts) == 20
    assert await bench.sql.fetchval("SELECT max(crashes) FROM jobs.jobs") == 1


async def test_a_crashed_job_waits_for_its_backoff(bench):
    job_id = await bench.enqueue()
    await bench.leases().claim(1)
    await bench.expire(job_id)
    options = replace(QUICK_MAINTENANCE, crash_backoff=(3600.0, 3600.0))
    await bench.maintenance(options=options).reap_expired_leases()
    row = await bench.row(job_id)
    assert row["run_at"] > datetime.now(UTC)


async def test_a_crashed_job_with_a_requested_cancellation_is_cancelled(bench):
    job_id = await bench.enqueue()
    await bench.leases().claim(1)
    await bench.cancel(job_id)
    await bench.expire(job_id)
    await bench.maintenance().reap_expired_leases()
    assert (await bench.record(job_id)).status == "cancelled"


async def test_one_worker_resends_the_wake_ups_of_unclaimed_jobs(bench):
    due = [await bench.enqueue() for _ in range(10)]
    await bench.enqueue(run_at=datetime.now(UTC) + timedelta(hours=1))
    bench.wakeups.sent.clear()
    counts = await asyncio.gather(*(bench.maintenance().resend_wakeups() for _ in range(4)))
    assert sum(counts) == 10
    assert {wakeup.job_id for wakeup in bench.wakeups.sent} == set(due)


async def test_a_wake_up_names_the_claim_that_it_is_for(bench):
    job_id = await bench.enqueue()
    (claim,) = await bench.leases().claim(1)
    await bench.leases().settle([Settlement(claim, JobStatus.FAILED, error="x", attempts=1)])
    bench.wakeups.sent.clear()
    await bench.maintenance().resend_wakeups()
    assert bench.wakeups.sent == [Wakeup(job_id, 1, "default")]


async def test_a_wake_up_is_not_resent_at_once(bench):
    await bench.enqueue()
    options = replace(QUICK_MAINTENANCE, wakeup_resend_after=3600.0)
    assert await bench.maintenance(options=options).resend_wakeups() == 1
    assert await bench.maintenance(options=options).resend_wakeups() == 0
    await bench.sql.execute("UPDATE jobs.jobs SET rung_at = rung_at - interval '2 h'")
    assert await bench.maintenance(options=options).resend_wakeups() == 1


async def test_a_tick_is_one_job_for_any_number_of_workers(bench):
    schedule = [
        PeriodicJob(WORK, every=timedelta(days=1), payload={"name": "tick"}, max_attempts=7)
    ]
    workers = [bench.maintenance(schedule) for _ in range(4)]
    counts = await asyncio.gather(*(worker.enqueue_scheduled() for worker in workers))
    assert sum(counts) == 1
    for worker in workers:
        assert await worker.enqueue_scheduled() == 0
    rows = await bench.sql.fetch("SELECT kind, max_attempts FROM jobs.jobs")
    assert [(row["kind"], row["max_attempts"]) for row in rows] == [(WORK, 7)]
    assert len(bench.wakeups.sent) == 1


async def test_a_tick_before_the_suite_was_created_is_skipped(bench):
    schedule = [PeriodicJob(WORK, every=timedelta(days=1))]
    await bench.sql.execute("UPDATE jobs.suite SET created_at = now()")
    assert await bench.maintenance(schedule).enqueue_scheduled() == 0
    schedule = [PeriodicJob(WORK, every=timedelta(microseconds=1))]
    assert await bench.maintenance(schedule).enqueue_scheduled() == 1


async def test_a_new_tick_is_a_new_job(bench):
    schedule = [PeriodicJob(WORK, every=timedelta(days=1))]
    assert await bench.maintenance(schedule).enqueue_scheduled() == 1
    # Turns the job into that of an earlier tick.
    await bench.sql.execute("UPDATE jobs.jobs SET id = gen_random_uuid(), unique_key = 'tick old'")
    assert await bench.maintenance(schedule).enqueue_scheduled() == 1


async def test_periodic_jobs_run_without_a_producer(bench):
    probe = Probe()
    schedule = [PeriodicJob(WORK, every=timedelta(seconds=1), payload={"name": "tick"})]
    async with bench.consuming(registry_of(probe), schedule=schedule):
        async with asyncio.timeout(10):
            while len(probe.runs) < 2:
                await asyncio.sleep(0.01)
    assert set(probe.names) == {"tick"}
    assert len(set(probe.runs)) == len(probe.runs)


async def test_the_gauges_show_how_long_jobs_have_waited(bench):
    def value(gauge, **labels):
        return metrics.REGISTRY.get_sample_value(gauge, labels)

    first = await bench.enqueue()
    await bench.enqueue()
    await bench.due_since(first, 60.0)
    dead = await bench.enqueue()
    await bench.sql.execute("UPDATE jobs.jobs SET status = 'dead' WHERE id = $1", dead)
    worker = bench.maintenance()
    await worker.update_gauges()
    assert value("jobs_due", queue="default") == 2
    assert 59 < value("jobs_queue_age_seconds", queue="default") < 70
    assert value("jobs_dead") == 1
    await bench.sql.execute("TRUNCATE jobs.jobs CASCADE")
    await worker.update_gauges()
    assert value("jobs_due", queue="default") == 0
    assert value("jobs_queue_age_seconds", queue="default") == 0


async def test_old_ended_jobs_are_pruned_but_dead_ones_are_kept(bench):
    kept = {}
    for status in JobStatus:
        kept[status] = await bench.enqueue(status.value)
        await bench.sql.execute(
            "UPDATE jobs.jobs SET status = $2, finished_at = now() - interval '8 days' "
            "WHERE id = $1",
            kept[status],
            status.value,
        )
    recent = await bench.enqueue()
    await bench.sql.execute(
        "UPDATE jobs.jobs SET status = 'succeeded', finished_at = now() WHERE id = $1", recent
    )
    await bench.sql.execute(
        "INSERT INTO jobs.job_effects VALUES ($1, 'step')", kept[JobStatus.SUCCEEDED]
    )
    assert await prune_ended_jobs(bench.database, timedelta(days=7)) == 3
    rows = await bench.sql.fetch("SELECT id FROM jobs.jobs")
    pruned = {JobStatus.SUCCEEDED, JobStatus.REJECTED, JobStatus.CANCELLED}
    left = {kept[status] for status in JobStatus if status not in pruned}
    assert {row["id"] for row in rows} == left | {recent}


async def test_only_the_database_s_clock_counts(bench, monkeypatch):
    job_id = await bench.enqueue()
    monkeypatch.setattr("time.time", lambda: 0.0)
    await bench.leases().claim(1)
    row = await bench.row(job_id)
    lease_left = row["lease_until"] - row["started_at"]
    assert timedelta(seconds=29) < lease_left < timedelta(seconds=31)
    assert is_recent(await bench.sql.fetchval("SELECT now()"), row["started_at"])
