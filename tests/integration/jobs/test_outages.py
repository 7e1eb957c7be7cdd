"""PostgreSQL away while jobs run: nobody dies, nothing is written twice, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from tests.integration.jobs.workbench import (
    QUICK,
    Probe,
    open_database,
    registry_of,
    until,
)
from tests.proxy import Proxy, open_proxy

from twelvefold.database.database import Database
from twelvefold.errors import DependencyUnavailable
from twelvefold.jobs.lease_repository import LeaseConfig, LeaseRepository
from twelvefold.jobs.worker.runner import Runner


@dataclass
class Cuttable:
    """The worker's way to PostgreSQL."""

    proxy: Proxy
    database: Database


@pytest.fixture
async def cuttable(jobs_database) -> AsyncIterator[Cuttable]:
    url = jobs_database.url("worker_app")
    async with open_proxy(url) as proxy:
        database = open_database(proxy.url(url))
        yield Cuttable(proxy, database)
        await database.aclose()


async def test_a_worker_outlives_an_outage_and_claims_again(bench, cuttable):
    probe = Probe()
    async with bench.running(registry_of(probe), database=cuttable.database):
        first = await bench.enqueue()
        await bench.becomes("succeeded", first)
        await cuttable.proxy.refuse()
        second = await bench.enqueue()
        await asyncio.sleep(0)
        await cuttable.proxy.listen()
        await bench.becomes("succeeded", second)


async def test_a_result_is_written_once_postgres_is_back(bench, cuttable):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe), database=cuttable.database) as runner:
        await probe.started.wait()
        await cuttable.proxy.refuse()
        probe.let_go.set()
        await until(lambda: probe.cancelled == 0 and runner.busy == 1)
        assert (await bench.record(job_id)).status == "running"
        await cuttable.proxy.listen()
        await bench.becomes("succeeded", job_id)
    record = await bench.record(job_id)
    assert (len(probe.runs), record.crashes, record.attempts) == (1, 0, 0)


async def test_a_lease_that_cannot_be_extended_stops_its_handler_and_frees_the_job(bench, cuttable):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe), database=cuttable.database, lease=0.5) as runner:
        await probe.started.wait()
        await cuttable.proxy.refuse()
        await until(lambda: probe.cancelled == 1)
        probe.let_go.set()
        await cuttable.proxy.listen()
        await bench.becomes("succeeded", job_id)
        await until(lambda: runner.busy == 0)
    record = await bench.record(job_id)
    assert (record.crashes, record.attempts) == (0, 0)


class AnswerLost(LeaseRepository):
    """Commits, and does not hear that it did, the first time."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.tries = 0

    async def settle(self, settlements):
        settled = await super().settle(settlements)
        self.tries += 1
        if self.tries == 1:
            raise DependencyUnavailable("postgres")
        return settled


async def test_a_completion_whose_answer_was_lost_is_not_taken_for_a_lost_lease(bench):
    registry, told = registry_of(Probe()), []
    terms = LeaseConfig("tests", "default", kinds=registry.kinds)
    leases = AnswerLost(bench.database, terms)
    runner = Runner(
        bench.database,
        leases,
        registry,
        options=QUICK,
        on_change=lambda job_id, version: told.append((job_id, version)),
    )
    job_id = await bench.enqueue()
    async with runner.running():
        await until(lambda: len(told) == 2)
    record = await bench.record(job_id)
    assert (record.status, told[-1]) == ("succeeded", (job_id, record.version))
    assert leases.tries == 2


async def test_an_end_without_postgres_takes_bounded_time(bench, cuttable):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    options = replace(QUICK, grace=0.1, release=0.3)
    async with bench.running(registry_of(probe), options, database=cuttable.database):
        await probe.started.wait()
        await cuttable.proxy.refuse()
        ending = time.monotonic()
    assert time.monotonic() - ending < 5.0
    assert (await bench.record(job_id)).status == "running"  # until its lease expires
