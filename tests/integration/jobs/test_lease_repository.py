"""The fenced statements on a row: claims, renewals, settlements and what each leaves."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.jobs.workbench import WORK, work_kind

from twelvefold.jobs import JobStatus, LeaseLost
from twelvefold.jobs.lease_repository import KEPT_ERRORS
from twelvefold.jobs.model import Settlement


def settlement(claim, status=JobStatus.SUCCEEDED, **fields):
    return Settlement(claim, status, **fields)


async def test_concurrent_claims_give_a_job_to_exactly_one_worker(bench):
    job_id = await bench.enqueue()
    claims = await asyncio.gather(*(bench.leases().claim(5) for _ in range(8)))
    won = [claim for some in claims for claim in some]
    assert [(claim.id, claim.claim_no) for claim in won] == [(job_id, 1)]


async def test_every_claim_raises_the_fence_and_nothing_lowers_it(bench):
    job_id = await bench.enqueue()
    leases = bench.leases(work_kind())
    for number in range(1, 4):
        (claim,) = await leases.claim(1)
        assert claim.claim_no == number
        await leases.settle([settlement(claim, JobStatus.DEAD, error="gave up")])
        await bench.retry(job_id)
    assert (await bench.row(job_id))["claim_no"] == 3


async def test_late_completions_are_all_rejected(bench):
    ids = [await bench.enqueue() for _ in range(100)]
    late = await bench.leases().claim(100)
    await bench.sql.execute("UPDATE jobs.jobs SET lease_until = now() - interval '1 s'")
    assert await bench.maintenance().reap_expired_leases() == 100
    fresh = await bench.leases().claim(100)
    assert {claim.claim_no for claim in fresh} == {2}

    rejected = await bench.leases().settle([settlement(claim, result='{"by":1}') for claim in late])
    assert rejected == [None] * 100
    accepted = await bench.leases().settle(
        [settlement(claim, result='{"by":2}') for claim in fresh]
    )
    assert all(accepted)
    for job_id in ids:
        assert (await bench.record(job_id)).result == {"by": 2}


async def test_a_late_worker_can_neither_renew_nor_progress_nor_lock_nor_fail_a_job(bench):
    job_id = await bench.enqueue()
    leases = bench.leases()
    (late,) = await leases.claim(1)
    await bench.expire(job_id)
    await bench.maintenance().reap_expired_leases()
    (fresh,) = await leases.claim(1)

    assert await leases.renew([late.fence, fresh.fence]) == {fresh.fence: False}
    assert await leases.record_progress(late, 50) is None
    with pytest.raises(LeaseLost):
        async with bench.database.transaction() as transaction:
            await leases.lock_claim(transaction, late)
    with pytest.raises(LeaseLost):
        async with bench.database.transaction() as transaction:
            await leases.settle_within(
                transaction, settlement(late, JobStatus.FAILED, error="late")
            )
    assert (await bench.record(job_id)).status == "running"


async def test_a_heartbeat_renews_an_expired_lease_before_it_is_reaped(bench):
    job_id = await bench.enqueue()
    leases = bench.leases()
    (claim,) = await leases.claim(1)
    await bench.expire(job_id)
    assert await leases.renew([claim.fence]) == {claim.fence: False}
    assert await bench.maintenance().reap_expired_leases() == 0


async def test_jobs_are_claimed_by_priority_and_then_by_age(bench):
    late = await bench.enqueue("late")
    early = await bench.enqueue("early")
    await bench.due_since(early, 10.0)
    urgent = await bench.enqueue("urgent", priority=5)
    claims = await bench.leases().claim(3)
    assert [claim.id for claim in claims] == [urgent, early, late]


async def test_a_claim_skips_jobs_that_are_not_due_or_in_another_queue(bench):
    soon = await bench.enqueue(run_at=datetime.now(UTC) + timedelta(hours=1))
    elsewhere = await bench.enqueue(queue="images")
    assert await bench.leases().claim(5) == []
    (claim,) = await bench.leases(queue="images").claim(5)
    assert claim.id == elsewhere
    await bench.due_since(soon, 0.0)
    assert [claim.id for claim in await bench.leases().claim(5)] == [soon]


async def test_a_claim_can_be_limited_to_overdue_jobs(bench):
    fresh = await bench.enqueue()
    old = await bench.enqueue()
    await bench.due_since(old, 6.0)
    assert [claim.id for claim in await bench.leases().claim(5, min_overdue=5.0)] == [old]
    assert [claim.id for claim in await bench.leases().claim(5)] == [fresh]


async def test_a_claim_keeps_to_the_free_slots_of_each_kind(bench):
    for _ in range(4):
        await bench.enqueue(priority=1)
    other = await bench.enqueue(kind="test.other")
    claims = await bench.leases().claim(5, free_slots={WORK: 2})
    assert sorted(claim.kind for claim in claims) == ["test.other", WORK, WORK]
    assert await bench.leases().claim(5, free_slots={WORK: 0}) == []
    assert len(await bench.leases().claim(5)) == 2
    assert (await bench.record(other)).status == "running"


async def test_a_release_counts_neither_an_attempt_nor_a_crash(bench):
    job_id = await bench.enqueue()
    leases = bench.leases()
    (claim,) = await leases.claim(1)
    await leases.settle([settlement(claim, JobStatus.QUEUED)])
    row = await bench.row(job_id)
    assert (row["status"], row["attempts"], row["crashes"]) == ("queued", 0, 0)
    assert (row["lease_until"], row["worker"], row["finished_at"]) == (None, None, None)
    assert [claim.claim_no for claim in await leases.claim(1)] == [2]


async def test_a_claim_writes_the_maximum_attempts_of_the_kind_unless_the_producer_set_them(bench):
    leases = bench.leases(work_kind(max_attempts=7))
    plain = await bench.enqueue()
    chosen = await bench.enqueue(max_attempts=2)
    await leases.claim(2)
    assert (await bench.record(plain)).max_attempts == 7
    assert (await bench.record(chosen)).max_attempts == 2


async def test_only_the_last_errors_are_kept(bench):
    job_id = await bench.enqueue()
    leases = bench.leases()
    for number in range(KEPT_ERRORS + 3):
        (claim,) = await leases.claim(1)
        await leases.settle([settlement(claim, JobStatus.FAILED, error=f"no {number}", attempts=1)])
    row = await bench.row(job_id)
    assert [entry["error"] for entry in row["errors"]] == [f"no {n}" for n in range(3, 13)]
    assert (row["error"], row["attempts"]) == ("no 12", 13)


async def test_an_unusable_job_waits_for_its_window_and_is_then_dead(bench):
    job_id = await bench.enqueue()
    leases = bench.leases(unusable_window=3600.0)
    (claim,) = await leases.claim(1)
    await leases.settle([settlement(claim, JobStatus.QUEUED, error="unknown", unusable=True)])
    assert (await bench.record(job_id)).status == "queued"
    await bench.sql.execute(
        "UPDATE jobs.jobs SET unusable_since = now() - interval '61 min' WHERE id = $1", job_id
    )
    (claim,) = await leases.claim(1)
    (settled,) = await leases.settle(
        [settlement(claim, JobStatus.QUEUED, error="unknown", unusable=True)]
    )
    assert settled.status is JobStatus.DEAD
    assert (await bench.row(job_id))["finished_at"] is not None


async def test_a_failed_run_with_a_requested_cancellation_is_cancelled(bench):
    job_id = await bench.enqueue()
    leases = bench.leases()
    (claim,) = await leases.claim(1)
    await bench.cancel(job_id)
    (settled,) = await leases.settle([settlement(claim, JobStatus.FAILED, error="x", attempts=1)])
    assert settled.status is JobStatus.CANCELLED
    assert (await bench.record(job_id)).finished_at is not None


async def test_a_settlement_whose_response_was_lost_is_found_by_its_claim(bench):
    await bench.enqueue()
    leases = bench.leases()
    (claim,) = await leases.claim(1)
    assert await leases.find_settlement(claim) is None
    (first,) = await leases.settle([settlement(claim)])
    assert await leases.settle([settlement(claim)]) == [None]
    assert await leases.find_settlement(claim) == first
