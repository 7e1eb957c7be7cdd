"""Settings as a service composes them, and what is wrong with them."""

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
    """As a service composes it."""


def problems(settings_class: type[EnvironmentSettings] = Suite) -> dict[str, str]:
    """Of the present environment: the variables at fault and why."""
    try:
        load(settings_class)
    except SettingsError as error:
        return {problem.name: problem.detail for problem in error.problems}
    return {}
