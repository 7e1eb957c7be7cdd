"""Settle runs: group settlements into statements and retry until PostgreSQL accepts them.

A settlement is fenced, so that sending it again is safe. One whose response was lost is found by
its claim.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from twelvefold.database.database import Database
from twelvefold.errors import DependencyUnavailable, Overloaded, TransactionConflict
from twelvefold.jobs.lease_repository import LeaseRepository
from twelvefold.jobs.model import LeaseLost, Settlement, SettlementResult

from .execution import JobOutcome, JobRun
from .registry import Registration

_UNAVAILABLE_ERRORS = (TransactionConflict, DependencyUnavailable, Overloaded)
_log = structlog.get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Group the calls that arrive during a send into the next one: one statement for many jobs.

    On an idle batcher, the calls of one turn of the event loop are sent at once. Under load, each
    job saves a round trip and a commit.
    """

    def __init__(
        self, send: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, limit: int = 100
    ) -> None:
        """`send` gets up to `limit` items and returns one result for each, in their order."""
        self._send = send
        self._limit = limit
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """Return the item's own result. Raises the error of `send` in every call of the batch."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._sending is None:
            # An empty context: a statement for many jobs belongs to no trace.
            self._sending = asyncio.create_task(
                self._drain(), name="batcher", context=contextvars.Context()
            )
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._limit]
                del self._waiting[: self._limit]
                await self._resolve(batch)
        finally:
            self._sending = None

    async def _resolve(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._send([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)


class SettlementWriter:
    """Write the outcomes of runs."""

    def __init__(self, database: Database, leases: LeaseRepository, *, retry: float) -> None:
        """`retry`: seconds to wait after PostgreSQL was unavailable."""
        self._database = database
        self._leases = leases
        self._retry = retry
        self._batch: Batcher[Settlement, SettlementResult | None] = Batcher(leases.settle)

    async def settle(
        self, run: JobRun, registration: Registration[Any], outcome: JobOutcome
    ) -> SettlementResult | None:
        """Return the state that the job is left in, or None if the lease was lost."""
        may_be_settled = False
        while True:
            try:
                if outcome.effects is None:
                    result = await self._batch(outcome.settlement)
                else:
                    result = await self._settle_with_effects(outcome)
                if result is None and may_be_settled:
                    # An earlier try may have succeeded although its response was lost.
                    result = await self._leases.find_settlement(outcome.settlement.claim)
            except _UNAVAILABLE_ERRORS:
                may_be_settled = True
                await asyncio.sleep(self._retry)
            except Exception as error:
                if outcome.effects is None:
                    # A defect of this module. The lease expires and the job is reaped.
                    _log.exception("job_not_settled")
                    return None
                outcome = run.fail(registration, error)
            else:
                return result

    async def _settle_with_effects(self, outcome: JobOutcome) -> SettlementResult | None:
        try:
            async with self._database.transaction() as transaction:
                result = await self._leases.settle_within(transaction, outcome.settlement)
                if outcome.effects is not None:
                    await outcome.effects(transaction)
        except LeaseLost:
            return None
        return result
