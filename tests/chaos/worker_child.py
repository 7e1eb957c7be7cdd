"""A worker of the product's own machinery, with kinds of jobs whose effects can be counted.

    python tests/chaos/worker_child.py        # settings from the environment

Every kind leaves a row in `chaos.effects`, a table without any key, so that nothing but the
machinery keeps an effect from happening twice. CRASH_AT names a point at which the process dies
as by kill -9, the first time that it gets there.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from pydantic import Field
from sqlalchemy import text

from twelvefold.contracts.jobs import JobPayload
from twelvefold.database.database import Transaction
from twelvefold.http.server.lifecycle import main
from twelvefold.jobs import (
    Backoff,
    Completion,
    HandlerRegistry,
    JobContext,
    JobKind,
    RedisWakeupPublisher,
)
from twelvefold.jobs.lease_repository import LeaseRepository
from twelvefold.jobs.worker.consumer import Consumer, ConsumerOptions
from twelvefold.jobs.worker.maintenance import MaintenanceOptions
from twelvefold.jobs.worker.runner import RunnerOptions
from twelvefold.jobs.worker.settlement import SettlementWriter
from twelvefold.mail.mailer import Email, SmtpMailer
from twelvefold.service.backing import BackingServices
from twelvefold.service.definition import Service
from twelvefold.service.health import Health
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import (
    MailSettings,
    ObjectStoreSettings,
    PostgresSettings,
    RedisSettings,
    ServiceSettings,
)
from twelvefold.storage.object_store import S3ObjectStore

COUNT, STEP, OBJECT, MAIL = "chaos.count", "chaos.step", "chaos.object", "chaos.mail"
KINDS = (COUNT, STEP, OBJECT, MAIL)
SCHEMA = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.effects (
  job_id uuid NOT NULL, kind text NOT NULL, worker text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT USAGE ON SCHEMA chaos TO worker_app;
GRANT INSERT ON chaos.effects TO worker_app;
"""
_EFFECT = text("INSERT INTO chaos.effects (job_id, kind, worker) VALUES (:job_id, :kind, :worker)")
DEAD = 137  # as a shell says of what SIGKILL ended


class ChaosSettings(
    ServiceSettings, PostgresSettings, RedisSettings, ObjectStoreSettings, MailSettings
):
    """Names and bounds of one such worker. Seconds."""

    chaos_queue: str = "chaos"
    chaos_lease: float = 30.0
    chaos_work: float = Field(0.02, description="Of one job, on average.")
    chaos_concurrency: int = 10
    crash_at: str = ""


class Payload(JobPayload):
    """`stubborn` jobs fail once before they succeed."""

    stubborn: bool = False
    seconds: float | None = None  # of work, instead of the worker's own


class Handlers:
    """What the jobs do, besides taking their time."""

    def __init__(self, settings: ChaosSettings, backing: BackingServices) -> None:
        self._settings = settings
        self._backing = backing

    async def count(self, job: JobContext, payload: Payload) -> Completion:
        """An effect that commits together with the completion."""
        await self._work(job, payload)
        return Completion({"worker": self._worker}, partial(self._effect, job, COUNT))

    async def step(self, job: JobContext, payload: Payload) -> None:
        """An effect that commits halfway, once in the job's life."""
        async with job.step("effect") as transaction:
            if transaction is not None:
                await self._effect(job, STEP, transaction)
        _die_at("after_step")
        await self._work(job, payload)

    async def put(self, job: JobContext, payload: Payload) -> Completion:
        """An object under the job's own key, however often it is put."""
        await self._work(job, payload)
        job.require_lease()
        await self._backing.object_store.put(f"chaos/{job.id}", _bytes(), "text/plain")
        return Completion(effects=partial(self._effect, job, OBJECT))

    async def mail(self, job: JobContext, payload: Payload) -> Completion:
        """An email with the job's own Message-ID."""
        await self._work(job, payload)
        job.require_lease()
        message = Email(
            to=f"{job.id}@chaos.example",
            subject="chaos",
            text=str(job.id),
            html=None,
            message_id=f"<{job.id}@chaos.example>",
        )
        await self._backing.mailer.send(message)
        return Completion(effects=partial(self._effect, job, MAIL))

    @property
    def _worker(self) -> str:
        return self._settings.instance_id

    async def _work(self, job: JobContext, payload: Payload) -> None:
        if payload.stubborn and job.attempt == 1:
            raise RuntimeError("the first attempt fails")
        seconds = payload.seconds
        if seconds is None:
            seconds = random.uniform(0, 2 * self._settings.chaos_work)  # noqa: S311 (work)
        await asyncio.sleep(seconds)

    async def _effect(self, job: JobContext, kind: str, transaction: Transaction) -> None:
        await transaction.execute(_EFFECT, {"job_id": job.id, "kind": kind, "worker": self._worker})
        _die_at("before_commit")


async def _bytes() -> AsyncIterator[bytes]:
    yield b"an object"


def create_app(settings: ChaosSettings) -> ServiceProcess:
    backing = BackingServices(settings, application_name="chaos-worker")
    handlers = Handlers(settings, backing)
    registry = HandlerRegistry()
    for name, handler in {
        COUNT: handlers.count,
        STEP: handlers.step,
        OBJECT: handlers.put,
        MAIL: handlers.mail,
    }.items():
        kind = JobKind(
            name, Payload, timeout=120.0, max_attempts=50, backoff=Backoff(base=0.5, cap=5.0)
        )
        registry.add(kind, handler)
    wakeups = RedisWakeupPublisher(settings)
    lease = settings.chaos_lease
    consumer = Consumer(
        backing.database,
        settings,
        registry,
        wakeups=wakeups,
        options=ConsumerOptions(
            worker=settings.instance_id,
            queue=settings.chaos_queue,
            lease=lease,
            runner=RunnerOptions(
                concurrency=settings.chaos_concurrency, heartbeat=lease / 3, grace=5.0
            ),
            maintenance=MaintenanceOptions(reap_interval=min(5.0, lease / 3)),
        ),
    )
    return ServiceProcess(
        name="chaos",
        settings=settings,
        health=Health(backing),
        backing=backing,
        background=[wakeups.running, consumer.running],
        drain=[consumer.drain],
    )


SERVICE = Service("chaos", ChaosSettings, create_app)
_armed = ""


def _die_at(point: str) -> None:
    if _armed == point:
        os._exit(DEAD)


def _dies_after(owner: type[Any], name: str, point: str) -> None:
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        # A claim that finds nothing is not the point.
        if result != []:
            _die_at(point)
        return result

    setattr(owner, name, wrapped)


# Points outside the handlers, by the method after which they lie.
AFTER = {
    "after_claim": (LeaseRepository, "claim"),
    "after_object_put": (S3ObjectStore, "put"),
    "after_mail": (SmtpMailer, "send"),
    "after_settle": (SettlementWriter, "settle"),
}
CRASH_POINTS = (*AFTER, "after_step", "before_commit")


def arm(point: str) -> None:
    """From now on this process dies at `point`."""
    global _armed  # noqa: PLW0603 (one point in one process)
    _armed = point
    if point in AFTER:
        owner, name = AFTER[point]
        _dies_after(owner, name, point)


if __name__ == "__main__":
    arm(os.environ.get("CRASH_AT", ""))
    sys.exit(main(SERVICE))
