"""The settings of users. Names and defaults; what each is for is in its description."""

import json
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from twelvefold.settings import (
    AnalyticsSettings,
    CommaList,
    Environment,
    EnvironmentSettings,
    FeatureFlags,
    PostgresSettings,
    RedisSettings,
    SecretKeySettings,
    ServiceSettings,
    StrongSecrets,
    TokenSettings,
)

# The key of RFC 7515 appendix A.3. It is public, so deployed environments refuse it.
_EXAMPLE_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
}
# The least that OWASP's password storage cheat sheet recommends for argon2id.
_MIN_ARGON2 = {"argon2_memory": 19_456, "argon2_passes": 2}


class UsersCoreSettings(
    ServiceSettings,
    PostgresSettings,
    RedisSettings,
    SecretKeySettings,
    TokenSettings,
    FeatureFlags,
):
    """What the users process reads whatever its features are."""

    prefixes: ClassVar[tuple[str, ...]] = ("ARGON2_", "LOGIN_", "EMAILS_")

    jwt_signing_keys: SecretStr = Field(
        description="JWK set of private ES256 keys: the first signs, every one verifies.",
        examples=[json.dumps({"keys": [_EXAMPLE_KEY]})],
    )
    jwt_scopes: CommaList = Field(
        default_factory=list,
        description="Scopes of every access token besides those of api: what further services "
        "require, comma separated.",
    )
    internal_secrets_api: StrongSecrets = Field(
        description="Secrets that api may show on the internal port, comma separated.",
        examples=["64-random-hexadecimal-characters"],
    )
    internal_secrets_worker: StrongSecrets = Field(
        description="The same for worker.", examples=["64-random-hexadecimal-characters"]
    )
    web_url: str = Field(
        description="Base URL of the pages that mailed links lead to.",
        examples=["https://app.example.com"],
    )
    login_attempts: int = Field(
        20,
        ge=3,
        description="Wrong passwords per account and address in 15 minutes; beyond 429.",
    )
    emails_per_recipient: int = Field(
        6,
        gt=0,
        le=1_000_000,
        description="Emails of one purpose to one address per hour; beyond it 429.",
    )
    argon2_memory: int = Field(
        65_536, ge=1024, description="KiB that hashing one password takes; deployed at least 19456."
    )
    argon2_passes: int = Field(3, ge=1, description="Passes over that memory; deployed at least 2.")
    argon2_threads: int = Field(
        4, ge=1, le=64, description="Passwords hashed at a time, each in memory of its own."
    )
    argon2_queue: int = Field(
        128, ge=0, description="Passwords waiting to be hashed; beyond it 503."
    )

    argon2_wait: float = Field(
        4.0, gt=0, description="Seconds that one may wait; who would wait longer gets 503 at once."
    )

    @field_validator("jwt_signing_keys")
    @classmethod
    def _keys_that_sign(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        from twelvefold.security.keys import KeySet  # the cryptography is slow to import

        keys = KeySet.from_json(value.get_secret_value()).public_jwks()["keys"]
        environment = info.data.get("environment", Environment.PRODUCTION)
        if environment.is_deployed and any(key["x"] == _EXAMPLE_KEY["x"] for key in keys):
            raise ValueError("is the documented example: generate a key of your own")
        return value

    @field_validator("argon2_memory", "argon2_passes")
    @classmethod
    def _at_least_the_minimum(cls, value: int, info: ValidationInfo) -> int:
        environment = info.data.get("environment", Environment.PRODUCTION)
        minimum = _MIN_ARGON2[info.field_name or ""]
        if environment.is_deployed and value < minimum:
            raise ValueError(f"must be at least {minimum} outside development")
        return value

    @field_validator("web_url")
    @classmethod
    def _base_url(cls, value: str, info: ValidationInfo) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise ValueError("must be an http:// or https:// URL without a query")
        environment = info.data.get("environment", Environment.PRODUCTION)
        if environment.is_deployed and parts.scheme != "https":
            raise ValueError("must be https:// outside development: links in it carry tokens")
        return value.rstrip("/")


class AvatarSettings(EnvironmentSettings):
    """The feature of avatars. It has no settings of its own."""

    feature: ClassVar[str | None] = "enable_images"


class UsersSettings(UsersCoreSettings, AvatarSettings, AnalyticsSettings):
    """Everything that the users process reads from the environment."""
