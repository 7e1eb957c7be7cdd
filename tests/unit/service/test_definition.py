"""The start of a process: invalid settings are reported in lines, not in a traceback."""

import pytest
from typer.testing import CliRunner

from twelvefold.cli import app
from twelvefold.http.server.lifecycle import EXIT_SETTINGS, main
from twelvefold.service.definition import Service
from twelvefold.settings import RedisSettings, SecretKeySettings, ServiceSettings, load


class Settings(ServiceSettings, RedisSettings, SecretKeySettings):
    pass


def create(_: Settings):
    pytest.fail("must not be created")


def test_all_invalid_settings_are_listed_and_the_exit_code_is_2(monkeypatch, capsys):
    for name in ("REDIS_URL", "SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("HTTP_MAX_CONCURENCY", "5")
    assert main(Service("demo", Settings, create)) == EXIT_SETTINGS
    output = capsys.readouterr()
    assert output.out == ""
    first, *rest = output.err.splitlines()
    assert first == "demo: 4 invalid settings"
    assert {line.split()[0] for line in rest} == {
        "PORT", "REDIS_URL", "SECRET_KEY", "HTTP_MAX_CONCURENCY",
    }  # fmt: skip
    assert all(line.startswith("  ") for line in rest)


def test_the_command_line_overrides_the_environment(monkeypatch):
    for name, value in {
        "ENVIRONMENT": "testing",
        "REDIS_URL": "redis://localhost",
        "SECRET_KEY": "long enough for a test of no account",
        "PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert (load(Settings).port, load(Settings, port=2).port) == (1, 2)


def test_only_a_worker_accepts_a_queue():
    refused = CliRunner().invoke(app, ["run", "api", "--queue", "images"])
    assert (refused.exit_code, "api has no queue: omit --queue" in refused.output) == (2, True)
    assert "--queue" in CliRunner().invoke(app, ["run", "--help"]).output
