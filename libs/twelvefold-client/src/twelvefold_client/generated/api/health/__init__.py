"""The operations with the tag health."""

from __future__ import annotations

import datetime
from typing import Any, cast
from uuid import UUID

from ...client import AsyncCaller, Caller
from ...models.problem import Problem
from ...models.status import Status
from ...types import UNSET, Response, Unset, Upload
from . import get_health as _get_health
from . import get_ready as _get_ready


class HealthOperations(Caller):
    """The operations with the tag health."""

    def get_health(
        self,
    ) -> Status:
        """Get the health of the API.

        The same as /ready, for monitoring.
        """

        return self.get_health_detailed().parsed

    def get_health_detailed(
        self,
    ) -> Response[Status]:
        """As `get_health`, and return the status and the header fields as well."""
        return self._call(
            _get_health.OPERATION,
            _get_health.build(),
        )

    def get_ready(
        self,
    ) -> Status:
        """Get whether the API takes requests.

        503 only while the process starts or drains; a lost backing service is `degraded`.
        """

        return self.get_ready_detailed().parsed

    def get_ready_detailed(
        self,
    ) -> Response[Status]:
        """As `get_ready`, and return the status and the header fields as well."""
        return self._call(
            _get_ready.OPERATION,
            _get_ready.build(),
        )


class AsyncHealthOperations(AsyncCaller):
    """The operations with the tag health."""

    async def get_health(
        self,
    ) -> Status:
        """Get the health of the API.

        The same as /ready, for monitoring.
        """

        return (await self.get_health_detailed()).parsed

    async def get_health_detailed(
        self,
    ) -> Response[Status]:
        """As `get_health`, and return the status and the header fields as well."""
        return await self._call(
            _get_health.OPERATION,
            _get_health.build(),
        )

    async def get_ready(
        self,
    ) -> Status:
        """Get whether the API takes requests.

        503 only while the process starts or drains; a lost backing service is `degraded`.
        """

        return (await self.get_ready_detailed()).parsed

    async def get_ready_detailed(
        self,
    ) -> Response[Status]:
        """As `get_ready`, and return the status and the header fields as well."""
        return await self._call(
            _get_ready.OPERATION,
            _get_ready.build(),
        )
