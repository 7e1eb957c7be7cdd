"""Writes how runs ended, for as long as it takes PostgreSQL to take it.

Owns the repetition: a settlement is fenced, so that sending it again is safe, and one whose answer
was lost is looked up by its claim.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from twelvefold.database.database import Database
from twelvefold.errors import DependencyUnavailable, Overloaded, TransactionConflict
from twelvefold.jobs.claim import LeaseLost, Settlement, SettlementResult
from twelvefold.jobs.lease_repository import LeaseRepository

from .batching import Batcher
from .execution import JobOutcome, JobRun
from .registry import Registration

_UNAVAILABLE_ERRORS = (TransactionConflict, DependencyUnavailable, Overloaded)
_log = structlog.get_logger(__name__)


class SettlementWriter:
    """`retry` is the pause in seconds after PostgreSQL did not answer."""

    def __init__(self, database: Database, leases: LeaseRepository, *, retry: float) -> None:
        self._database = database
        self._leases = leases
        self._retry = retry
        self._batch: Batcher[Settlement, SettlementResult | None] = Batcher(leases.settle)

    async def settle(
        self, running: JobRun, registration: Registration[Any] | None, ended: JobOutcome
    ) -> SettlementResult | None:
        """The state that the job is left in; None where the lease was lost."""
        unsure = False
        while True:
            try:
                if ended.effects is None:
                    settled = await self._batch(ended.settlement)
                else:
                    settled = await self._with_effects(ended)
                if settled is None and unsure:
                    # The answer to an earlier try was lost, not the try.
                    settled = await self._leases.find_settlement(ended.settlement.claim)
            except _UNAVAILABLE_ERRORS:
                unsure = True
                await asyncio.sleep(self._retry)
            except Exception as error:
                if ended.effects is None or registration is None:
                    # A defect of ours. The lease expires and the reaper finds the job.
                    _log.exception("job_not_settled")
                    return None
                ended = running.failed(registration, error)
            else:
                return settled

    async def _with_effects(self, ended: JobOutcome) -> SettlementResult | None:
        try:
            async with self._database.transaction() as transaction:
                settled = await self._leases.settle_within(transaction, ended.settlement)
                if ended.effects is not None:
                    await ended.effects(transaction)
        except LeaseLost:
            return None
        return settled
