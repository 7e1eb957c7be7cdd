"""The composition root of worker: the only place that picks implementations.

Nothing is built at import, and what is slow to import is imported when a process is created.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from twelvefold.revisions import Migrations
from twelvefold.service import Service
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from twelvefold.backing import BackingServices
    from twelvefold.jobs import Registry
    from twelvefold.process import ServiceProcess

MIGRATIONS = Migrations(service="worker", schema="jobs", package="worker.migrations", order=0)


def create_app(settings: WorkerSettings) -> ServiceProcess:
    """The worker process: jobs in the background, probes and metrics on the management port."""
    from twelvefold.backing import BackingServices
    from twelvefold.health import Health
    from twelvefold.jobs import Ringer
    from twelvefold.jobs.consumer import Consumer, ConsumerOptions
    from twelvefold.jobs.runner import RunnerOptions
    from twelvefold.migrations import is_ready
    from twelvefold.process import ServiceProcess
    from worker.schedule import SCHEDULE

    backing = BackingServices(settings, application_name=MIGRATIONS.announcement)
    ringer = Ringer(settings)
    consumer = Consumer(
        backing.database,
        settings,
        compose(settings, backing),
        ringer=ringer,
        schedule=SCHEDULE,
        options=ConsumerOptions(
            worker=settings.instance_id,
            queue=settings.worker_queue,
            lease=settings.worker_lease,
            window=settings.worker_unusable_window,
            runner=RunnerOptions(
                concurrency=settings.worker_concurrency,
                heartbeat=settings.worker_lease / 3,
                grace=settings.worker_grace,
            ),
        ),
    )
    return ServiceProcess(
        name="worker",
        settings=settings,
        health=Health(backing),
        backing=backing,
        background=[ringer.running, consumer.running],
        schema_ready=partial(is_ready, backing.database, MIGRATIONS),
        drain=[consumer.drain],
    )


def compose(settings: WorkerSettings, backing: BackingServices) -> Registry:
    """The use cases on their implementations, by kind of job."""
    from twelvefold.http.internal import InternalClient
    from twelvefold.jobs.housekeeping import suite_id
    from worker.handlers import create_registry
    from worker.images import ImageLimits
    from worker.owners import HttpOwners
    from worker.removal import Erasures, Evictions
    from worker.service import Letters, Pictures
    from worker.sweeping import Sweeper

    def client(name: str, url: str) -> InternalClient:
        made = InternalClient(
            name,
            url,
            caller="worker",
            secret=settings.internal_secret,
            timeout=settings.internal_timeout,
        )
        backing.register(name, made.ping, made.aclose)
        return made

    owners = HttpOwners(
        users=client("users", settings.users_url), api=client("api", settings.api_url)
    )
    return create_registry(
        settings,
        database=backing.database,
        letters=Letters(owners, backing.mailer, settings.mail_from),
        pictures=Pictures(
            owners,
            backing.object_store,
            ImageLimits(
                pixels=settings.image_max_pixels,
                memory=settings.image_memory_bytes,
                seconds=settings.image_seconds,
            ),
            max_bytes=settings.image_max_bytes,
        ),
        erasures=Erasures(owners, backing.object_store),
        evictions=Evictions(backing.cache),
        sweeper=Sweeper(
            owners,
            backing.object_store,
            timedelta(hours=settings.worker_orphan_hours),
            partial(suite_id, backing.database),
        ),
    )


SERVICE = Service("worker", WorkerSettings, create_app, MIGRATIONS)
