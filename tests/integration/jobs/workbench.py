"""Jobs on real servers: a producer, workers with short intervals, and direct SQL access."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from redis.asyncio import Redis

from twelvefold.contracts.jobs import JobPayload
from twelvefold.database.database import Database
from twelvefold.jobs import (
    Backoff,
    HandlerRegistry,
    JobContext,
    JobKind,
    JobQueue,
    JobRecord,
    PeriodicJob,
    RedisWakeupPublisher,
)
from twelvefold.jobs.channels import change_channel
from twelvefold.jobs.lease_repository import LeaseConfig, LeaseRepository
from twelvefold.jobs.worker.consumer import Consumer, ConsumerOptions
from twelvefold.jobs.worker.maintenance import MaintenanceOptions, QueueMaintenance
from twelvefold.jobs.worker.registry import Handler
from twelvefold.jobs.worker.runner import Runner, RunnerOptions
from twelvefold.settings import PostgresSettings, RedisSettings

WORK = "test.work"
NO_BACKOFF = Backoff(base=0.0, cap=0.0)
CONDITION_TIMEOUT = 30.0  # seconds
# No server listens there: a Redis that is never available.
NOWHERE = RedisSettings(environment="testing", redis_url=SecretStr("redis://127.0.0.1:1/0"))
QUICK = RunnerOptions(
    heartbeat=0.05,
    poll=0.05,
    fallback_poll_interval=0.02,
    retry=0.05,
    progress_interval=0.0,
    release=2.0,
)
QUICK_MAINTENANCE = MaintenanceOptions(
    wakeup_interval=0.05,
    wakeup_min_age=0.0,
    wakeup_resend_after=0.2,
    reap_interval=0.05,
    crash_backoff=(0.0, 0.0),
    tick_interval=0.05,
)


class Work(JobPayload):
    name: str = "work"


class Probe:
    """A handler that records its runs and calls the test's `behaviour`."""

    def __init__(self, behaviour: Handler[Work] | None = None) -> None:
        self.runs: list[UUID] = []
        self.names: list[str] = []
        self.started = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.cancelled = 0
        self._behaviour = behaviour

    def hold(self) -> None:
        """Make runs wait until `let_go` is set."""
        self.let_go.clear()

    async def __call__(self, job: JobContext, work: Work) -> Any:
        self.runs.append(job.id)
        self.names.append(work.name)
        self.started.set()
        try:
            await self.let_go.wait()
            return await self._behaviour(job, work) if self._behaviour else None
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class RecordingWakeups:
    """Records wake-ups and messages without sending them."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.published: list[tuple[str, str]] = []

    def wake(self, wakeup: Any) -> None:
        self.sent.append(wakeup)

    def publish(self, channel: str, message: str) -> None:
        self.published.append((channel, message))


def work_kind(**policy: Any) -> JobKind[Work]:
    return JobKind(
        WORK, Work, **{"backoff": NO_BACKOFF, "timeout": 5.0, "max_attempts": 3, **policy}
    )


def registry_of(handler: Handler[Work], **policy: Any) -> HandlerRegistry:
    registry = HandlerRegistry()
    registry.add(work_kind(**policy), handler)
    return registry


def redis_settings(url: str) -> RedisSettings:
    return RedisSettings(environment="testing", redis_url=SecretStr(url))


def open_database(url: str, **settings: Any) -> Database:
    return Database(
        PostgresSettings(environment="testing", database_url=SecretStr(url), **settings),
        application_name="tests",
    )


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until the condition is true. Raises TimeoutError after `CONDITION_TIMEOUT`."""
    async with asyncio.timeout(CONDITION_TIMEOUT):
        while True:
            met = condition()
            if isinstance(met, Awaitable):
                met = await met
            if met:
                return
            await asyncio.sleep(0.01)


