"""Typed settings from the environment (12factor.net/config).

A service's settings class inherits the groups that it uses; `load` reads and checks them.
"""

from .base import (
    CommaList,
    Environment,
    EnvironmentSettings,
    SettingProblem,
    SettingsError,
    StrongSecret,
    StrongSecrets,
    choose_semantic_conventions,
    load,
    process_environment,
)
from .edge import EdgeSettings, Quota, RateLimitSettings
from .groups import (
    BackupSettings,
    BillingSettings,
    BootstrapSettings,
    CallerSettings,
    FeatureFlags,
    HttpSettings,
    MailSettings,
    MigrationSettings,
    ObjectStoreSettings,
    PostgresSettings,
    RedisSettings,
    SecretKeySettings,
    ServiceSettings,
    TelemetrySettings,
    TokenSettings,
)

__all__ = [
    "BackupSettings",
    "BillingSettings",
    "BootstrapSettings",
    "CallerSettings",
    "CommaList",
    "EdgeSettings",
    "Environment",
    "EnvironmentSettings",
    "FeatureFlags",
    "HttpSettings",
    "MailSettings",
    "MigrationSettings",
    "ObjectStoreSettings",
    "PostgresSettings",
    "Quota",
    "RateLimitSettings",
    "RedisSettings",
    "SecretKeySettings",
    "ServiceSettings",
    "SettingProblem",
    "SettingsError",
    "StrongSecret",
    "StrongSecrets",
    "TelemetrySettings",
    "TokenSettings",
    "choose_semantic_conventions",
    "load",
    "process_environment",
]
