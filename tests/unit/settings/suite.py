"""Settings of an example service, and the problems that loading them reports."""

from __future__ import annotations

from twelvefold.settings import (
    BillingSettings,
    EnvironmentSettings,
    HttpSettings,
    PostgresSettings,
    RedisSettings,
    SecretKeySettings,
    SettingsError,
    load,
)

SECRET = "Jq4v9Zr1Xw7Tn2Lk8Bd5Hs3Fm6Gp0YcWe"
DATABASE = "postgresql://app:p@db.example/suite?sslmode=verify-full"


class Suite(HttpSettings, PostgresSettings, RedisSettings, SecretKeySettings, BillingSettings):
    """The settings class of the example service."""


def problems(settings_class: type[EnvironmentSettings] = Suite) -> dict[str, str]:
    """Return the problems of the present environment by variable."""
    try:
        load(settings_class)
    except SettingsError as error:
        return {problem.name: problem.detail for problem in error.problems}
    return {}
