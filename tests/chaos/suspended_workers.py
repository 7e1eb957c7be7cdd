"""Workers that are stopped past their leases and wake up: what they have to say comes too late."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from pydantic import SecretStr
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.worker_child import COUNT, Payload

from twelvefold.database.database import Database
from twelvefold.jobs import JobQueue
from twelvefold.settings import PostgresSettings

LEASE = 3.0  # seconds
WORK = 6.0  # of one job: long enough to be caught at it
_HELD = "SELECT count(*) FROM jobs.jobs WHERE status = 'running' AND worker LIKE 'sleeper%'"
_DONE = "SELECT count(*) FROM jobs.jobs WHERE status = 'succeeded'"
_LATE = "SELECT count(*) FROM chaos.effects WHERE worker LIKE 'sleeper%'"


async def wake_late(
    environment: ChaosEnvironment, jobs: int, report: Callable[[str], None]
) -> tuple[int, int, int]:
    """Late completions that were tried, those of them that were accepted, and effects in all."""
    settings = PostgresSettings(
        environment="testing", database_url=SecretStr(environment.url("postgres", "api_app"))
    )
    producer = Database(settings, application_name="chaos-producer")
    async with producer.transaction() as transaction:
        for _ in range(jobs):
            await JobQueue(producer).enqueue(
                transaction, COUNT, Payload(seconds=WORK), queue="chaos"
            )
    await producer.aclose()
    common = {"CHAOS_LEASE": str(LEASE), "CHAOS_CONCURRENCY": str(jobs)}
    sleeper = environment.new_worker("sleeper", **common)
    relief = environment.new_worker("relief", **common)
    sql = await environment.sql()
    try:
        await sleeper.start()
        await _until(lambda: sql.fetchval(_HELD), jobs)
        report(f"{jobs} jobs are held; their worker is stopped")
        sleeper.send(signal.SIGSTOP)
        await relief.start()
        await _until(lambda: sql.fetchval(_DONE), jobs)
        report("all of them were done elsewhere; it wakes")
        sleeper.send(signal.SIGCONT)
        log = environment.folder / "sleeper-1.log"

        async def lost() -> int:
            return log.read_text().count('"status":"lost"')

        await _until(lost, jobs)
        late = int(await sql.fetchval(_LATE))
        effects = int(await sql.fetchval("SELECT count(*) FROM chaos.effects"))
        return await lost(), late, effects
    finally:
        await sql.close()
        await sleeper.close()
        await relief.close()


async def _until(count: Callable[[], object], wanted: int) -> None:
    async with asyncio.timeout(120):
        while await count() != wanted:  # type: ignore[misc]  # anything that can be awaited
            await asyncio.sleep(0.1)
