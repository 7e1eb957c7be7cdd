"""The settings of worker."""

from typing import ClassVar

from pydantic import Field

from twelvefold.settings import (
    AccountDataSettings,
    BrandSettings,
    CallerSettings,
    ConsumerSettings,
    FeatureFlags,
    MailSettings,
    ObjectStoreSettings,
    ServiceSettings,
)

MEBIBYTE = 1024 * 1024


class WorkerCoreSettings(
    ServiceSettings,
    ConsumerSettings,
    MailSettings,
    BrandSettings,
    CallerSettings,
    AccountDataSettings,
    FeatureFlags,
):
    """The settings that the worker process reads whatever its features are."""

    users_url: str = Field(
        description="Base URL of users' internal port.", examples=["http://users:8001"]
    )
    api_url: str = Field(
        description="Base URL of api's internal port.", examples=["http://api:8001"]
    )
    http_lame_duck: float = Field(
        0.0, ge=0, description="Only probes call a worker, so it skips the lame-duck phase."
    )
    worker_queue: str = Field(
        "default", min_length=1, max_length=100, description="Queue that this process works on."
    )
    worker_mail_concurrency: int = Field(
        5,
        ge=1,
        le=100,
        description="Emails sent at a time: limits the jobs that a slow mail server delays.",
    )
    worker_retention_days: float = Field(
        7.0,
        gt=0,
        description="Days for which ended jobs are kept; dead jobs are kept for an operator.",
    )


class ImageProcessingSettings(ObjectStoreSettings):
    """The settings of the kinds that read and write the bucket."""

    feature: ClassVar[str | None] = "enable_images"
    prefixes: ClassVar[tuple[str, ...]] = ("IMAGE_",)

    worker_image_concurrency: int = Field(
        2, ge=1, le=32, description="Images decoded at a time; each may take IMAGE_MEMORY_BYTES."
    )
    worker_orphan_hours: float = Field(
        24.0, ge=0, description="Hours after which an object that belongs to no row is deleted."
    )
    image_max_pixels: int = Field(
        25_000_000, gt=0, description="Most pixels of an image; larger ones are rejected."
    )
    image_max_bytes: int = Field(
        10 * MEBIBYTE, gt=0, description="Most bytes of an image file; larger ones are rejected."
    )
    image_memory_bytes: int = Field(
        512 * MEBIBYTE, ge=128 * MEBIBYTE, description="Address space of one decoding child."
    )
    image_seconds: int = Field(
        20,
        ge=1,
        description="CPU seconds of one decoding child; its wall-clock limit is twice that.",
    )


class WorkerSettings(WorkerCoreSettings, ImageProcessingSettings):
    """All settings that the worker process reads from the environment."""
