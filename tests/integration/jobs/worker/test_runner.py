"""Runs of jobs: their outcomes, and what the row keeps of them."""

import asyncio
from dataclasses import replace

from tests.integration.jobs.workbench import (
    QUICK,
    Probe,
    Work,
    registry_of,
    until,
    work_kind,
)

from twelvefold.context import RequestContext, current_request_id, request_context
from twelvefold.errors import DependencyUnavailable, Rejected
from twelvefold.jobs import HandlerRegistry, JobKind
from twelvefold.jobs.lease_repository import LeaseRepository


async def test_a_result_is_stored_with_the_job(bench):
    async def behaviour(job, work):
        return {"greeting": f"hello {work.name}", "snow": "☃"}

    job_id = await bench.enqueue("Ada")
    async with bench.running(registry_of(Probe(behaviour))):
        await bench.becomes("succeeded", job_id)
    record = await bench.record(job_id)
    assert record.result == {"greeting": "hello Ada", "snow": "☃"}
    assert (record.progress, record.attempts, record.error) == (100, 0, None)
    assert record.created_at <= record.started_at <= record.finished_at


async def test_a_failing_job_is_retried_until_it_succeeds(bench):
    async def behaviour(job, work):
        if job.attempt < 3:
            raise DependencyUnavailable("s3", retry_after=0)

    probe = Probe(behaviour)
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe)):
        await bench.becomes("succeeded", job_id)
    row = await bench.row(job_id)
    assert (len(probe.runs), row["attempts"], row["claim_no"]) == (3, 2, 3)
    errors = [entry["error"] for entry in row["errors"]]
    assert errors == ["The dependency s3 does not respond."] * 2


async def test_a_job_out_of_attempts_is_dead_and_can_be_retried(bench):
    healthy = asyncio.Event()

    async def behaviour(job, work):
        if not healthy.is_set():
            raise ValueError("a secret that must not be shown")

    probe = Probe(behaviour)
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe, max_attempts=3)):
        await bench.becomes("dead", job_id)
        record = await bench.record(job_id)
        assert (len(probe.runs), record.attempts, record.crashes) == (3, 3, 0)
        assert record.error == "internal error (ValueError)"
        healthy.set()
        retried = await bench.retry(job_id)
        assert (retried.status, retried.attempts, retried.finished_at) == ("queued", 0, None)
        await bench.becomes("succeeded", job_id)


async def test_a_rejected_job_stores_the_reason_and_is_never_retried(bench):
    async def behaviour(job, work):
        if work.name == "work":
            raise Rejected("is not an image")

    probe = Probe(behaviour)
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe)) as runner:
        await bench.becomes("rejected", job_id)
        runner.wake()
        await bench.becomes("succeeded", await bench.enqueue("another"))
    record = await bench.record(job_id)
    assert (record.error, record.attempts) == ("is not an image", 0)
    assert probe.runs.count(job_id) == 1


async def test_a_run_that_times_out_counts_as_an_attempt(bench):
    async def behaviour(job, work):
        await asyncio.Event().wait()

    probe = Probe(behaviour)
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe, timeout=0.05, max_attempts=2)):
        await bench.becomes("dead", job_id)
    record = await bench.record(job_id)
    assert (record.error, record.attempts, probe.cancelled) == ("not done within 0.05 s", 2, 2)


async def test_a_cancellation_reaches_the_running_handler(bench):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe)):
        await probe.started.wait()
        record = await bench.cancel(job_id)
        assert (record.status, record.cancel_requested) == ("running", True)
        await bench.becomes("cancelled", job_id)
    assert probe.cancelled == 1


async def test_a_handler_that_completes_despite_its_cancellation_has_succeeded(bench):
    reached = asyncio.Event()

    async def behaviour(job, work):
        reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {"too": "late to stop"}

    job_id = await bench.enqueue()
    async with bench.running(registry_of(Probe(behaviour))):
        await reached.wait()
        await bench.cancel(job_id)
        await bench.becomes("succeeded", job_id)


async def test_progress_is_shown_while_the_job_runs(bench):
    seen = asyncio.Event()

    async def behaviour(job, work):
        await job.set_progress(40)
        await seen.wait()

    job_id = await bench.enqueue()
    async with bench.running(registry_of(Probe(behaviour))):

        async def at_forty() -> bool:
            return bool((await bench.record(job_id)).progress == 40)

        await until(at_forty)
        seen.set()
        await bench.becomes("succeeded", job_id)


async def test_a_drain_waits_for_running_jobs(bench):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    # With one slot, no poll can claim the second job before the drain starts.
    async with bench.running(registry_of(probe), replace(QUICK, concurrency=1)) as runner:
        await probe.started.wait()
        unclaimed = await bench.enqueue()
        runner.stop_claiming()
        asyncio.get_running_loop().call_later(0.1, probe.let_go.set)
    assert (await bench.record(job_id)).status == "succeeded"
    assert (await bench.record(unclaimed)).status == "queued"


async def test_after_the_grace_period_jobs_are_released_without_counting_an_attempt(bench):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe), replace(QUICK, grace=0.05)):
        await probe.started.wait()
    row = await bench.row(job_id)
    assert (row["status"], row["attempts"], row["crashes"]) == ("queued", 0, 0)
    assert (row["lease_until"], row["errors"]) == (None, [])
    probe.let_go.set()
    async with bench.running(registry_of(probe)):
        await bench.becomes("succeeded", job_id)


