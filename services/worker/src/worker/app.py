"""The composition root of worker: the only module that chooses implementations.

Creates nothing at import. Functions import the slow modules when a process is created.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from twelvefold.database.revisions import JOBS_MIGRATIONS
from twelvefold.service.definition import SHARED_QUEUE, Service
from twelvefold.service.job_handlers import JobHandlers
from worker.settings import ImageProcessingSettings, WorkerCoreSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twelvefold.jobs import HandlerRegistry, PeriodicJob
    from twelvefold.service.job_handlers import JobHost
    from twelvefold.service.process import ServiceProcess
    from worker.owners import OwnerClient


def create_app(settings: WorkerCoreSettings) -> ServiceProcess:
    """Create the worker: jobs in the background, probes and metrics on the management port.

    It runs its own kinds and those of every installed service without a queue of its own.
    """
    from twelvefold.database.migrations import is_ready
    from twelvefold.jobs import RedisWakeupPublisher
    from twelvefold.jobs.worker.consumer import create_consumer
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.health import Health
    from twelvefold.service.installed import handlers_of
    from twelvefold.service.job_handlers import JobHost, register_handlers
    from twelvefold.service.process import ServiceProcess

    backing = BackingServices(settings, application_name=JOBS_MIGRATIONS.application_name)
    wakeups = RedisWakeupPublisher(settings)
    registry, schedule = register_handlers(
        handlers_of(SERVICE), JobHost(SERVICE.name, settings, backing)
    )
    consumer = create_consumer(
        backing.database,
        settings,
        registry,
        wakeups=wakeups,
        queue=settings.worker_queue,
        schedule=schedule,
    )
    return ServiceProcess(
        name=SERVICE.name,
        settings=settings,
        health=Health(backing),
        backing=backing,
        background=[wakeups.running, consumer.running],
        schema_ready=partial(is_ready, backing.database, JOBS_MIGRATIONS),
        drain=[consumer.drain],
        queue=settings.worker_queue,
        schedule=schedule,
    )


def register_core(registry: HandlerRegistry, host: JobHost) -> Sequence[PeriodicJob]:
    """Register the kinds that need no bucket."""
    from twelvefold.http.account_data import create_account_data_clients
    from twelvefold.mail.brand import Brand
    from worker import job_kinds
    from worker.schedule import CORE
    from worker.service.email_sender import EmailSender
    from worker.service.erasure import AccountEraser, CacheEvictor

    settings: WorkerCoreSettings = host.settings
    backing = host.backing
    owners = host.share("owners", partial(_create_owners, host))
    has_images = isinstance(settings, ImageProcessingSettings)
    job_kinds.register_core(
        registry,
        settings,
        database=backing.database,
        email_sender=EmailSender(owners, backing.mailer, settings.mail_from, Brand.of(settings)),
        account_eraser=AccountEraser(
            owners,
            create_account_data_clients(settings, backing, caller=host.service),
            backing.object_store if has_images else None,
        ),
        cache_evictor=CacheEvictor(backing.cache),
    )
    return CORE


def register_images(registry: HandlerRegistry, host: JobHost) -> Sequence[PeriodicJob]:
    """Register the kinds of the feature `enable_images`."""
    from twelvefold.jobs.retention import fetch_suite_id
    from worker import job_kinds
    from worker.imaging.variants import ImageLimits
    from worker.schedule import IMAGES
    from worker.service.image_processor import ImageProcessor
    from worker.service.object_sweeper import ObjectSweeper

    settings: ImageProcessingSettings = host.settings
    backing = host.backing
    owners = host.share("owners", partial(_create_owners, host))
    job_kinds.register_images(
        registry,
        settings,
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
        sweeper=ObjectSweeper(
            owners,
            backing.object_store,
            timedelta(hours=settings.worker_orphan_hours),
            partial(fetch_suite_id, backing.database),
        ),
    )
    return IMAGES


def _create_owners(host: JobHost) -> OwnerClient:
    from twelvefold.http.internal import InternalClient
    from worker.owners import HttpOwnerClient

    settings: WorkerCoreSettings = host.settings

    def create_client(name: str, url: str) -> InternalClient:
        client = InternalClient(
            name,
            url,
            caller=host.service,
            secret=settings.internal_secret,
            timeout=settings.internal_timeout,
        )
        host.backing.register(name, client.ping, client.aclose)
        return client

    return HttpOwnerClient(
        users=create_client("users", settings.users_url), api=create_client("api", settings.api_url)
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
    jobs=(
        JobHandlers(WorkerCoreSettings, register_core),
        JobHandlers(ImageProcessingSettings, register_images),
    ),
    queue=SHARED_QUEUE,
    account_data="own",
)
