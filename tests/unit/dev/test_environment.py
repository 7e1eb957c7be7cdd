"""The environment of a child process: the settings it declares, and none of another process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twelvefold.database.revisions import Migrations
from twelvefold.service.definition import Service
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import (
    CallerSettings,
    PostgresSettings,
    RedisSettings,
    ServiceSettings,
    StrongSecrets,
    TelemetrySettings,
)
from twelvefold_dev.environment.composition import Addresses, Environments, external_s3, url_as
from twelvefold_dev.environment.secret_store import SecretStore


class EdgeSettings(ServiceSettings, PostgresSettings, CallerSettings, TelemetrySettings):
    users_url: str


class UsersSettings(ServiceSettings, PostgresSettings, RedisSettings):
    internal_secrets_edge: StrongSecrets


def never(_: object) -> ServiceProcess:
    raise AssertionError("no process is created here")


SERVICES = {
    "edge": Service("edge", EdgeSettings, never, Migrations("edge", "edge", "edge.migrations")),
    "users": Service("users", UsersSettings, never, Migrations("users", "users", "u.migrations")),
}
ADDRESSES = Addresses(
    postgres="postgresql://postgres:super@127.0.0.1:1/postgres",
    redis="redis://127.0.0.1:2/0",
    s3={"S3_ENDPOINT": "http://127.0.0.1:3"},
    smtp="smtp://127.0.0.1:4",
    edge="http://127.0.0.1:8000",
    console="http://127.0.0.1:8400",
    internal={"users": "http://127.0.0.1:5"},
)


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "secrets.json")


def of_service(secrets, name: str, own: dict[str, str]) -> dict[str, str]:
    return Environments(SERVICES, secrets, ADDRESSES, own).of_service(name, {"HTTP_FD": 7})


def test_a_service_gets_every_setting_that_it_declares_and_no_other(secrets) -> None:
    environment = of_service(secrets, "edge", {})
    assert environment["USERS_URL"] == "http://127.0.0.1:5"
    assert environment["HTTP_FD"] == "7"
    assert environment["ENVIRONMENT"] == "development"
    assert {"REDIS_URL", "SMTP_URL", "S3_ENDPOINT", "INTERNAL_SECRETS_EDGE"} & set(
        environment
    ) == set()


def test_a_service_connects_in_its_own_role(secrets) -> None:
    edge, users = (of_service(secrets, name, {})["DATABASE_URL"] for name in ("edge", "users"))
    assert edge.startswith("postgresql://edge_app:")
    assert users.startswith("postgresql://users_app:")
    assert "super" not in edge + users


def test_a_caller_and_its_callee_share_one_secret(secrets) -> None:
    caller, callee = (of_service(secrets, name, {}) for name in ("edge", "users"))
    assert caller["INTERNAL_SECRET"] == callee["INTERNAL_SECRETS_EDGE"]


def test_secrets_stay_the_same_over_restarts(tmp_path: Path) -> None:
    first, second = (
        of_service(SecretStore(tmp_path / "secrets.json"), "edge", {}) for _ in range(2)
    )
    assert first == second
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_the_users_environment_overrides_defaults_only(secrets) -> None:
    environment = of_service(secrets, "edge", {"HTTP_GRACE": "9", "PORT": "1", "DATABASE_URL": "x"})
    assert environment["HTTP_GRACE"] == "9"
    assert environment["DATABASE_URL"].startswith("postgresql://edge_app:")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, "http://127.0.0.1:8400"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318"}, "http://jaeger:4318"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ""),
    ],
)
def test_spans_go_to_the_console_unless_the_user_names_a_collector(secrets, own, expected) -> None:
    assert of_service(secrets, "edge", own)["OTEL_EXPORTER_OTLP_ENDPOINT"] == expected
    assert Environments(SERVICES, secrets, ADDRESSES, own).traces_to() == expected


def test_settings_of_another_service_are_not_inherited(secrets) -> None:
    own = {"REDIS_TIMEOUT": "1", "BOOTSTRAP_DATABASE_URL": "postgresql://x", "PATH": "/bin"}
    environment = of_service(secrets, "edge", own)
    assert environment["PATH"] == "/bin"
    assert "REDIS_TIMEOUT" not in environment
    assert "BOOTSTRAP_DATABASE_URL" not in environment


def test_a_misspelt_name_is_inherited_so_that_the_process_reports_it(secrets) -> None:
    assert of_service(secrets, "edge", {"DATABASE_POOL_SIZ": "3"})["DATABASE_POOL_SIZ"] == "3"


def test_preparation_gets_the_superuser_and_every_role(secrets) -> None:
    environment = Environments(SERVICES, secrets, ADDRESSES, {}).of_preparation()
    passwords = json.loads(environment["BOOTSTRAP_ROLE_PASSWORDS"])
    assert set(passwords) == {"edge_owner", "edge_app", "users_owner", "users_app"}
    assert environment["BOOTSTRAP_DATABASE_URL"] == ADDRESSES.postgres


def test_a_role_s_password_is_quoted_in_its_url() -> None:
    url = url_as("postgresql://postgres:p@localhost:5432/app?sslmode=require", "role", "a/b@c")
    assert url == "postgresql://role:a%2Fb%40c@localhost:5432/app?sslmode=require"


def test_an_external_s3_keeps_the_settings_of_the_environment() -> None:
    settings = external_s3({"S3_ENDPOINT": "https://s3.example.com", "S3_BUCKET": "mine"})
    assert settings["S3_BUCKET"] == "mine"
    assert settings["S3_REGION"]
