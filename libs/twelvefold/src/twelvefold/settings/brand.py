"""The settings of the brand of emails, read by every process that renders some."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .base import EnvironmentSettings


class BrandSettings(EnvironmentSettings):
    """What `mail.brand` reads."""

    prefixes: ClassVar[tuple[str, ...]] = ("MAIL_BRAND_",)

    mail_brand_name: str | None = Field(
        None,
        min_length=1,
        max_length=60,
        description="Name at the top and in the footer of emails; default: SUITE_NAME.",
    )
    mail_brand_color: str = Field(
        "#1d4ed8",
        pattern="^#[0-9a-fA-F]{6}$",
        description="Colour of buttons and links in emails; kept legible in both colour schemes.",
    )
    mail_brand_address: str = Field(
        "", max_length=200, description="Address in the footer of emails: postal, or for contact."
    )
