"""Which kinds of jobs this worker runs, how, and by which use case."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from twelvefold.contracts.jobs import (
    ACCOUNT_ERASE,
    CACHE_EVICT,
    EMAIL_SEND,
    IMAGE_PROCESS,
    AccountErase,
    CacheEvict,
    EmailSend,
    ImageProcess,
)
from twelvefold.database import Database
from twelvefold.jobs import Backoff, Job, JobKind, Registry
from twelvefold.jobs.housekeeping import PRUNE, NoPayload, prune
from worker.removal import Erasures, Evictions
from worker.service import Letters, Pictures
from worker.settings import WorkerSettings
from worker.sweeping import Sweeper

# Attempts cover the outage of a mail server or of S3 of about two hours.
_PATIENT = Backoff(base=5.0, cap=600.0)
_ATTEMPTS = 30
OBJECTS_SWEEP = "objects.sweep"
SWEEP = JobKind(OBJECTS_SWEEP, NoPayload, timeout=3600.0, max_attempts=5, concurrency=1)
_ERASURE = 600.0  # seconds for deleting everything of one account
_TRANSFERS = 60.0  # seconds for fetching a source and storing its variants


def create_registry(
    settings: WorkerSettings,
    *,
    database: Database,
    letters: Letters,
    pictures: Pictures,
    erasures: Erasures,
    evictions: Evictions,
    sweeper: Sweeper,
) -> Registry:
    """Every kind that this release knows."""
    registry = Registry()
    registry.add(
        JobKind(
            EMAIL_SEND,
            EmailSend,
            timeout=settings.internal_timeout + settings.mail_timeout + 5.0,
            max_attempts=_ATTEMPTS,
            backoff=_PATIENT,
            concurrency=settings.worker_mail_concurrency,
        ),
        letters.send,
    )
    registry.add(
        JobKind(
            IMAGE_PROCESS,
            ImageProcess,
            timeout=2.0 * settings.image_seconds + _TRANSFERS,
            max_attempts=_ATTEMPTS,
            backoff=_PATIENT,
            concurrency=settings.worker_image_concurrency,
        ),
        pictures.process,
    )
    registry.add(
        JobKind(
            ACCOUNT_ERASE,
            AccountErase,
            timeout=_ERASURE,
            # What somebody asked us to forget is not given up after two hours.
            max_attempts=100,
            backoff=Backoff(base=5.0, cap=3600.0),
        ),
        erasures.erase,
    )
    registry.add(
        JobKind(
            CACHE_EVICT,
            CacheEvict,
            timeout=10.0,
            # Until Redis is back, or the entry has expired by itself.
            max_attempts=100,
            backoff=Backoff(base=2.0, cap=120.0),
        ),
        evictions.evict,
    )
    registry.add(SWEEP, sweeper.sweep)
    registry.add(PRUNE, partial(_prune, database, timedelta(days=settings.worker_retention_days)))
    return registry


async def _prune(database: Database, retention: timedelta, _: Job, __: NoPayload) -> dict[str, Any]:
    return {"deleted": await prune(database, retention)}
