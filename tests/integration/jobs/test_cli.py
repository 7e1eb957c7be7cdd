"""`twelvefold jobs` as an operator uses it."""

import asyncio
import json
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from twelvefold.jobs.cli import app


@pytest.fixture
def jobs(bench, jobs_database, monkeypatch):
    monkeypatch.setenv("ENVIRONMENT", "testing")
    monkeypatch.setenv("DATABASE_URL", jobs_database.url("worker_app"))
    monkeypatch.setenv("COLUMNS", "200")

    async def invoke(*arguments: str):
        # In a thread: the command runs a loop of its own.
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))

    return invoke


async def test_jobs_are_listed_by_state(bench, jobs):
    dead, queued = await bench.enqueue(), await bench.enqueue()
    await bench.sql.execute(
        "UPDATE jobs.jobs SET status = 'dead', error = 'went [wrong]' WHERE id = $1", dead
    )
    listed = await jobs("list")
    assert listed.exit_code == 0, listed.output
    assert str(dead) in listed.output
    assert str(queued) in listed.output
    assert "went [wrong]" in listed.output
    machine = await jobs("list", "--status", "dead", "--json")
    (found,) = json.loads(machine.output)
    assert (found["id"], found["status"], found["attempts"]) == (str(dead), "dead", 0)


async def test_one_job_is_shown_with_payload_and_history(bench, jobs):
    job_id = await bench.enqueue("Ada")
    await bench.leases().claim(1)
    await bench.expire(job_id)
    await bench.maintenance().reap_expired_leases()
    shown = await jobs("show", str(job_id))
    assert "lease of tests expired" in shown.output
    machine = json.loads((await jobs("show", str(job_id), "--json")).output)
    assert machine["payload"] == {"name": "Ada"}
    assert machine["crashes"] == 1


async def test_dead_jobs_are_retried(bench, jobs):
    ids = [await bench.enqueue() for _ in range(2)]
    await bench.sql.execute("UPDATE jobs.jobs SET status = 'dead', attempts = 9")
    done = await jobs("retry", *map(str, ids))
    assert done.exit_code == 0, done.output
    for job_id in ids:
        record = await bench.record(job_id)
        assert (record.status, record.attempts) == ("queued", 0)


async def test_either_all_dead_jobs_are_discarded_or_none(bench, jobs):
    dead, queued = await bench.enqueue(), await bench.enqueue()
    await bench.sql.execute(
        "UPDATE jobs.jobs SET status = 'dead', error = 'kept' WHERE id = $1", dead
    )
    rejected = await jobs("discard", str(dead), str(queued))
    assert (rejected.exit_code, str(queued) in rejected.output) == (1, True)
    assert (await bench.record(dead)).status == "dead"
    done = await jobs("discard", str(dead))
    assert done.exit_code == 0, done.output
    record = await bench.record(dead)
    assert (record.status, record.error) == ("cancelled", "kept")
    assert record.finished_at is not None


@pytest.mark.parametrize("command", ["show", "retry", "discard"])
async def test_an_unknown_job_is_one_line_and_exit_1(jobs, command):
    done = await jobs(command, str(uuid4()))
    assert done.exit_code == 1
    assert "no" in done.output  # "no job", "does not exist", or "not dead"
    assert "Traceback" not in done.output


async def test_a_succeeded_job_is_not_retried(bench, jobs):
    job_id = await bench.enqueue()
    await bench.sql.execute("UPDATE jobs.jobs SET status = 'succeeded'")
    done = await jobs("retry", str(job_id))
    assert (done.exit_code, "succeeded" in done.output) == (1, True)


async def test_each_missing_setting_is_named(jobs, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    done = await jobs("list")
    assert done.exit_code == 2
    assert "DATABASE_URL is missing" in done.output
