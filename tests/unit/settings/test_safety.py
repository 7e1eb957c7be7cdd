"""Checks of staging and production, and what development may omit."""

from __future__ import annotations

import pytest
from tests.unit.settings.suite import SECRET, problems

from twelvefold.settings import (
    BootstrapSettings,
    CallerSettings,
    Environment,
    EnvironmentSettings,
    MailSettings,
    MigrationSettings,
    ObjectStoreSettings,
    SecretKeySettings,
    StrongSecrets,
    load,
)


def test_a_missing_environment_counts_as_production(given) -> None:
    given(ENVIRONMENT=None, REDIS_URL="redis://cache.example/0")
    assert load(EnvironmentSettings).environment is Environment.PRODUCTION
    assert problems().keys() == {"REDIS_URL"}


def test_an_unknown_environment_is_checked_like_production(given) -> None:
    given(ENVIRONMENT="prod", DATABASE_URL="postgresql://db.example/suite", DEBUG="1")
    assert problems().keys() == {"ENVIRONMENT", "DATABASE_URL", "DEBUG"}


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_a_laptop_needs_neither_tls_nor_strong_secrets(given, environment) -> None:
    given(
        ENVIRONMENT=environment,
        DATABASE_URL="postgres://localhost/suite",
        REDIS_URL="redis://localhost",
        SECRET_KEY="secret",
        DEBUG="true",
        STRIPE_API_KEY="sk_test_1",
    )
    assert problems() == {}


def test_a_secret_is_never_empty_not_even_on_a_laptop() -> None:
    with pytest.raises(ValueError, match="is empty"):
        SecretKeySettings(environment=Environment.DEVELOPMENT, secret_key="")


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example/suite",
        "postgres://db.example/suite?sslmode=disable",
        "postgres://db.example/suite?sslmode=prefer",
        "postgres://db.example/suite?options=sslmode",
        "postgres://db.example/suite?options=sslmode=require",
    ],
)
def test_a_database_without_tls_is_refused_where_it_is_deployed(given, environment, url) -> None:
    given(ENVIRONMENT=environment, DATABASE_URL=url)
    assert "TLS" in problems()["DATABASE_URL"]


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_database_over_tls_is_accepted(given, mode) -> None:
    given(DATABASE_URL=f"postgres://db.example/suite?sslmode={mode}")
    assert problems() == {}


def test_a_redis_without_tls_is_refused_where_it_is_deployed(given) -> None:
    given(ENVIRONMENT="staging", REDIS_URL="redis://cache.example/0")
    assert "rediss://" in problems()["REDIS_URL"]


@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_url_of_another_kind_of_server_is_refused_everywhere(given, environment) -> None:
    given(ENVIRONMENT=environment, DATABASE_URL="mysql://db", REDIS_URL="http://cache")
    assert problems().keys() == {"DATABASE_URL", "REDIS_URL"}


@pytest.mark.parametrize(
    "secret",
    [
        "short",
        SECRET[:31],
        "a" * 64,
        "abcabcabcabcabcabcabcabcabcabcabcabc",
        "please-changeme-before-production-0123456789",
        "My-Secret-0123456789-0123456789-0123456789",
        "EXAMPLE-0123456789-abcdefghijklmnopqrstuvw",
    ],
)
def test_a_short_or_well_known_secret_is_refused_where_it_is_deployed(given, secret) -> None:
    given(SECRET_KEY=secret)
    assert problems().keys() == {"SECRET_KEY"}


def test_debug_is_refused_where_it_is_deployed(given) -> None:
    given(ENVIRONMENT="staging", DEBUG="1")
    assert problems().keys() == {"DEBUG"}


@pytest.mark.parametrize(
    ("environment", "key", "accepted"),
    [
        ("production", "sk_live_1", True),
        ("production", "sk_test_1", False),
        ("production", "sk_live", False),
        ("staging", "sk_test_1", True),
        ("development", "sk_test_1", True),
    ],
)
def test_production_takes_only_a_live_stripe_key(given, environment, key, accepted) -> None:
    given(ENVIRONMENT=environment, STRIPE_API_KEY=key)
    assert problems().keys() == (set() if accepted else {"STRIPE_API_KEY"})


