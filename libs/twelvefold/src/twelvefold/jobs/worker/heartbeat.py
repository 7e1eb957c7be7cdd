"""Keeps the leases of running jobs, and stops the handlers of those that are lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog

from twelvefold.jobs.claim import Fence
from twelvefold.jobs.lease_repository import LeaseRepository

from .execution import JobRun, StopReason

_log = structlog.get_logger(__name__)


class LeaseRenewer:
    """One statement a beat for all that is `running`. Times in seconds."""

    def __init__(
        self,
        leases: LeaseRepository,
        running: Mapping[Fence, JobRun],
        *,
        interval: float,
        retry: float,
    ) -> None:
        self._leases = leases
        self._running = running
        self._interval = interval
        self._retry = min(retry, interval)
        self._now = asyncio.Event()

    def renew_now(self) -> None:
        """Does not wait for the interval to pass."""
        self._now.set()

    async def run(self) -> None:
        """Also while PostgreSQL is away: then what could not be extended in time is stopped."""
        pause = self._interval
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._now.wait()
            except TimeoutError:
                pass
            self._now.clear()
            try:
                await self.renew()
                pause = self._interval
            except Exception as error:
                _log.warning("heartbeat_failed", error=type(error).__name__)
                pause = self._retry
            for running in list(self._running.values()):
                if time.monotonic() >= running.job.lease_expires_at:
                    running.stop(StopReason.LEASE_EXPIRED)

    async def renew(self) -> None:
        """Extends every lease, and stops what is lost or was asked to stop."""
        held: Sequence[JobRun] = list(self._running.values())
        if not held:
            return
        until = time.monotonic() + self._leases.terms.lease
        found = await self._leases.heartbeat([one.claim.fence for one in held])
        for one in held:
            asked = found.get(one.claim.fence)
            if asked is None:
                one.stop(StopReason.LEASE_LOST)
                continue
            one.job.lease_expires_at = until
            if asked:
                one.stop(StopReason.CANCELLED)
