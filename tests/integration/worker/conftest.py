"""The worker's use cases on a real database, S3 and mail server; only the owners are a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from tests.fakes.owners import FakeOwnerClient
from tests.integration.jobs.workbench import NOWHERE, Workbench, open_database

from twelvefold.cache.cache import RedisCache
from twelvefold.jobs import Backoff, HandlerRegistry, JobKind
from twelvefold.jobs.retention import fetch_suite_id
from twelvefold.mail.mailer import SmtpMailer
from twelvefold.settings import MailSettings, ObjectStoreSettings
from twelvefold.storage.object_store import S3ObjectStore
from worker.imaging.variants import ImageLimits
from worker.job_kinds import create_registry
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
async def redis_client(redis_url) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def cache(redis_client) -> RedisCache:
    return RedisCache(redis_client, timeout=5)


@pytest.fixture
async def registry(
    bench, owners, store, cache, smtp_url, worker_environment
) -> AsyncIterator[HandlerRegistry]:
    """The worker's own kinds and handlers, with a short backoff."""
    mail = MailSettings(environment="testing", mail_from=SENDER, smtp_url=smtp_url)
    mailer = SmtpMailer(mail)
    original = create_registry(
        WorkerSettings(**worker_environment),
        database=bench.database,
        email_sender=EmailSender(owners, mailer, SENDER),
        image_processor=ImageProcessor(owners, store, ImageLimits(), max_bytes=1_000_000),
        account_eraser=AccountEraser(owners, store),
        cache_evictor=CacheEvictor(cache),
        sweeper=ObjectSweeper(owners, store, timedelta(), partial(fetch_suite_id, bench.database)),
    )
    shortened = HandlerRegistry()
    for kind in original.kinds:
        registration = original.get(kind.name)
        assert registration is not None
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
