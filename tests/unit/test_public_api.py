"""The public API of the libraries: a release keeps what the last one had.

`make contract-release` makes the present API the released one. A removal belongs into a release
that docs/guides/libraries.md allows it in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from twelvefold_dev.library import MODULES, describe, find_breaks

RELEASED = Path(__file__).parents[2] / "docs/api/library-released.json"


def test_nothing_of_the_released_api_is_gone_or_called_differently() -> None:
    released = json.loads(RELEASED.read_text())
    assert len(released) == len(MODULES)
    assert find_breaks(released, describe()) == []


@pytest.mark.parametrize(
    ("present", "breaks"),
    [
        ({"m": {}}, ["m.call is gone"]),
        ({"m": {"call": {}}}, ["m.call is gone"]),
        ({"m": {"call": {"": {"a": "required"}}}}, ["m.call: parameter *b is gone"]),
        (
            {"m": {"call": {"": {"a": "required", "*b": "required"}}}},
            ["m.call: parameter *b is required"],
        ),
        (
            {"m": {"call": {"": {"a": "required", "*b": "optional", "*c": "required"}}}},
            ["m.call: parameter *c is required"],
        ),
        (
            {"m": {"call": {"": {"c": "optional", "a": "required", "*b": "optional"}}}},
            ["m.call: the order of parameters changed"],
        ),
        ({"m": {"call": {"": {"a": "optional", "*b": "optional", "*c": "optional"}}}}, []),
    ],
)
def test_a_break_is_named(present: Any, breaks: list[str]) -> None:
    released: Any = {"m": {"call": {"": {"a": "required", "*b": "optional"}}}}
    assert find_breaks(released, present) == breaks


def test_every_public_name_is_documented() -> None:
    page = (RELEASED.parents[1] / "reference/library.md").read_text()
    missing = [
        f"{module}.{name}"
        for module, names in describe().items()
        for name in names
        if f"| `{name}` | " not in page or f"| `{name}` |  |" in page
    ]
    assert missing == []


# A driver is blocked as if it was not installed.
BLOCKED = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if any(name == one or name.startswith(one + ".") for one in {packages!r}):
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Blocker())
"""


def run_without(extras: list[str], code: str) -> str:
    from twelvefold.extras import EXTRAS

    packages = [package for extra in extras for package in EXTRAS[extra]]
    done = subprocess.run(  # noqa: S603  (our own interpreter)
        [sys.executable, "-c", BLOCKED.format(packages=packages) + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ("postgres", "jobs.JobQueue"),
        ("postgres", "database.Database"),
        ("redis", "cache.RedisCache"),
        ("redis", "resilience.RedisRateLimiter"),
        ("mail", "mail.SmtpMailer"),
    ],
)
def test_a_name_without_its_driver_names_the_extra(extra, name) -> None:
    module, _, attribute = name.partition(".")
    output = run_without([extra], f"from twelvefold.{module} import {attribute}")
    assert f'pip install "twelvefold[{extra}]"' in output
    assert f"twelvefold.{name} needs " in output


@pytest.mark.parametrize(
    ("extra", "group", "settings"),
    [
        ("postgres", "PostgresSettings", "database_url='postgresql://u:p@127.0.0.1/x'"),
        ("redis", "RedisSettings", "redis_url='redis://127.0.0.1'"),
        ("s3", "ObjectStoreSettings", "s3_bucket='b'"),
        ("mail", "MailSettings", "smtp_url='smtp://127.0.0.1', mail_from='a@b.example'"),
    ],
)
def test_a_service_without_the_driver_of_its_settings_does_not_start(
    extra, group, settings
) -> None:
    code = f"""
from twelvefold.service import BackingServices
from twelvefold.settings import {group}
BackingServices({group}(environment="testing", {settings}), application_name="x")
"""
    output = run_without([extra], code)
    assert f"{group} needs " in output
    assert f'pip install "twelvefold[{extra}]"' in output


def test_traces_without_their_extra_are_refused_at_the_start() -> None:
    code = """
from twelvefold.observability.telemetry import configure_telemetry
from twelvefold.settings import TelemetrySettings
endpoint = "http://127.0.0.1:4318"
configure_telemetry(TelemetrySettings(otel_exporter_otlp_endpoint=endpoint), service="x")
"""
    assert 'pip install "twelvefold[otel]"' in run_without(["otel"], code)


def test_a_service_without_backing_services_needs_no_extra() -> None:
    code = """
import asyncio
from fastapi import APIRouter
from twelvefold.http import create_service_app
from twelvefold.http.server.lifecycle import create_listeners
from twelvefold.service import BackingServices, Health, ServiceProcess
from twelvefold.settings import ServiceSettings
settings = ServiceSettings(environment="testing")
backing = BackingServices(settings, application_name="x")
health = Health(backing)
public = create_service_app(
    title="x", settings=settings, routers=[APIRouter()], state=None, public=True, health=health
)
process = ServiceProcess("x", settings, health, backing, public=public)
async def main():
    async with process.open():
        print([listener.name for listener in create_listeners(process)])
asyncio.run(main())
"""
    output = run_without(["postgres", "redis", "s3", "mail", "otel"], code)
    assert "['public', 'management']" in output
