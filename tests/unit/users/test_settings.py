"""Settings of users: keys and links that would be unsafe or unusable are refused by name."""

import json

import pytest

from twelvefold.security.keys import KeySet
from twelvefold.settings import SettingsError, load
from twelvefold.settings.reference import example
from users.settings import UsersSettings

GOOD = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://users_app:x@db.internal/twelvefold?sslmode=verify-full",
    "REDIS_URL": "rediss://redis.internal:6379/0",
    "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "INTERNAL_SECRETS_API": "fedcba9876543210fedcba9876543210",
    "INTERNAL_SECRETS_WORKER": "abcdef9876543210fedcba9876543210",
    "JWT_SIGNING_KEYS": KeySet.generate().to_json(),
    "WEB_URL": "https://app.twelvefold.test/base/",
}


@pytest.fixture
def environment(monkeypatch):
    def given(**changes):
        for name, value in {**GOOD, **changes}.items():
            monkeypatch.setenv(name, value)

    return given


def test_a_deployed_service_starts_with_keys_and_links_of_its_own(environment):
    environment()
    settings = load(UsersSettings)
    assert settings.web_url == "https://app.twelvefold.test/base"
    assert '"d"' not in repr(settings)


EXAMPLE_KEYS = example(UsersSettings).jwt_signing_keys.get_secret_value()
RETIRED_KEYS = json.dumps(KeySet.generate().public_jwks())


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("JWT_SIGNING_KEYS", "-----BEGIN EC PRIVATE KEY-----", "is not JSON"),
        ("JWT_SIGNING_KEYS", RETIRED_KEYS, "no private part"),
        ("JWT_SIGNING_KEYS", EXAMPLE_KEYS, "documented example"),
        ("WEB_URL", "http://app.twelvefold.test", "https"),
        ("WEB_URL", "app.twelvefold.test", "URL"),
        ("ARGON2_MEMORY", "8192", "at least 19456"),
        ("ARGON2_PASSES", "1", "at least 2"),
        ("ARGON2_MEMROY", "65536", "did you mean ARGON2_MEMORY"),
    ],
)
def test_an_unsafe_value_is_refused_by_name_and_not_repeated(environment, name, value, fault):
    environment(**{name: value})
    with pytest.raises(SettingsError) as refused:
        load(UsersSettings)
    (problem,) = refused.value.problems
    assert problem.name == name
    assert fault in problem.detail
    assert json.loads(EXAMPLE_KEYS)["keys"][0]["d"] not in str(refused.value)


def test_the_documented_example_signs_on_a_laptop():
    assert KeySet.from_json(EXAMPLE_KEYS).signing_kid
