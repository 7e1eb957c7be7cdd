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
from .brand import BrandSettings
from .edge import EdgeSettings, Quota, RateLimitSettings
from .features import AnalyticsSettings, FeatureFlags, without_disabled
from .groups import (
    BackupSettings,
    BillingSettings,
    BootstrapSettings,
    CallerSettings,
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
from .jobs import AccountDataSettings, ConsumerSettings

__all__ = [
    "AccountDataSettings",
    "AnalyticsSettings",
    "BackupSettings",
    "BillingSettings",
    "BootstrapSettings",
    "BrandSettings",
    "CallerSettings",
    "CommaList",
    "ConsumerSettings",
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
    "without_disabled",
]