async def test_a_drain_returns_jobs_that_were_claimed_ahead_of_their_slots(bench):
    probe = Probe()
    # Short jobs first: they make the worker claim ahead.
    short = [await bench.enqueue() for _ in range(30)]
    options = replace(QUICK, concurrency=1, grace=0.05, max_wait=3600.0)
    async with bench.running(registry_of(probe), options) as runner:
        await bench.becomes("succeeded", *short)
        runner._slots.note_claim(3600.0)  # beside slow claims, any job is short
        probe.hold()
        held = [await bench.enqueue() for _ in range(5)]
        await until(lambda: runner.busy > 1)
    for job_id in held:
        row = await bench.row(job_id)
        assert (row["status"], row["attempts"], row["crashes"]) == ("queued", 0, 0)
        assert row["lease_until"] is None
    assert len(probe.runs) == len(short) + 1


async def test_two_images_on_one_queue_take_only_the_kinds_that_each_of_them_runs(bench):
    other = await bench.enqueue(kind="test.other", priority=9)
    untouched = await bench.row(other)
    async with bench.running(registry_of(Probe())):
        await bench.becomes("succeeded", *[await bench.enqueue() for _ in range(5)])
    assert await bench.row(other) == untouched, "a worker without its handler took the job"

    registry = HandlerRegistry()
    registry.add(JobKind("test.other", Work), Probe())
    own = await bench.enqueue()
    async with bench.running(registry):
        await bench.becomes("succeeded", other)
    assert (await bench.row(own))["claim_no"] == 0


async def test_a_job_with_an_invalid_payload_waits_and_its_error_shows_no_value(bench):
    job_id = await bench.enqueue()
    await bench.sql.execute(
        """UPDATE jobs.jobs SET payload = '{"name": {"secret": 1}}' WHERE id = $1""", job_id
    )
    async with bench.running(registry_of(Probe())):

        async def deferred() -> bool:
            return (await bench.row(job_id))["unusable_since"] is not None

        await until(deferred)
    assert (await bench.row(job_id))["error"] == "undecodable payload: name"


async def test_a_kind_s_limit_does_not_delay_other_kinds(bench):
    slow, quick = Probe(), Probe()
    slow.hold()
    registry = HandlerRegistry()
    registry.add(JobKind("test.slow", Work, concurrency=2), slow)
    registry.add(work_kind(), quick)
    slow_ids = [await bench.enqueue(kind="test.slow", priority=9) for _ in range(5)]
    quick_ids = [await bench.enqueue() for _ in range(5)]
    async with bench.running(registry):
        await bench.becomes("succeeded", *quick_ids)
        assert len(slow.runs) == 2
        slow.let_go.set()
        await bench.becomes("succeeded", *slow_ids)


async def test_no_more_jobs_run_than_there_are_slots(bench):
    probe = Probe()
    probe.hold()
    ids = [await bench.enqueue() for _ in range(7)]
    async with bench.running(registry_of(probe), replace(QUICK, concurrency=3)) as runner:
        await until(lambda: len(probe.runs) == 3)
        assert not runner.accepts_wakeups
        runner.wake()
        await bench.record(ids[0])
        assert (runner.busy, len(probe.runs)) == (3, 3)
        probe.let_go.set()
        await bench.becomes("succeeded", *ids)


async def test_a_slot_is_free_before_the_result_of_its_job_is_written(bench, monkeypatch):
    probe, let_settle = Probe(), asyncio.Event()
    settle = LeaseRepository.settle

    async def settle_later(*args):
        await let_settle.wait()
        return await settle(*args)

    monkeypatch.setattr(LeaseRepository, "settle", settle_later)
    ids = [await bench.enqueue() for _ in range(5)]
    options = replace(QUICK, concurrency=1, max_ahead=0)
    async with bench.running(registry_of(probe), options) as runner:
        # One more job runs than there are slots, but results that wait are bounded, too.
        await until(lambda: len(probe.runs) == 2)
        runner.wake()
        await bench.record(ids[0])
        assert (runner.busy, len(probe.runs)) == (2, 2)
        let_settle.set()
        await bench.becomes("succeeded", *ids)


async def test_a_result_that_cannot_be_stored_is_an_error_of_the_run(bench):
    async def behaviour(job, work):
        return {"bad": "a\x00b", "worse": "\ud800"}

    job_id = await bench.enqueue()
    async with bench.running(registry_of(Probe(behaviour), max_attempts=1)):
        await bench.becomes("dead", job_id)


async def test_a_handler_that_lost_its_lease_is_stopped_and_writes_nothing(bench):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe)) as runner:
        await probe.started.wait()
        await bench.take_over(job_id)
        await until(lambda: probe.cancelled == 1 and runner.busy == 0)
    row = await bench.row(job_id)
    assert (row["status"], row["claim_no"], row["worker"]) == ("running", 2, "another")


async def test_a_handler_can_require_its_lease(bench):
    async def behaviour(job, work):
        job.lease_expires_at = 0.0  # as after a long pause of the whole process
        job.require_lease()
        return {"mail": "sent"}

    probe = Probe(behaviour)
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe), replace(QUICK, heartbeat=60.0)) as runner:
        await until(lambda: bool(probe.runs) and runner.busy == 0)
    assert (await bench.record(job_id)).result is None


async def test_a_run_has_the_request_id_of_its_producer(bench):
    async def behaviour(job, work):
        return {"request": current_request_id()}

    with request_context(RequestContext(request_id="req-42")):
        job_id = await bench.enqueue()
    async with bench.running(registry_of(Probe(behaviour))):
        await bench.becomes("succeeded", job_id)
    assert (await bench.record(job_id)).result == {"request": "req-42"}
