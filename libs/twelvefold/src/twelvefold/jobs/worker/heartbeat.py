"""Renew the leases of running jobs and cancel handlers whose lease was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import structlog

from twelvefold.jobs.lease_repository import LeaseRepository
from twelvefold.jobs.model import Fence

from .execution import JobRun, StopReason

_log = structlog.get_logger(__name__)


class LeaseRenewer:
    """Renew the leases of all `runs` with one statement per heartbeat."""

    def __init__(
        self,
        leases: LeaseRepository,
        runs: Mapping[Fence, JobRun],
        *,
        interval: float,
        retry: float,
    ) -> None:
        """`interval`: seconds between heartbeats. `retry`: seconds after one that failed."""
        self._leases = leases
        self._runs = runs
        self._interval = interval
        self._retry = min(retry, interval)
        self._renew_requested = asyncio.Event()

    def renew_now(self) -> None:
        """Make the next heartbeat due at once."""
        self._renew_requested.set()

    async def run(self) -> None:
        """Renew leases until cancelled, and stop runs whose lease could not be renewed in time."""
        pause = self._interval
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._renew_requested.wait()
            except TimeoutError:
                pass
            self._renew_requested.clear()
            try:
                await self.renew()
                pause = self._interval
            except Exception as error:
                _log.warning("heartbeat_failed", error=type(error).__name__)
                pause = self._retry
            for run in list(self._runs.values()):
                if time.monotonic() >= run.job.lease_expires_at:
                    run.stop(StopReason.LEASE_EXPIRED)

    async def renew(self) -> None:
        """Renew every lease, and stop runs whose lease is lost or whose job is to be cancelled."""
        runs = list(self._runs.values())
        if not runs:
            return
        expires_at = time.monotonic() + self._leases.config.lease
        renewed = await self._leases.renew([run.claim.fence for run in runs])
        for run in runs:
            cancel_requested = renewed.get(run.claim.fence)
            if cancel_requested is None:
                run.stop(StopReason.LEASE_LOST)
                continue
            run.job.lease_expires_at = expires_at
            if cancel_requested:
                run.stop(StopReason.CANCELLED)
