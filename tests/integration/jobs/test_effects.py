"""Effects in the worker's own schema commit with the completion, and each step happens once."""

from sqlalchemy import text
from tests.integration.jobs.workbench import Probe, registry_of, until

from twelvefold.jobs import Completion


async def test_effects_commit_with_the_completion_or_not_at_all(bench):
    await bench.sql.execute("CREATE TABLE IF NOT EXISTS jobs.effects (name text)")
    await bench.sql.execute("TRUNCATE jobs.effects")
    await bench.sql.execute("GRANT INSERT ON jobs.effects TO worker_app")

    async def behaviour(job, work):
        async def effects(transaction):
            await transaction.execute(
                text("INSERT INTO jobs.effects VALUES (:name)"), {"name": work.name}
            )
            if work.name == "bad" and job.attempt == 1:
                raise ValueError("after the effect")

        if work.name == "late":
            await bench.take_over(job.id)
        return Completion({"ok": True}, effects)

    good, bad = await bench.enqueue("good"), await bench.enqueue("bad")
    async with bench.running(registry_of(Probe(behaviour))):
        await bench.becomes("succeeded", good, bad)
    assert (await bench.record(bad)).attempts == 1
    late = await bench.enqueue("late")
    probe = Probe(behaviour)
    async with bench.running(registry_of(probe)) as runner:
        await until(lambda: bool(probe.runs) and runner.busy == 0)
    assert (await bench.record(late)).status == "running"
    names = await bench.sql.fetch("SELECT name FROM jobs.effects ORDER BY name")
    assert [row["name"] for row in names] == ["bad", "good"]


async def test_a_step_happens_once_in_any_number_of_runs(bench):
    done = []

    async def behaviour(job, work):
        async with job.step("charge") as transaction:
            if transaction is not None:
                done.append(job.attempt)
        if job.attempt < 3:
            raise ValueError("after the step")

    job_id = await bench.enqueue()
    async with bench.running(registry_of(Probe(behaviour))):
        await bench.becomes("succeeded", job_id)
    assert done == [1]


async def test_a_failed_step_is_not_recorded(bench):
    done = []

    async def behaviour(job, work):
        async with job.step("charge") as transaction:
            assert transaction is not None
            done.append(job.attempt)
            if job.attempt == 1:
                raise ValueError("within the step")

    job_id = await bench.enqueue()
    async with bench.running(registry_of(Probe(behaviour))):
        await bench.becomes("succeeded", job_id)
    assert done == [1, 2]
