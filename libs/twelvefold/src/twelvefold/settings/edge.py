"""The settings of an edge: a service with a public API of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from .base import EnvironmentSettings
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

    users_url: str = Field(
        description="Base URL of users' internal port.", examples=["http://users:8001"]
    )
