"""The settings of an edge: a service with a public API of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from .base import EnvironmentSettings, is_deployed
from .groups import RedisSettings, ServiceSettings, TokenSettings

# Up to 1,000,000 per minute the interval of a token is at least a whole microsecond.
Quota = Annotated[int, Field(gt=0, le=1_000_000)]


class RateLimitSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("RATE_LIMIT_",)

    rate_limit_anonymous: Quota = Field(
        60, description="Requests a minute by address, without a valid token; beyond it 429."
    )
    rate_limit_user: Quota = Field(300, description="Requests a minute of one account.")
    rate_limit_admin: Quota = Field(1200, description="Requests a minute of one admin.")


class EdgeSettings(ServiceSettings, RedisSettings, TokenSettings, RateLimitSettings):
    """What `http.edge` reads. The service adds its own limits as `rate_limit_<name>`."""

    prefixes: ClassVar[tuple[str, ...]] = ("DOCS_",)

    users_url: str = Field(
        description="Base URL of users' internal port.", examples=["http://users:8001"]
    )
    docs_demo_account: Path | None = Field(
        None,
        description="JSON file with `email` and `password` of an account that /docs offers to log "
        "in, to browsers on the same machine; on a laptop only.",
    )

    @field_validator("docs_demo_account")
    @classmethod
    def _refuse_demo_where_deployed(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and is_deployed(info):
            raise ValueError("is for development only")
        return value
