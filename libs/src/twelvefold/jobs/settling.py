"""Writes how runs ended, for as long as it takes PostgreSQL to take it.

Owns the repetition: a settlement is fenced, so that sending it again is safe, and one whose answer
was lost is looked up by its claim.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from twelvefold.database import Database
from twelvefold.errors import Contended, DependencyUnavailable, Overloaded

from .batching import Batcher
from .claim import LeaseLost, Settled, Settlement
from .contract import Registration
from .execution import Ended, Running
from .lease import Leases

_AWAY = (Contended, DependencyUnavailable, Overloaded)
_log = structlog.get_logger(__name__)


class Settler:
    """`retry` is the pause in seconds after PostgreSQL did not answer."""

    def __init__(self, database: Database, leases: Leases, *, retry: float) -> None:
        self._database = database
        self._leases = leases
        self._retry = retry
        self._batch: Batcher[Settlement, Settled | None] = Batcher(leases.settle)

    async def settle(
        self, running: Running, registration: Registration[Any] | None, ended: Ended
    ) -> Settled | None:
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
                    settled = await self._leases.settled(ended.settlement.claim)
            except _AWAY:
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

    async def _with_effects(self, ended: Ended) -> Settled | None:
        try:
            async with self._database.transaction() as unit:
                settled = await self._leases.settle_within(unit, ended.settlement)
                if ended.effects is not None:
                    await ended.effects(unit)
        except LeaseLost:
            return None
        return settled