@dataclass
class Workbench:
    """One database of jobs, as seen by a producer, a worker and its superuser."""

    producer: Database
    database: Database
    sql: asyncpg.Connection
    redis: RedisSettings
    wakeups: RecordingWakeups = field(default_factory=RecordingWakeups)

    @property
    def jobs(self) -> JobQueue:
        return JobQueue(self.producer, self.wakeups)

    async def enqueue(self, name: str = "work", *, kind: str = WORK, **options: Any) -> UUID:
        async with self.producer.transaction() as transaction:
            return await self.jobs.enqueue(transaction, kind, Work(name=name), **options)

    async def cancel(self, job_id: UUID) -> JobRecord:
        async with self.producer.transaction() as transaction:
            return await self.jobs.cancel(transaction, job_id)

    async def retry(self, job_id: UUID) -> JobRecord:
        async with self.producer.transaction() as transaction:
            return await self.jobs.retry(transaction, job_id)

    async def record(self, job_id: UUID) -> JobRecord:
        found = await self.jobs.find(job_id)
        assert found is not None
        return found

    async def row(self, job_id: UUID) -> dict[str, Any]:
        row = await self.sql.fetchrow("SELECT * FROM jobs.jobs WHERE id = $1", job_id)
        assert row is not None
        return {**row, "errors": json.loads(row["errors"])}

    async def watched(self, *job_ids: UUID) -> None:
        """Wait until a process is subscribed to the changes of each job."""
        await self._subscriptions(job_ids, lambda count: count > 0)

    async def unwatched(self, *job_ids: UUID) -> None:
        """Wait until no process is subscribed to the changes of any of the jobs."""
        await self._subscriptions(job_ids, lambda count: count == 0)

    async def _subscriptions(self, ids: Sequence[UUID], holds: Callable[[int], bool]) -> None:
        channels = [change_channel(job_id) for job_id in ids]

        async def reached() -> bool:
            return all(holds(count) for _, count in await redis.pubsub_numsub(*channels))

        async with Redis.from_url(self.redis.redis_url.get_secret_value()) as redis:
            await until(reached)

    async def becomes(self, status: str, *job_ids: UUID) -> None:
        async def reached() -> bool:
            return all([(await self.record(job_id)).status == status for job_id in job_ids])

        await until(reached)

    async def expire(self, job_id: UUID) -> None:
        """Expire the lease, as if its worker had stopped."""
        await self.sql.execute(
            "UPDATE jobs.jobs SET lease_until = now() - interval '1 s' WHERE id = $1", job_id
        )

    async def take_over(self, job_id: UUID) -> None:
        """Raise the fence, as if another worker had claimed the job after the lease expired."""
        await self.sql.execute(
            "UPDATE jobs.jobs SET claim_no = claim_no + 1, worker = 'another' WHERE id = $1", job_id
        )

    async def due_since(self, job_id: UUID, seconds: float) -> None:
        await self.sql.execute(
            "UPDATE jobs.jobs SET run_at = now() - make_interval(secs => $2) WHERE id = $1",
            job_id,
            seconds,
        )

    def leases(self, *kinds: JobKind[Any], **config: Any) -> LeaseRepository:
        kinds = kinds or (work_kind(), JobKind("test.other", Work))
        terms = {"worker": "tests", "queue": "default", "kinds": kinds, **config}
        return LeaseRepository(self.database, LeaseConfig(**terms))

    def maintenance(
        self, schedule: Sequence[PeriodicJob] = (), options: MaintenanceOptions = QUICK_MAINTENANCE
    ) -> QueueMaintenance:
        return QueueMaintenance(
            self.database, self.wakeups, queue="default", schedule=schedule, options=options
        )

    @asynccontextmanager
    async def running(
        self,
        registry: HandlerRegistry,
        options: RunnerOptions = QUICK,
        *,
        database: Database | None = None,
        redis_unavailable: bool = True,
        **config: Any,
    ) -> AsyncIterator[Runner]:
        """Run a runner alone, without Redis and maintenance."""
        used = database or self.database
        leases = LeaseRepository(
            used,
            LeaseConfig(
                **{"worker": "tests", "queue": "default", "kinds": registry.kinds, **config}
            ),
        )
        runner = Runner(
            used, leases, registry, options=options, redis_unavailable=lambda: redis_unavailable
        )
        async with runner.running():
            yield runner

    @asynccontextmanager
    async def consuming(
        self,
        registry: HandlerRegistry,
        *,
        redis: RedisSettings | None = None,
        runner: RunnerOptions = QUICK,
        maintenance: MaintenanceOptions = QUICK_MAINTENANCE,
        schedule: Sequence[PeriodicJob] = (),
        **options: Any,
    ) -> AsyncIterator[Consumer]:
        """Run a whole worker: wake-up listener, runner, maintenance."""
        used = redis or self.redis
        wakeups = RedisWakeupPublisher(used)
        consumer = Consumer(
            self.database,
            used,
            registry,
            wakeups=wakeups,
            schedule=schedule,
            options=ConsumerOptions(
                **{"worker": "tests", "runner": runner, "maintenance": maintenance, **options}
            ),
        )
        async with wakeups.running(), consumer.running():
            yield consumer


def is_recent(now: datetime, then: datetime, seconds: float = 5.0) -> bool:
    return abs((now - then).total_seconds()) < seconds
