"""The job kinds of this worker: their policies and use cases."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from twelvefold.contracts.jobs import (
    ACCOUNT_ERASE,
    CACHE_EVICT,
    EMAIL_SEND,
    IMAGE_PROCESS,
    MAX_ATTEMPTS,
    AccountErase,
    CacheEvict,
    EmailSend,
    ImageProcess,
)
from twelvefold.database.database import Database
from twelvefold.jobs import Backoff, HandlerRegistry, JobContext, JobKind
from twelvefold.jobs.retention import PRUNE, EmptyPayload, prune_ended_jobs
from worker.service.email_sender import EmailSender
from worker.service.erasure import AccountEraser, CacheEvictor
from worker.service.image_processor import ImageProcessor
from worker.service.object_sweeper import ObjectSweeper
from worker.settings import ImageProcessingSettings, WorkerCoreSettings

_OUTAGE_BACKOFF = Backoff(base=5.0, cap=600.0)
OBJECTS_SWEEP = "objects.sweep"
SWEEP = JobKind(OBJECTS_SWEEP, EmptyPayload, timeout=3600.0, max_attempts=5, concurrency=1)
_ERASURE_TIMEOUT = 600.0  # seconds for deleting everything of one account
_TRANSFER_TIMEOUT = 60.0  # seconds for fetching a source and storing its variants


def register_core(
    registry: HandlerRegistry,
    settings: WorkerCoreSettings,
    *,
    database: Database,
    email_sender: EmailSender,
    account_eraser: AccountEraser,
    cache_evictor: CacheEvictor,
) -> None:
    """Register the kinds that need no bucket."""
    registry.add(
        JobKind(
            EMAIL_SEND,
            EmailSend,
            timeout=settings.internal_timeout + settings.mail_timeout + 5.0,
            max_attempts=MAX_ATTEMPTS[EMAIL_SEND],
            backoff=_OUTAGE_BACKOFF,
            concurrency=settings.worker_mail_concurrency,
        ),
        email_sender.send,
    )
    registry.add(
        JobKind(
            ACCOUNT_ERASE,
            AccountErase,
            timeout=_ERASURE_TIMEOUT,
            max_attempts=MAX_ATTEMPTS[ACCOUNT_ERASE],
            backoff=Backoff(base=5.0, cap=3600.0),
        ),
        account_eraser.erase,
    )
    registry.add(
        JobKind(
            CACHE_EVICT,
            CacheEvict,
            timeout=10.0,
            max_attempts=MAX_ATTEMPTS[CACHE_EVICT],
            backoff=Backoff(base=2.0, cap=120.0),
        ),
        cache_evictor.evict,
    )
    registry.add(
        PRUNE, partial(_prune_jobs, database, timedelta(days=settings.worker_retention_days))
    )


def register_images(
    registry: HandlerRegistry,
    settings: ImageProcessingSettings,
    *,
    image_processor: ImageProcessor,
    sweeper: ObjectSweeper,
) -> None:
    """Register the kinds of the feature `enable_images`."""
    registry.add(
        JobKind(
            IMAGE_PROCESS,
            ImageProcess,
            timeout=2.0 * settings.image_seconds + _TRANSFER_TIMEOUT,
            max_attempts=MAX_ATTEMPTS[IMAGE_PROCESS],
            backoff=_OUTAGE_BACKOFF,
            concurrency=settings.worker_image_concurrency,
        ),
        image_processor.process,
    )
    registry.add(SWEEP, sweeper.sweep)


async def _prune_jobs(
    database: Database, retention: timedelta, _: JobContext, __: EmptyPayload
) -> dict[str, Any]:
    return {"deleted": await prune_ended_jobs(database, retention)}
