"""The override of a process's log level: from its own machine only, and temporary."""

import asyncio
import io
import json
import logging
from datetime import timedelta

import httpx
import pytest
import structlog

from twelvefold.http.management import create_management_app
from twelvefold.observability import log_level as module
from twelvefold.observability.log_level import log_level
from twelvefold.observability.logs import configure_logs, request_log
from twelvefold.service.health import Health
from twelvefold.settings import EnvironmentSettings, ServiceSettings

LOOPBACK = ("127.0.0.1", 40_000)
log = structlog.get_logger("module")  # made before logging is configured, as in modules


@pytest.fixture
def output():
    stream = io.BytesIO()
    settings = EnvironmentSettings.model_validate(
        {"environment": "testing", "log_level": "WARNING"}
    )
    configure_logs(settings, service="demo", stream=stream)
    return stream


def events(stream: io.BytesIO) -> list[object]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


async def send(method: str, *, client=LOOPBACK, base="http://127.0.0.1:9000", **arguments):
    app = create_management_app(
        name="demo", settings=ServiceSettings(environment="testing"), health=Health()
    )
    transport = httpx.ASGITransport(app, client=client)
    async with httpx.AsyncClient(transport=transport, base_url=base) as http:
        return await http.request(method, "/log-level", **arguments)


def say_everything() -> None:
    log.debug("ours")
    logging.getLogger("library").debug("theirs")
    request_log()({"status": 200})


async def test_a_changed_level_applies_to_every_existing_logger(output):
    say_everything()
    assert events(output) == []
    response = await send("PUT", json={"level": "DEBUG"})
    assert response.status_code == 200
    assert response.json()["level"] == "DEBUG"
    assert response.json()["configured"] == "WARNING"
    assert response.json()["until"]
    say_everything()
    assert events(output) == ["log_level_changed", "ours", "theirs", "request"]


async def test_an_override_expires(output, monkeypatch):
    monkeypatch.setattr(module, "OVERRIDE_DURATION", timedelta(seconds=0.01))
    await send("PUT", json={"level": "DEBUG"})
    async with asyncio.timeout(5):
        while log_level.number != logging.WARNING:
            await asyncio.sleep(0.01)
    say_everything()
    assert events(output) == ["log_level_changed", "log_level_restored"]
    assert (await send("GET")).json() == {
        "level": "WARNING",
        "configured": "WARNING",
        "until": None,
    }


def test_an_override_lasts_15_minutes():
    assert timedelta(minutes=15) == module.OVERRIDE_DURATION


async def test_the_level_can_be_raised_and_restored_at_once(output):
    await send("PUT", json={"level": "ERROR"})
    log.warning("no")
    assert (await send("DELETE")).json()["level"] == "WARNING"
    log.warning("yes")
    assert events(output) == ["log_level_restored", "yes"]


@pytest.mark.parametrize(
    ("client", "base", "headers"),
    [
        (("10.0.0.7", 40_000), "http://127.0.0.1:9000", {}),
        (("127.0.0.6", 40_000), "http://127.0.0.1:9000", {}),  # a sidecar's inbound side
        (LOOPBACK, "http://rebound.example:9000", {}),
        (LOOPBACK, "http://127.0.0.1:9000", {"origin": "https://page.example"}),
    ],
)
async def test_other_clients_cannot_change_it(output, client, base, headers):
    for method in ("PUT", "DELETE"):
        response = await send(
            method, client=client, base=base, headers=headers, json={"level": "DEBUG"}
        )
        assert response.status_code == 403
        assert response.headers["content-type"] == "application/problem+json"
    assert log_level.number == logging.WARNING


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"level": "LOUD"}', b'{"level": ["DEBUG"]}'])
async def test_an_invalid_level_is_refused(output, body):
    response = await send("PUT", content=body)
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"pointer": "/body/level", "detail": "is none of DEBUG, INFO, WARNING, ERROR"}
    ]
    assert log_level.number == logging.WARNING
