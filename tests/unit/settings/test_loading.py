"""Loading: all problems at once, unknown names, files, and no value in a message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.settings.suite import SECRET, Suite, problems

from twelvefold.settings import (
    CommaList,
    Environment,
    EnvironmentSettings,
    FeatureFlags,
    MailSettings,
    ObjectStoreSettings,
    SettingsError,
    load,
    process_environment,
)


def test_a_complete_and_safe_environment_loads(given) -> None:
    given(PORT="9090", HTTP_TRUSTED_PROXIES="10.0.0.0/8, 127.0.0.1", DATABASE_POOL_SIZE="7")
    settings = load(Suite)
    assert settings.environment is Environment.PRODUCTION
    assert settings.port == 9090
    assert settings.http_trusted_proxies == ["10.0.0.0/8", "127.0.0.1"]
    assert settings.database_pool_size == 7
    assert settings.secret_key.get_secret_value() == SECRET


def test_every_problem_is_named_at_once(given) -> None:
    given(
        DATABASE_URL="postgresql://app:p@db.example/suite",
        REDIS_URL=None,
        SECRET_KEY="changeme",
        DEBUG="true",
        PORT="70000",
        DATABASE_POOL_SIZ="9",
        STRIPE_API_KEY="sk_test_1",
    )
    found = problems()
    assert found.keys() == {
        "DATABASE_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "DEBUG",
        "PORT",
        "DATABASE_POOL_SIZ",
        "STRIPE_API_KEY",
    }
    assert "missing" in found["REDIS_URL"]
    assert "REDIS_URL_FILE" in found["REDIS_URL"]
    assert "TLS" in found["DATABASE_URL"]


def test_no_problem_ever_shows_a_value(given) -> None:
    given(
        DATABASE_URL="mysql://app:hunter2@db",
        REDIS_URL="http://:hunter2@cache",
        SECRET_KEY="hunter2",
        STRIPE_API_KEY="sk_test_hunter2",
        PORT="hunter2",
        LOG_LEVEL="hunter2",
        DATABASE_HUNTER="hunter2",
    )
    with pytest.raises(SettingsError) as caught:
        load(Suite)
    assert len(caught.value.problems) == 7
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_shown_by_the_settings_either(given) -> None:
    given()
    settings = load(Suite)
    assert SECRET not in repr(settings)
    assert "app:p@" not in f"{settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABASE_POOL_SIZ", "DATABASE_POOL_SIZE"),
        ("REDIS_TIMEOUTS", "REDIS_TIMEOUT"),
        ("STRIPE_KEY", "STRIPE_API_KEY"),
        ("HTTP_MAX_BODY_BYTE", "HTTP_MAX_BODY_BYTES"),
    ],
)
def test_an_unknown_name_with_a_known_prefix_is_refused_with_the_nearest_known_one(
    given, name, meant
) -> None:
    given(**{name: "1"})
    found = problems()
    assert found.keys() == {name}
    assert f"did you mean {meant}?" in found[name]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LOG_LEVL", "LOG_LEVEL"),
        ("LOG_LEVLE", "LOG_LEVEL"),
        ("LOG_FORMATS", "LOG_FORMAT"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASEURL", "DATABASE_URL"),
        ("ENVIROMENT", "ENVIRONMENT"),
        ("SECRET_KAY", "SECRET_KEY"),
        ("DATABSE_URL_FILE", "DATABASE_URL_FILE"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_one_that_was_meant(given, name, meant) -> None:
    given(**{name: "1"})
    assert f"did you mean {meant}?" in problems()[name]


def test_a_name_of_another_service_is_no_misspelling(given) -> None:
    class Other(EnvironmentSettings):
        log_levels: str = ""

    given(LOG_LEVELS="1")
    assert Other.model_fields
    assert problems() == {}


@pytest.mark.parametrize(
    ("given_origins", "origins"),
    [
        ("https://app.example.com/", ["https://app.example.com"]),
        ("HTTPS://App.Example.com:443", ["https://app.example.com"]),
        (
            "http://localhost:5173, https://a.example",
            ["http://localhost:5173", "https://a.example"],
        ),
        ("http://[::1]:80/,", ["http://[::1]"]),
    ],
)
def test_an_origin_is_taken_as_browsers_send_it(given, given_origins, origins) -> None:
    given(HTTP_CORS_ORIGINS=given_origins)
    assert load(Suite).http_cors_origins == origins


@pytest.mark.parametrize(
    ("origins", "reason"),
    [
        ('["https://a.example","https://b.example"]', "not JSON"),
        ("app.example.com", "scheme"),
        ("localhost:5173", "scheme"),
        ("null", "scheme"),
        ("https://a.example/app", "without a path"),
        ("https://user@a.example", "without a path"),
        ("ftp://a.example", "https://"),
        ("https://b\u00fccher.example", "xn--"),
        ("https://a.example:port", "valid host and port"),
        ("https://a.example https://b.example", "without a path"),
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused(given, origins, reason) -> None:
    given(HTTP_CORS_ORIGINS=origins)
    assert reason in problems()["HTTP_CORS_ORIGINS"]


def test_an_unknown_name_like_no_known_one_is_refused_without_a_suggestion(given) -> None:
    given(REDIS_QQQQ_ZZZZZZZZZZZZZZZZZZZZZ="1")
    assert "did you mean" not in problems()["REDIS_QQQQ_ZZZZZZZZZZZZZZZZZZZZZ"]


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PATH", "KUBERNETES_PORT"]
)
def test_names_of_other_programs_are_ignored(given, name) -> None:
    given(**{name: "http://proxy.example:3128"})
    assert problems() == {}


def test_names_of_groups_that_a_service_does_not_use_are_ignored(given) -> None:
    given(S3_BUCKE="images", MAIL_FORM="x")
    assert problems() == {}


def test_an_empty_variable_counts_as_not_set(given) -> None:
    given(STRIPE_API_KEY="", DATABASE_POOL_SIZE="")
    assert load(Suite).stripe_api_key is None
    given(SECRET_KEY="")
    assert "missing" in problems()["SECRET_KEY"]


def test_a_secret_may_be_the_content_of_a_file(given, tmp_path) -> None:
    file = tmp_path / "secret-key"
    file.write_text(f"{SECRET}\n")
    given(SECRET_KEY=None, SECRET_KEY_FILE=str(file))
    assert load(Suite).secret_key.get_secret_value() == SECRET


def test_a_variable_counts_before_its_file(given, tmp_path) -> None:
    file = tmp_path / "secret-key"
    file.write_text(SECRET[::-1])
    given(SECRET_KEY_FILE=str(file))
    assert load(Suite).secret_key.get_secret_value() == SECRET


def test_what_a_file_holds_is_checked_like_a_variable(given, tmp_path) -> None:
    file = tmp_path / "database-url"
    file.write_text("postgresql://db.example/suite")
    given(DATABASE_URL=None, DATABASE_URL_FILE=str(file))
    assert "TLS" in problems()["DATABASE_URL"]


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_file_that_cannot_be_read_is_named_with_everything_else(given, tmp_path, kind) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    if kind == "binary":
        path.write_bytes(b"\xff" + SECRET.encode())
    given(SECRET_KEY=None, SECRET_KEY_FILE=str(path), REDIS_URL="redis://x", REDIS_TIMEOUTS="1")
    found = problems()
    assert found.keys() == {"SECRET_KEY_FILE", "REDIS_URL", "REDIS_TIMEOUTS"}
    assert str(path) in found["SECRET_KEY_FILE"]
    assert SECRET not in found["SECRET_KEY_FILE"]


def test_a_misspelt_file_variable_is_refused_too(given) -> None:
    given(DATABASE_URI_FILE="/run/secrets/database")
    assert "did you mean DATABASE_URL_FILE?" in problems()["DATABASE_URI_FILE"]


def test_mail_needs_smtp_or_sendgrid(given) -> None:
    given(MAIL_FROM="a@b.example")
    assert problems(MailSettings).keys() == {"SENDGRID_API_KEY"}
    given(MAIL_FROM="a@b.example", SMTP_URL="smtp://mail")
    assert problems(MailSettings) == {}
    given(MAIL_FROM="a@b.example", SMTP_URL=None, SENDGRID_API_KEY="SG.key")
    assert problems(MailSettings) == {}


def test_caching_is_on_unless_it_is_switched_off(monkeypatch) -> None:
    assert load(FeatureFlags).enable_caching is True
    monkeypatch.setenv("ENABLE_CACHING", "false")
    assert load(FeatureFlags).enable_caching is False


def test_s3_takes_the_credentials_of_the_platform(monkeypatch) -> None:
    monkeypatch.setenv("S3_BUCKET", "images")
    settings = load(ObjectStoreSettings)
    assert settings.s3_access_key_id is None
    assert settings.s3_endpoint is None


def test_a_list_of_one_and_an_empty_list_are_lists(monkeypatch) -> None:
    class Lists(EnvironmentSettings):
        names: CommaList = []

    monkeypatch.setenv("NAMES", "one")
    assert load(Lists).names == ["one"]
    monkeypatch.setenv("NAMES", "")
    assert load(Lists).names == []


def test_settings_do_not_change(given) -> None:
    given()
    settings = load(Suite)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # what is tested


def test_the_environment_for_a_child_is_a_copy(monkeypatch) -> None:
    monkeypatch.setenv("NAME", "value")
    copy = process_environment()
    assert copy["NAME"] == "value"
    copy["NAME"] = "another"
    assert os.environ["NAME"] == "value"


def test_the_environment_is_read_in_settings_only() -> None:
    root = Path(__file__).parents[3]
    readers = {
        path.relative_to(root).as_posix()
        for folder in ("libs", "services")
        for path in (root / folder).rglob("*.py")
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    }
    assert readers == {"libs/twelvefold/src/twelvefold/settings/base.py"}
