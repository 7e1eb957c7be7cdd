"""The context that a handler gets: identity, lease, progress, and steps that happen once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from twelvefold.database.database import Database, Transaction
from twelvefold.jobs.lease_repository import LeaseRepository
from twelvefold.jobs.model import Claim, LeaseLost


class JobContext:
    """A handler's view of its job. Derive the keys of external effects from `id`."""

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
        self._last_progress_at = float("-inf")
        # In terms of `time.monotonic`. Each successful heartbeat extends it.
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
        """Return 1 plus the number of earlier runs that ended in an error."""
        return self._claim.attempts + 1

    def require_lease(self) -> None:
        """Raise LeaseLost if the lease may have expired. Call this before an external effect."""
        if time.monotonic() >= self.lease_expires_at:
            raise LeaseLost

    async def set_progress(self, percent: int) -> None:
        """Record the progress in per cent (0 to 100). Calls in quick succession are skipped."""
        now = time.monotonic()
        if now - self._last_progress_at < self._progress_interval:
            return
        self._last_progress_at = now
        version = await self._leases.record_progress(self._claim, max(0, min(100, percent)))
        if version is not None:
            self._on_change(self.id, version)

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Transaction | None]:
        """Open a transaction for an effect in the worker's own schema that happens once per job.

        Yields None if an earlier run did the step. Raises LeaseLost; then nothing is committed.
        """
        async with self._database.transaction() as transaction:
            await self._leases.lock_claim(transaction, self._claim)
            is_new = await self._leases.record_step(transaction, self._claim, name)
            yield transaction if is_new else None
