"""The settings of processes that run jobs, or that ask each service for data of an account."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from .addresses import check_http_url
from .base import CommaList, EnvironmentSettings
from .groups import PostgresSettings, RedisSettings


class ConsumerSettings(PostgresSettings, RedisSettings):
    """What `jobs.worker.consumer` reads."""

    prefixes: ClassVar[tuple[str, ...]] = ("WORKER_",)

    worker_concurrency: int = Field(
        10, ge=1, le=100, description="Jobs running at a time in this process."
    )
    worker_grace: float = Field(
        50.0,
        ge=0,
        description="Seconds for running jobs to end at SIGTERM; then they are released.",
    )
    worker_lease: float = Field(
        30.0,
        ge=3,
        description="Seconds without a heartbeat after which other workers take over a job.",
    )
    worker_unusable_window: float = Field(
        3600.0,
        gt=0,
        description="Seconds that a job with an unknown payload waits for a newer worker.",
    )


class AccountDataSettings(EnvironmentSettings):
    """Where `http.account_data` finds the services that keep data of accounts."""

    prefixes: ClassVar[tuple[str, ...]] = ("ACCOUNT_",)

    account_data_urls: CommaList = Field(
        default_factory=list,
        description="Internal ports of further services that keep data of accounts: comma "
        "separated, as `billing=http://billing:8001`.",
    )

    @field_validator("account_data_urls")
    @classmethod
    def _check_account_data_urls(cls, value: list[str], info: ValidationInfo) -> list[str]:
        for entry in filter(None, value):
            name, _, url = entry.partition("=")
            if not name.strip() or not url:
                raise ValueError(f"must be name=url, not {entry!r}")
            # A port inside the cluster, which the mesh encrypts.
            check_http_url(url.strip(), is_deployed=False)
        return [entry for entry in value if entry]

    @property
    def account_data_services(self) -> dict[str, str]:
        """The base URLs of the services by name."""
        pairs = (entry.partition("=") for entry in self.account_data_urls)
        return {name.strip(): url.strip() for name, _, url in pairs}
