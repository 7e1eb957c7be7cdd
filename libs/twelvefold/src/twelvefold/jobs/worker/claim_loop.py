"""When a worker claims: at wake-ups, as slots become free, and by polls of PostgreSQL.

Owns the pace of the claims, which makes batches of what becomes due in quick succession. `runner`
owns the slots, and `fair_claim` decides which jobs a claim takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from twelvefold.observability.outage_log import OutageLog

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """How many jobs a claim took, and whether the limit of a kind kept back further due jobs."""

    count: int
    limited: bool = False


@dataclass(frozen=True, slots=True)
class ClaimPace:
    """The pause after a claim, in which due jobs gather for the next one. Times are seconds.

    The pause is `factor` times the duration of the claim, so that a slow or busy PostgreSQL gets
    fewer and larger claims, but at most `longest`. An idle worker claims at once.
    """

    factor: float = 3.0
    longest: float = 0.05


class ClaimLoop:
    """The one task of a process that claims, so that no cancelled waiter loses a claimed job."""

    def __init__(
        self,
        claim: Callable[[int, float], Awaitable[ClaimResult]],
        *,
        claimable: Callable[[], int],
        capacity: Callable[[], int],
        poll_interval: Callable[[], float],
        wakeup_grace: Callable[[], float],
        retry: float,
        pace: ClaimPace,
    ) -> None:
        """`claim` takes a number of jobs that are overdue by a number of seconds and starts them.

        `claimable` returns how many it may take now, `capacity` how many an idle worker may take.
        `poll_interval` and `wakeup_grace`
        return the seconds between two polls and by which jobs are overdue that a poll takes.
        `retry`: seconds after an error.
        """
        self._claim = claim
        self._claimable = claimable
        self._capacity = capacity
        self._poll_interval = poll_interval
        self._wakeup_grace = wakeup_grace
        self._retry = retry
        self._pace = pace
        self._outage = OutageLog(_log)
        self._changed = asyncio.Event()
        self._stopping = False
        self._due = True  # there may be due jobs: the first claim takes what is there
        self._filled = False  # the last claim took as many jobs as it could
        self._earliest = 0.0  # time of the next claim, in terms of `time.monotonic`

    @property
    def accepts_wakeups(self) -> bool:
        """Return whether a wake-up leads to a claim; otherwise one is made without it."""
        return not self._stopping and not self._due

    def wake(self) -> None:
        """Claim soon, because a job became due, or jobs that were kept back may run now."""
        self._due = True
        self._changed.set()

    def free_slot(self) -> None:
        """Go on claiming if the slots were the reason to wait."""
        if self._due:
            self._changed.set()

    def stop(self) -> None:
        """Start no more claims. A claim in progress is finished."""
        self._stopping = True
        self._changed.set()

    async def run(self) -> None:
        """Claim until `stop`."""
        next_poll = time.monotonic() + self._poll_interval()
        while not self._stopping:
            self._changed.clear()
            try:
                if time.monotonic() >= next_poll:
                    await self._poll()
                    next_poll = time.monotonic() + self._poll_interval()
                await self._claim_due()
            except Exception as error:
                # PostgreSQL is unavailable, or the schema does not exist yet.
                self._outage.failed("claim_failed", error=type(error).__name__, reason=str(error))
                self._due, self._filled = True, False
                self._earliest = next_poll = time.monotonic() + self._retry
            await self._wait(self._earliest if self._may_claim else next_poll)

    @property
    def _may_claim(self) -> bool:
        return self._due and not self._stopping and self._claimable() > 0

    @property
    def _pause_is_over(self) -> bool:
        # After a full claim more jobs are due, so that half of the capacity makes a batch.
        if self._filled and 2 * self._claimable() >= self._capacity():
            return True
        return time.monotonic() >= self._earliest

    async def _claim_due(self) -> None:
        while self._may_claim and self._pause_is_over:
            self._due = False  # from here on, another wake-up leads to another claim
            limit = self._claimable()
            started = time.monotonic()
            result = await self._claim(limit, 0.0)
            self._outage.succeeded()
            ended = time.monotonic()
            pause = min(self._pace.factor * (ended - started), self._pace.longest)
            self._earliest = ended + (0.0 if result.limited else pause)
            self._filled = result.count >= limit
            if self._filled or result.limited:
                self._due = True

    async def _poll(self) -> None:
        """Claim jobs whose wake-up was lost. A full claim leads to further ones."""
        grace = self._wakeup_grace()
        if grace <= 0:
            self._due = True
            return
        limit = self._claimable()
        if limit > 0 and not self._due:
            result = await self._claim(limit, grace)
            self._outage.succeeded()
            if result.count > 0:
                self._due = True

    async def _wait(self, until: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._changed.wait()
