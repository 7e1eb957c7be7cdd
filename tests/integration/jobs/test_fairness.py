"""Fair claims: no owner's backlog delays another owner."""

import asyncio
import itertools
import re
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from tests.integration.jobs.workbench import QUICK, WORK, Probe, Work, registry_of, work_kind

from twelvefold.contracts.jobs import JobPayload
from twelvefold.identifiers import new_id
from twelvefold.jobs import HandlerRegistry, JobKind
from twelvefold.jobs import fair_claim as fair
from twelvefold.jobs.model import JobStatus, Settlement

CLIENTS = fair.MAX_OWNERS + 10


def owners_of(claims) -> list[UUID | None]:
    return [claim.owner_id for claim in claims]


async def backlog(bench, owner, count: int, **options) -> list[UUID]:
    """Enqueue jobs that are older than any later ones."""
    ids = [await bench.enqueue(owner_id=owner, **options) for _ in range(count)]
    for job_id in ids:
        await bench.due_since(job_id, 100.0)
    return ids


@pytest.mark.parametrize("others", [new_id(), None])
async def test_an_owner_without_running_jobs_goes_before_a_backlog(bench, others):
    heavy = new_id()
    await backlog(bench, heavy, 20)
    leases = bench.leases()
    assert owners_of(await leases.claim(3)) == [heavy] * 3
    late = await bench.enqueue(owner_id=others)
    (first,) = await leases.claim(1)
    assert (first.id, first.owner_id) == (late, others)
    assert owners_of(await leases.claim(2)) == [heavy] * 2


async def test_a_claim_of_many_jobs_gives_every_owner_the_same_number(bench):
    heavy, light, single = (new_id() for _ in range(3))
    await backlog(bench, heavy, 20)
    await backlog(bench, light, 3)
    await backlog(bench, single, 1)
    taken = owners_of(await bench.leases().claim(8))
    assert (taken.count(heavy), taken.count(light), taken.count(single)) == (4, 3, 1)


async def test_running_jobs_count_in_all_workers(bench):
    heavy, light = new_id(), new_id()
    await backlog(bench, heavy, 10)
    await bench.leases(worker="another").claim(4)
    await backlog(bench, light, 10)
    taken = owners_of(await bench.leases().claim(6))
    assert (taken.count(heavy), taken.count(light)) == (1, 5)


async def test_equal_owners_take_turns_even_if_one_has_waited_longer(bench):
    heavy, light = new_id(), new_id()
    await backlog(bench, heavy, 6)
    for _ in range(3):
        await bench.enqueue(owner_id=light)
    leases = bench.leases(work_kind())
    order = []
    for _ in range(6):
        # As with a single slot: no owner has a running job at a claim.
        (claim,) = await leases.claim(1)
        order.append(claim.owner_id)
        await leases.settle([Settlement(claim, JobStatus.SUCCEEDED)])
    assert order.count(heavy) == order.count(light) == 3
    assert all(one != other for one, other in itertools.pairwise(order))


async def test_a_higher_priority_goes_first_for_any_owner(bench):
    heavy, light = new_id(), new_id()
    urgent = await backlog(bench, heavy, 4, priority=5)
    await backlog(bench, light, 4)
    await bench.enqueue(owner_id=new_id(), priority=-5)
    claims = await bench.leases().claim(6)
    assert {claim.id for claim in claims[:4]} == set(urgent)
    assert owners_of(claims[4:]) == [light] * 2


async def test_more_owners_than_one_statement_scans_are_all_served(bench):
    clients = [new_id() for _ in range(CLIENTS)]
    for owner in clients:
        await backlog(bench, owner, 2)
    leases = bench.leases(work_kind())
    served: list[UUID | None] = []
    while len(served) < len(clients):
        claims = await leases.claim(7)
        served += owners_of(claims)
        await leases.settle([Settlement(claim, JobStatus.SUCCEEDED) for claim in claims])
    # Only the last claim starts over.
    assert set(served) == set(clients)


