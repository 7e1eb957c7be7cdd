"""Backing services as a whole: pinged together within bounds and always closed in reverse order.

The services here are fakes; tests/integration/service/test_backing.py opens real ones.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from pydantic import SecretStr

from twelvefold.cache.cache import NullCache, RedisCache
from twelvefold.mail.mailer import SmtpMailer
from twelvefold.mail.sendgrid import SendGridMailer
from twelvefold.observability.metrics import REGISTRY
from twelvefold.service import backing as module
from twelvefold.service.backing import BackingServices
from twelvefold.settings import (
    Environment,
    EnvironmentSettings,
    FeatureFlags,
    MailSettings,
    RedisSettings,
)


class Service:
    """A fake that responds, fails or hangs."""

    def __init__(self, name: str, closed: list[str]) -> None:
        self.name = name
        self.pings = 0
        self.closed = closed
        self.fault: Exception | None = None
        self.hangs = False

    async def ping(self) -> None:
        self.pings += 1
        await self._behave()

    async def aclose(self) -> None:
        self.closed.append(self.name)
        await self._behave()

    async def _behave(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault:
            raise self.fault


@pytest.fixture
def backing() -> BackingServices:
    settings = EnvironmentSettings(environment=Environment.TESTING)
    return BackingServices(settings, application_name="tests")


@pytest.fixture
def services(backing) -> list[Service]:
    """Three services, registered in this order."""
    closed: list[str] = []
    services = [Service(name, closed) for name in ("first", "second", "third")]
    for service in services:
        backing.register(service.name, service.ping, service.aclose)
    return services


async def test_every_service_is_named_with_its_state(backing, services) -> None:
    services[1].fault = ConnectionRefusedError("10.1.2.3:5432 refused")
    assert await backing.ping() == {"first": "ok", "second": "unavailable", "third": "ok"}
    assert REGISTRY.get_sample_value("backing_service_up", {"name": "first"}) == 1
    assert REGISTRY.get_sample_value("backing_service_up", {"name": "second"}) == 0


async def test_services_that_hang_cost_one_second_together(backing, services) -> None:
    for service in services[:2]:
        service.hangs = True
    began = time.monotonic()
    states = await backing.ping()
    assert states == {"first": "unavailable", "second": "unavailable", "third": "ok"}
    assert 0.9 < time.monotonic() - began < 1.8


async def test_a_result_is_kept_and_shared_for_a_while(backing, services, monkeypatch) -> None:
    await asyncio.gather(*(backing.ping() for _ in range(20)))
    await backing.ping()
    assert [service.pings for service in services] == [1, 1, 1]

    monkeypatch.setattr(module, "PING_MAX_AGE", 0)
    services[0].fault = TimeoutError()
    assert (await backing.ping())["first"] == "unavailable"


async def test_a_caller_may_change_the_result_that_it_got(backing, services) -> None:
    (await backing.ping()).clear()
    assert len(await backing.ping()) == 3


async def test_a_cancelled_caller_does_not_affect_the_result_of_the_next(backing, services) -> None:
    services[0].hangs = True
    first = asyncio.create_task(backing.ping())
    second = asyncio.create_task(backing.ping())
    await asyncio.sleep(0)
    first.cancel()
    services[0].hangs = False
    assert await second == {"first": "ok", "second": "ok", "third": "ok"}


async def test_closing_is_in_reverse_order_of_opening(backing, services) -> None:
    await backing.aclose()
    assert services[0].closed == ["third", "second", "first"]


async def test_a_service_that_fails_or_hangs_while_closing_does_not_stop_the_rest(
    backing, services, monkeypatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT", 0.1)
    services[2].fault = ConnectionResetError()
    services[1].hangs = True
    await backing.aclose()
    assert services[0].closed == ["third", "second", "first"]


async def test_closing_twice_closes_once_and_a_later_ping_opens_nothing(backing, services) -> None:
    await backing.ping()
    await backing.aclose()
    await backing.aclose()
    assert services[0].closed == ["third", "second", "first"]
    await backing.ping()
    assert [service.pings for service in services] == [1, 1, 1]


def test_a_service_without_its_settings_raises_type_error(backing) -> None:
    for name in ("database", "redis", "cache", "object_store", "mailer"):
        with pytest.raises(TypeError, match="EnvironmentSettings has no"):
            getattr(backing, name)


class Cached(RedisSettings, FeatureFlags):
    """The settings of a service that caches."""


@pytest.mark.parametrize(("enabled", "kind"), [(True, RedisCache), (False, NullCache)])
def test_enable_caching_chooses_the_cache(enabled, kind) -> None:
    settings = Cached(
        environment=Environment.TESTING, redis_url="redis://localhost", enable_caching=enabled
    )
    backing = BackingServices(settings, application_name="tests")
    assert isinstance(backing.cache, kind)
    assert backing.cache is backing.cache


def test_sendgrid_sends_where_its_key_is_set_and_smtp_elsewhere() -> None:
    def mailer(key: SecretStr | None) -> object:
        settings = MailSettings(
            environment=Environment.TESTING,
            mail_from="a@b.example",
            smtp_url=SecretStr("smtp://mail"),
            sendgrid_api_key=key,
        )
        return BackingServices(settings, application_name="tests").mailer

    assert isinstance(mailer(None), SmtpMailer)
    assert isinstance(mailer(SecretStr("SG.key")), SendGridMailer)
