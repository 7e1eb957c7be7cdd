"""What a handler sees of its job: identity, lease, progress, and steps that happen once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from twelvefold.database.database import Database, Transaction
from twelvefold.jobs.claim import Claim, LeaseLost
from twelvefold.jobs.lease_repository import LeaseRepository


class JobContext:
    """What a handler knows of its job. Keys of effects outside derive from `id`."""

    def __init__(
        self,
        claim: Claim,
        *,
        leases: LeaseRepository,
        database: Database,
        on_change: Callable[[UUID, int], None],
        lease_expires_at: float,
        progress_interval: float = 0.5,
    ) -> None:
        self._claim = claim
        self._leases = leases
        self._database = database
        self._on_change = on_change
        self._progress_interval = progress_interval
        self._progressed_at = float("-inf")
        # Of `time.monotonic`; moved on by every heartbeat that was answered.
        self.lease_expires_at = lease_expires_at

    @property
    def id(self) -> UUID:
        return self._claim.id

    @property
    def owner_id(self) -> UUID | None:
        return self._claim.owner_id

    @property
    def created_at(self) -> datetime:
        return self._claim.created_at

    @property
    def attempt(self) -> int:
        """1 for the first run, counting those that ended in an error."""
        return self._claim.attempts + 1

    def require_lease(self) -> None:
        """Raises LeaseLost once the lease may have expired: ask before an effect outside."""
        if time.monotonic() >= self.lease_expires_at:
            raise LeaseLost

    async def set_progress(self, percent: int) -> None:
        """Shows how far the job is (0 to 100). What comes too soon after the last is left out."""
        now = time.monotonic()
        if now - self._progressed_at < self._progress_interval:
            return
        self._progressed_at = now
        version = await self._leases.progress(self._claim, max(0, min(100, percent)))
        if version is not None:
            self._on_change(self.id, version)

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Transaction | None]:
        """A transaction for an effect in the worker's own schema that happens once in the job's life.

        None where an earlier run has done the step. Raises LeaseLost, and then nothing of it stays.
        """
        async with self._database.transaction() as transaction:
            await self._leases.lock_claim(transaction, self._claim)
            first = await self._leases.record_step(transaction, self._claim, name)
            yield transaction if first else None
