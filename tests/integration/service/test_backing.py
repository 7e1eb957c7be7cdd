"""Real backing services behind one factory."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from tests.proxy import open_proxy

from twelvefold.cache.cache import CacheEntry
from twelvefold.observability.metrics import REGISTRY
from twelvefold.service.backing import BackingServices
from twelvefold.settings import (
    Environment,
    FeatureFlags,
    MailSettings,
    ObjectStoreSettings,
    PostgresSettings,
    RedisSettings,
)


class AllSettings(PostgresSettings, RedisSettings, ObjectStoreSettings, MailSettings, FeatureFlags):
    """The settings of a service that uses every backing service."""


@pytest.fixture
def settings(postgres_superuser_url, redis_url, s3_settings, smtp_url) -> AllSettings:
    return AllSettings(
        environment=Environment.TESTING,
        database_url=postgres_superuser_url,
        redis_url=redis_url,
        mail_from="a@b.example",
        smtp_url=smtp_url,
        sendgrid_api_key=None,
        **s3_settings,
    )


async def test_no_service_is_connected_to_before_its_first_use(settings) -> None:
    unreachable = {
        "database_url": "postgresql://127.0.0.1:1/x",
        "redis_url": "redis://127.0.0.1:1",
        "s3_endpoint": "http://127.0.0.1:1",
        "smtp_url": "smtp://127.0.0.1:1",
    }
    lost = AllSettings(**{**settings.model_dump(), **unreachable})
    backing = BackingServices(lost, application_name="tests")
    _ = backing.database, backing.redis, backing.cache, backing.object_store, backing.mailer
    states = await backing.ping()
    assert states == dict.fromkeys(["postgres", "redis", "s3", "mail"], "unavailable")
    await backing.aclose()


async def test_a_service_that_was_not_used_yet_is_pinged_as_well(settings) -> None:
    backing = BackingServices(settings, application_name="tests")
    await backing.object_store.ping()  # its first use takes longer than a ping may
    assert await backing.ping() == dict.fromkeys(["s3", "postgres", "redis", "mail"], "ok")
    await backing.aclose()


async def test_a_lost_service_is_named_and_the_others_work(settings, redis_url) -> None:
    async with open_proxy(redis_url) as proxy:
        behind = AllSettings(**{**settings.model_dump(), "redis_url": proxy.url(redis_url)})
        backing = BackingServices(behind, application_name="tests")
        await backing.object_store.ping()
        proxy.hold()
        states = await backing.ping()
        assert states["redis"] == "unavailable"
        assert {states[name] for name in ("postgres", "s3", "mail")} == {"ok"}
        await backing.aclose()


async def test_reads_of_the_cache_are_counted_by_outcome(settings) -> None:
    def counted(outcome: str) -> float:
        labels = {"outcome": outcome}
        return REGISTRY.get_sample_value("cache_requests_total", labels) or 0

    backing = BackingServices(settings, application_name="tests")
    before = {outcome: counted(outcome) for outcome in ("hit", "miss", "set")}
    await backing.cache.get("backing:counted")
    await backing.cache.set("backing:counted", CacheEntry(1, b"row"), ttl=60)
    await backing.cache.get("backing:counted")
    assert {name: counted(name) - value for name, value in before.items()} == {
        "hit": 1,
        "miss": 1,
        "set": 1,
    }
    await backing.aclose()


async def test_closing_leaves_no_connection(settings, redis_url, postgres_superuser_url) -> None:
    async with open_proxy(redis_url) as redis, open_proxy(postgres_superuser_url) as postgres:
        urls = {
            "redis_url": redis.url(redis_url),
            "database_url": postgres.url(postgres_superuser_url),
        }
        behind = AllSettings(**{**settings.model_dump(), **urls})
        backing = BackingServices(behind, application_name="tests")
        await backing.redis.ping()
        await backing.multiplexed_redis.ping()
        async with backing.database.read() as reader:
            assert await reader.scalar(text("SELECT 1")) == 1
        await backing.aclose()
        async with asyncio.timeout(5):
            while not (redis.is_idle and postgres.is_idle):
                await asyncio.sleep(0.01)