@pytest.mark.parametrize("settings_class", [MigrationSettings, BootstrapSettings])
def test_the_owner_connects_over_tls_as_well(monkeypatch, settings_class) -> None:
    name = f"{settings_class.prefixes[0]}DATABASE_URL"
    monkeypatch.setenv(name, "postgresql://owner@db.example/suite")
    monkeypatch.setenv("BOOTSTRAP_ROLE_PASSWORDS", "{}")
    assert "TLS" in problems(settings_class)[name]


def test_several_secrets_may_be_valid_while_one_is_rotated(given, monkeypatch) -> None:
    class Callee(EnvironmentSettings):
        internal_secrets_api: StrongSecrets

    monkeypatch.setenv("INTERNAL_SECRETS_API", f"{SECRET}, {SECRET[::-1]}")
    secrets = load(Callee).internal_secrets_api
    assert [secret.get_secret_value() for secret in secrets] == [SECRET, SECRET[::-1]]

    monkeypatch.setenv("INTERNAL_SECRETS_API", f"{SECRET},changeme")
    assert problems(Callee).keys() == {"INTERNAL_SECRETS_API"}


def test_a_caller_shows_a_strong_secret(monkeypatch) -> None:
    monkeypatch.setenv("INTERNAL_SECRET", "short")
    assert problems(CallerSettings).keys() == {"INTERNAL_SECRET"}


@pytest.mark.parametrize("proxies", ["*", "10.0.0.1,*", "0.0.0.0/0", "::/0"])
def test_trust_in_every_proxy_is_refused_where_it_is_deployed(given, proxies) -> None:
    given(HTTP_TRUSTED_PROXIES=proxies)
    assert "any client" in problems()["HTTP_TRUSTED_PROXIES"]


@pytest.mark.parametrize("proxies", ["127.0.0.6,::6", "10.0.0.0/8", "2001:db8::/32", ""])
def test_addresses_and_networks_of_proxies_are_accepted(given, proxies) -> None:
    given(HTTP_TRUSTED_PROXIES=proxies)
    assert problems() == {}


@pytest.mark.parametrize("proxies", ["gateway", "10.0.0.1/8", '["10.0.0.1"]'])
def test_a_proxy_that_would_never_match_is_refused_everywhere(given, proxies) -> None:
    given(ENVIRONMENT="development", HTTP_TRUSTED_PROXIES=proxies)
    assert "addresses and networks" in problems()["HTTP_TRUSTED_PROXIES"]


def test_any_origin_is_refused_where_it_is_deployed(given) -> None:
    given(HTTP_CORS_ORIGINS="*")
    assert "every page" in problems()["HTTP_CORS_ORIGINS"]
    given(ENVIRONMENT="development", HTTP_CORS_ORIGINS="*")
    assert problems() == {}


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("smtp://user:pass@mail.example", False),
        ("smtp://user@mail.example", False),
        ("smtp://mail.example", True),
        ("smtp+starttls://user:pass@mail.example:587", True),
        ("smtps://user:pass@mail.example", True),
        ("http://mail.example", False),
        ("smtp://", False),
    ],
)
def test_a_password_for_mail_goes_over_tls_where_it_is_deployed(monkeypatch, url, accepted) -> None:
    monkeypatch.setenv("MAIL_FROM", "a@example.com")
    monkeypatch.setenv("SMTP_URL", url)
    assert ("SMTP_URL" in problems(MailSettings)) is not accepted


@pytest.mark.parametrize("name", ["S3_ENDPOINT", "S3_PUBLIC_ENDPOINT"])
def test_objects_go_over_tls_where_it_is_deployed(monkeypatch, name) -> None:
    monkeypatch.setenv("S3_BUCKET", "images")
    monkeypatch.setenv(name, "http://s3.example")
    assert "https://" in problems(ObjectStoreSettings)[name]
    monkeypatch.setenv(name, "https://s3.example")
    assert problems(ObjectStoreSettings) == {}