async def test_owners_without_due_jobs_hide_no_other_owner(bench):
    for number in range(CLIENTS):
        # Ids before and after the one that is due.
        owner = UUID(int=(1 << 120) + number) if number % 2 else UUID(int=(3 << 120) + number)
        await bench.enqueue(owner_id=owner)
    await bench.sql.execute("UPDATE jobs.jobs SET run_at = now() + interval '1 h'")
    due = await bench.enqueue(owner_id=UUID(int=2 << 120))
    assert [claim.id for claim in await bench.leases().claim(5)] == [due]


async def test_concurrent_claims_take_every_job_exactly_once(bench):
    owners = [new_id() for _ in range(3)]
    ids = [await bench.enqueue(owner_id=owner) for owner in owners for _ in range(10)]
    claims = await asyncio.gather(*(bench.leases().claim(10) for _ in range(4)))
    taken = [claim.id for some in claims for claim in some]
    assert sorted(taken) == sorted(ids)


async def test_the_free_slots_of_a_kind_are_shared_between_owners(bench):
    heavy, light = new_id(), new_id()
    await backlog(bench, heavy, 6)
    wanted = await backlog(bench, light, 1)
    other = await bench.enqueue(kind="test.other", owner_id=heavy)
    claims = await bench.leases().claim(9, free_slots={WORK: 2})
    assert {claim.owner_id for claim in claims if claim.kind == WORK} == {heavy, light}
    assert {*wanted, other} <= {claim.id for claim in claims}


async def test_a_job_behind_sixty_of_another_ends_as_one_of_the_first(bench):
    """Two jobs of the kind run at a time; the order of results stands for the waiting time."""
    heavy, light = new_id(), new_id()
    ended: list[UUID] = []

    async def work(job, _: JobPayload) -> None:
        ended.append(job.id)

    probe, registry = Probe(work), HandlerRegistry()
    registry.add(JobKind("test.slow", Work, concurrency=2), probe)
    probe.hold()
    jobs = await backlog(bench, heavy, 60, kind="test.slow")
    async with bench.running(registry, replace(QUICK, concurrency=10)):
        await probe.started.wait()
        late = await bench.enqueue(owner_id=light, kind="test.slow")
        probe.let_go.set()
        await bench.becomes("succeeded", late, *jobs)
    # After the running jobs, and those that took their slots before it was enqueued.
    assert ended.index(late) <= 4


async def test_the_age_of_a_backlog_does_not_choose_what_a_worker_runs(bench):
    heavy, light = new_id(), new_id()
    probe = Probe()
    jobs = await backlog(bench, heavy, 30)
    late = await bench.enqueue(owner_id=light)
    async with bench.running(
        registry_of(probe), replace(QUICK, concurrency=2, poll=60.0), redis_unavailable=False
    ):
        await bench.becomes("succeeded", late, *jobs)
    assert late in probe.runs[:4]


async def test_a_claim_reads_no_backlog_even_without_statistics(bench):
    """Checks the generic plan, before the table has statistics."""
    await bench.sql.execute(
        "INSERT INTO jobs.jobs (id, kind, payload, owner_id) SELECT gen_random_uuid(), $1, '{}', "
        "CASE WHEN n % 3 > 0 THEN gen_random_uuid() END FROM generate_series(1, 3000) AS n",
        WORK,
    )
    statement = str(fair._CLAIM.compile(dialect=asyncpg_dialect()))
    await bench.sql.execute("SET plan_cache_mode = force_generic_plan")
    await bench.sql.execute(f"PREPARE claim AS {statement}")
    values = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", statement))))
    plan = str(await bench.sql.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE claim ({values})"))
    assert set(re.findall(r'"Index Name": "(\w+)"', plan)) <= {
        "jobs_due_by_owner",
        "jobs_running",
        "jobs_pkey",
    }
    assert '"Relation Name": "jobs"' in plan
    assert "Seq Scan" not in plan
