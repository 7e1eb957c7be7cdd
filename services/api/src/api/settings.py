"""The settings of api. Names and defaults; what each is for is in its description."""

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from twelvefold.settings import (
    AccountDataSettings,
    AnalyticsSettings,
    BillingSettings,
    CallerSettings,
    EdgeSettings,
    FeatureFlags,
    ObjectStoreSettings,
    PostgresSettings,
    Quota,
    SecretKeySettings,
    StrongSecrets,
)
from twelvefold.settings.addresses import check_http_url
from twelvefold.settings.base import is_deployed

MEBIBYTE = 1024 * 1024


class ApiCoreSettings(
    EdgeSettings,
    PostgresSettings,
    SecretKeySettings,
    CallerSettings,
    AccountDataSettings,
    FeatureFlags,
    BillingSettings,
):
    """What the api process reads whatever its features are."""

    prefixes: ClassVar[tuple[str, ...]] = ("EVENTS_", "JOBS_")

    internal_secrets_worker: StrongSecrets = Field(
        description="Secrets that worker may show on the internal port, comma separated.",
        examples=["64-random-hexadecimal-characters"],
    )
    public_url: str | None = Field(
        None,
        validate_default=True,
        description="Base URL of the API in its metadata; needed where it is deployed. None: as "
        "the client called it.",
    )
    events_max_streams: int = Field(
        200, gt=0, description="Open event streams per process; beyond it 503."
    )
    jobs_max_waiting_per_owner: int = Field(
        200,
        gt=0,
        le=100_000,
        description="Jobs of one account that wait to be run, of types that users start; beyond "
        "it 429.",
    )
    rate_limit_credentials: Quota = Field(
        20, description="Logins and whatever else tries a secret, a minute by address."
    )
    rate_limit_registration: Quota = Field(10, description="Registrations a minute by address.")
    rate_limit_mail: Quota = Field(
        5, description="Mails asked for without a token, a minute by address."
    )

    @field_validator("public_url")
    @classmethod
    def _require_where_deployed(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Require it where deployed: else metadata repeats the Host header (RFC 8414, 6.2)."""
        if value is None:
            if is_deployed(info):
                raise ValueError("is required in staging and production: https://<host>")
            return None
        return check_http_url(value, is_deployed=is_deployed(info))


class ImageUploadSettings(ObjectStoreSettings):
    """The settings of images and avatars."""

    feature: ClassVar[str | None] = "enable_images"
    prefixes: ClassVar[tuple[str, ...]] = ("IMAGES_",)

    images_max_bytes: int = Field(
        10 * MEBIBYTE, gt=0, description="Largest image; beyond it 413 while it streams."
    )


class ApiSettings(ApiCoreSettings, ImageUploadSettings, AnalyticsSettings):
    """Everything that the api process reads from the environment."""
