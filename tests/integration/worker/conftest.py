"""The worker's use cases on a real database, S3 and mail server; only the owners are a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.fakes.owners import FakeOwnerClient
from tests.integration.jobs.workbench import NOWHERE, Workbench, open_database

from twelvefold.cache.cache import RedisCache
from twelvefold.cache.multiplexed import MultiplexedRedis
from twelvefold.errors import DependencyUnavailable
from twelvefold.jobs import Backoff, HandlerRegistry, JobKind
from twelvefold.jobs.retention import fetch_suite_id
from twelvefold.mail.brand import Brand
from twelvefold.mail.mailer import SmtpMailer
from twelvefold.settings import MailSettings, ObjectStoreSettings
from twelvefold.storage.object_store import S3ObjectStore
from worker.imaging.variants import ImageLimits
from worker.job_kinds import register_core, register_images
from worker.service.email_sender import EmailSender
from worker.service.erasure import AccountEraser, CacheEvictor
from worker.service.image_processor import ImageProcessor
from worker.service.object_sweeper import ObjectSweeper
from worker.settings import WorkerSettings

SENDER = "Twelvefold <no-reply@mail.example>"


@pytest.fixture(scope="session")
async def worker_database(new_database):
    return await new_database()


@pytest.fixture
async def bench(worker_database) -> AsyncIterator[Workbench]:
    sql = await asyncpg.connect(worker_database.superuser_url)
    await sql.execute("TRUNCATE jobs.jobs CASCADE")
    producer = open_database(worker_database.url("api_app"))
    database = open_database(worker_database.url("worker_app"))
    yield Workbench(producer, database, sql, NOWHERE)
    await database.aclose()
    await producer.aclose()
    await sql.close()


@pytest.fixture
def owners() -> FakeOwnerClient:
    return FakeOwnerClient()


class FurtherServices:
    """A service that declares the hook of erasure, and fails while `failures` is positive."""

    def __init__(self) -> None:
        self.erased: list[UUID] = []
        self.failures = 0

    async def erase(self, account_id: UUID) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise DependencyUnavailable("billing")
        self.erased.append(account_id)


@pytest.fixture
def further() -> FurtherServices:
    return FurtherServices()


@pytest.fixture
async def store(s3_settings) -> AsyncIterator[S3ObjectStore]:
    opened = S3ObjectStore(ObjectStoreSettings(environment="testing", **s3_settings))
    yield opened
    await opened.aclose()


@pytest.fixture(scope="session")
def worker_environment(worker_database, s3_settings, smtp_url) -> dict[str, Any]:
    """The fields of WorkerSettings."""
    return {
        "environment": "testing",
        "database_url": worker_database.url("worker_app"),
        "redis_url": NOWHERE.redis_url.get_secret_value(),
        "mail_from": SENDER,
        "smtp_url": smtp_url,
        "internal_secret": "the-worker-shows-this-on-internal-ports",
        "users_url": "http://127.0.0.1:9",  # no server listens there
        "api_url": "http://127.0.0.1:9",
        **s3_settings,
    }


@pytest.fixture
async def redis_client(redis_url) -> AsyncIterator[MultiplexedRedis]:
    async with MultiplexedRedis(redis_url, timeout=5) as client:
        yield client


@pytest.fixture
async def cache(redis_client) -> RedisCache:
    return RedisCache(redis_client, timeout=5)


@pytest.fixture
async def registry(
    bench, owners, further, store, cache, smtp_url, worker_environment
) -> AsyncIterator[HandlerRegistry]:
    """The worker's own kinds and handlers, with a short backoff."""
    mail = MailSettings(environment="testing", mail_from=SENDER, smtp_url=smtp_url)
    mailer = SmtpMailer(mail)
    settings = WorkerSettings(**worker_environment)
    original = HandlerRegistry()
    register_core(
        original,
        settings,
        database=bench.database,
        email_sender=EmailSender(owners, mailer, SENDER, Brand()),
        account_eraser=AccountEraser(owners, further, store),
        cache_evictor=CacheEvictor(cache),
    )
    register_images(
        original,
        settings,
        image_processor=ImageProcessor(owners, store, ImageLimits(), max_bytes=1_000_000),
        sweeper=ObjectSweeper(owners, store, timedelta(), partial(fetch_suite_id, bench.database)),
    )
    shortened = HandlerRegistry()
    for kind in original.kinds:
        registration = original.get(kind.name)
        shortened.add(shorten_backoff(kind), registration.handler)
    yield shortened
    await mailer.aclose()


def shorten_backoff(kind: JobKind[Any]) -> JobKind[Any]:
    return JobKind(
        kind.name,
        kind.payload,
        timeout=kind.timeout,
        max_attempts=kind.max_attempts,
        backoff=Backoff(base=0.0, cap=0.05),
        concurrency=kind.concurrency,
    )
