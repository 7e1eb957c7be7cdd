"""Outages of PostgreSQL while jobs run: workers survive, and no result is lost or repeated."""

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
class InterruptibleDatabase:
    """The worker's connection to PostgreSQL through a proxy."""

    proxy: Proxy
    database: Database


@pytest.fixture
async def interruptible(jobs_database) -> AsyncIterator[InterruptibleDatabase]:
    url = jobs_database.url("worker_app")
    async with open_proxy(url) as proxy:
        database = open_database(proxy.url(url))
        yield InterruptibleDatabase(proxy, database)
        await database.aclose()


async def test_a_worker_claims_again_after_an_outage(bench, interruptible):
    probe = Probe()
    async with bench.running(registry_of(probe), database=interruptible.database):
        first = await bench.enqueue()
        await bench.becomes("succeeded", first)
        await interruptible.proxy.refuse()
        second = await bench.enqueue()
        await asyncio.sleep(0)
        await interruptible.proxy.listen()
        await bench.becomes("succeeded", second)


async def test_a_result_is_written_when_postgresql_is_available_again(bench, interruptible):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    async with bench.running(registry_of(probe), database=interruptible.database) as runner:
        await probe.started.wait()
        await interruptible.proxy.refuse()
        probe.let_go.set()
        await until(lambda: probe.cancelled == 0 and runner.busy == 1)
        assert (await bench.record(job_id)).status == "running"
        await interruptible.proxy.listen()
        await bench.becomes("succeeded", job_id)
    record = await bench.record(job_id)
    assert (len(probe.runs), record.crashes, record.attempts) == (1, 0, 0)


async def test_a_lease_that_cannot_be_renewed_stops_its_handler_and_releases_the_job(
    bench, interruptible
):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    async with bench.running(
        registry_of(probe), database=interruptible.database, lease=0.5
    ) as runner:
        await probe.started.wait()
        await interruptible.proxy.refuse()
        await until(lambda: probe.cancelled == 1)
        probe.let_go.set()
        await interruptible.proxy.listen()
        await bench.becomes("succeeded", job_id)
        await until(lambda: runner.busy == 0)
    record = await bench.record(job_id)
    assert (record.crashes, record.attempts) == (0, 0)


class ResponseLost(LeaseRepository):
    """Loses the response to the first settlement, which commits."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.tries = 0

    async def settle(self, settlements):
        settled = await super().settle(settlements)
        self.tries += 1
        if self.tries == 1:
            raise DependencyUnavailable("postgres")
        return settled


async def test_a_completion_whose_response_was_lost_does_not_count_as_a_lost_lease(bench):
    registry, changes = registry_of(Probe()), []
    config = LeaseConfig("tests", "default", kinds=registry.kinds)
    leases = ResponseLost(bench.database, config)
    runner = Runner(
        bench.database,
        leases,
        registry,
        options=QUICK,
        on_change=lambda job_id, version: changes.append((job_id, version)),
    )
    job_id = await bench.enqueue()
    async with runner.running():
        await until(lambda: len(changes) == 2)
    record = await bench.record(job_id)
    assert (record.status, changes[-1]) == ("succeeded", (job_id, record.version))
    assert leases.tries == 2


async def test_a_shutdown_without_postgresql_takes_bounded_time(bench, interruptible):
    probe = Probe()
    probe.hold()
    job_id = await bench.enqueue()
    options = replace(QUICK, grace=0.1, release=0.3)
    async with bench.running(registry_of(probe), options, database=interruptible.database):
        await probe.started.wait()
        await interruptible.proxy.refuse()
        stopped_at = time.monotonic()
    assert time.monotonic() - stopped_at < 5.0
    assert (await bench.record(job_id)).status == "running"  # until its lease expires
