"""The composition root of worker: the only module that chooses implementations.

Creates nothing at import. Functions import the slow modules when a process is created.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from twelvefold.database.revisions import JOBS_MIGRATIONS
from twelvefold.service.definition import Service
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from twelvefold.jobs import HandlerRegistry
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.process import ServiceProcess


def create_app(settings: WorkerSettings) -> ServiceProcess:
    """Create the worker: jobs in the background, probes and metrics on the management port."""
    from twelvefold.database.migrations import is_ready
    from twelvefold.jobs import RedisWakeupPublisher
    from twelvefold.jobs.worker.consumer import Consumer, ConsumerOptions
    from twelvefold.jobs.worker.runner import RunnerOptions
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.health import Health
    from twelvefold.service.process import ServiceProcess
    from worker.schedule import SCHEDULE

    backing = BackingServices(settings, application_name=JOBS_MIGRATIONS.application_name)
    wakeups = RedisWakeupPublisher(settings)
    consumer = Consumer(
        backing.database,
        settings,
        build_registry(settings, backing),
        wakeups=wakeups,
        schedule=SCHEDULE,
        options=ConsumerOptions(
            worker=settings.instance_id,
            queue=settings.worker_queue,
            lease=settings.worker_lease,
            unusable_window=settings.worker_unusable_window,
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
        background=[wakeups.running, consumer.running],
        schema_ready=partial(is_ready, backing.database, JOBS_MIGRATIONS),
        drain=[consumer.drain],
    )


def build_registry(settings: WorkerSettings, backing: BackingServices) -> HandlerRegistry:
    """Create the use cases on their implementations, registered by job kind."""
    from twelvefold.http.internal import InternalClient
    from twelvefold.jobs.retention import fetch_suite_id
    from worker.imaging.variants import ImageLimits
    from worker.job_kinds import create_registry
    from worker.owners import HttpOwnerClient
    from worker.service.email_sender import EmailSender
    from worker.service.erasure import AccountEraser, CacheEvictor
    from worker.service.image_processor import ImageProcessor
    from worker.service.object_sweeper import ObjectSweeper

    def create_client(name: str, url: str) -> InternalClient:
        client = InternalClient(
            name,
            url,
            caller="worker",
            secret=settings.internal_secret,
            timeout=settings.internal_timeout,
        )
        backing.register(name, client.ping, client.aclose)
        return client

    owners = HttpOwnerClient(
        users=create_client("users", settings.users_url), api=create_client("api", settings.api_url)
    )
    return create_registry(
        settings,
        database=backing.database,
        email_sender=EmailSender(owners, backing.mailer, settings.mail_from),
        image_processor=ImageProcessor(
            owners,
            backing.object_store,
            ImageLimits(
                pixels=settings.image_max_pixels,
                memory=settings.image_memory_bytes,
                seconds=settings.image_seconds,
            ),
            max_bytes=settings.image_max_bytes,
        ),
        account_eraser=AccountEraser(owners, backing.object_store),
        cache_evictor=CacheEvictor(backing.cache),
        sweeper=ObjectSweeper(
            owners,
            backing.object_store,
            timedelta(hours=settings.worker_orphan_hours),
            partial(fetch_suite_id, backing.database),
        ),
    )


SERVICE = Service(
    "worker",
    WorkerSettings,
    create_app,
    JOBS_MIGRATIONS,
    calls={
        "api": "what became of images, and what is left of accounts",
        "users": "what mails say, avatars, and accounts to erase",
    },
)
