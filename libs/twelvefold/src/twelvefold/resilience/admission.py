"""Admission to a bounded number of slots: a surge waits, and an overload is refused at once.

Owns who gets a slot and when, and who is refused. What a slot stands for (a request, a connection,
a thread) belongs to the user of the queue.

The queue tells a surge from an overload as CoDel does (RFC 8289): by how long it has stood. Unlike
CoDel's server form it refuses by the expected wait at arrival, not after a short wait, and keeps
the order of arrival. `.github/decisions/0072-a-surge-waits.md` has the comparison.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from twelvefold.context import remaining
from twelvefold.errors import Overloaded
from twelvefold.observability import metrics

MAX_WAITING = 1000  # callers in one queue
# A queue stands once its wait has been above the target for so many seconds: for longer than a
# shared node stalls, and than a burst takes to be served.
INTERVAL = 2.0
_TICK = 0.05  # seconds between two checks of the waiting callers
_STALL = 0.5  # seconds by which a check must be late for the event loop to count as stalled
_MAX_GAP = 0.25  # seconds; a longer one is a stall of somebody, and no measure of the capacity
_MIN_GAPS = 8  # gaps after which their average is believed
_WEIGHT = 1 / 64  # of the latest gap in the average


@dataclass(eq=False, slots=True)
class _Waiter:
    """A caller in the queue; its future becomes True with a slot and False at `until`."""

    granted: asyncio.Future[bool]
    since: float
    until: float


class AdmissionQueue:
    """`slots` places, and up to `max_waiting` callers who wait for one, in order of arrival.

    A caller waits for at most `max_wait` seconds. With a `target` (seconds), the queue stands once
    the wait has been longer than that for INTERVAL; until it is empty again, it takes only callers
    whose wait will be shorter. Callers who would probably wait in vain are always refused at once.
    Time during which the event loop was stalled does not count.

    `name` is that of the pool in the metrics, `refusal` the detail of Overloaded. Not thread-safe.
    """

    def __init__(
        self,
        name: str,
        *,
        slots: int,
        max_wait: float,
        max_waiting: int = MAX_WAITING,
        target: float | None = None,
        refusal: str = "Too many requests are in progress. Try again.",
    ) -> None:
        self.in_use = 0
        self._slots = slots
        self._max_wait = max_wait
        self._max_waiting = max_waiting
        self._target = target
        self._refusal = refusal
        self._waiting: deque[_Waiter] = deque()
        self._stalled = 0.0  # seconds, all in all
        self._long_since: float | None = None  # when the wait exceeded the target
        self._is_standing = False
        self._released_at = 0.0
        self._gaps = 0  # between releases, since the queue was last empty
        self._average_gap = 0.0
        self._is_ticking = False
        self._tick_due = 0.0
        metrics.register_pool(name, slots, lambda: self.in_use)
        metrics.pool_waiting.labels(name).set_function(lambda: self.waiting)
        self._waits = metrics.pool_wait.labels(name)
        self._refusals = metrics.pool_exhausted.labels(name)

    @property
    def waiting(self) -> int:
        """The number of callers in the queue."""
        return len(self._waiting)

    def enter(self) -> bool:
        """Take a free slot; return False where the caller must `wait`."""
        if self.in_use >= self._slots or self._waiting:
            return False
        self.in_use += 1
        self._waits.observe(0.0)
        return True

    async def wait(self, *, share: float = 1.0) -> None:
        """Wait for a slot: at most this `share` of `max_wait`, and until the request's deadline.

        A caller with a smaller share is also refused at a shorter queue. Raises Overloaded.
        """
        limit = remaining(share * self._max_wait)
        now = self._now()
        expected = self._expect_wait(now)
        is_too_long = self._is_too_long(now, expected, share)
        if is_too_long or expected > limit or len(self._waiting) >= self._max_waiting:
            self._refuse(expected)
        await self._queue(_Waiter(_new_future(), now, now + limit))

    async def resume(self) -> None:
        """Take a slot before all others, for a caller who gave one back and has to go on."""
        if self.in_use < self._slots:
            self.in_use += 1
        else:
            now = self._now()
            await self._queue(_Waiter(_new_future(), now, math.inf), first=True)

    def leave(self) -> None:
        """Give the slot back: to the caller who has waited longest, if any."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.granted.done():  # else it was cancelled
                now = self._now()
                self._measure_gap(now)
                waiter.granted.set_result(True)
                self._waits.observe(now - waiter.since)
                self._note_emptiness()
                return
        self.in_use -= 1
        self._note_emptiness()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot during the block. Raises Overloaded as `wait`."""
        if not self.enter():
            await self.wait()
        try:
            yield
        finally:
            self.leave()

    async def _queue(self, waiter: _Waiter, *, first: bool = False) -> None:
        if first:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        if not self._is_ticking:
            self._schedule_tick()
        try:
            granted = await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.cancelled():
                with suppress(ValueError):  # skipped already
                    self._waiting.remove(waiter)
                self._note_emptiness()
            elif waiter.granted.result():
                self.leave()
            raise
        if not granted:
            self._refuse(self._expect_wait(self._now()))

    def _refuse(self, expected: float) -> NoReturn:
        self._refusals.inc()
        raise Overloaded(self._refusal, retry_after=math.ceil(min(expected, self._max_wait)))

    def _is_too_long(self, now: float, expected: float, share: float) -> bool:
        """Return whether the queue stands and is too long for a caller with this share."""
        if self._target is None:
            return False
        if not self._is_standing:
            if expected <= self._target:
                self._long_since = None
            elif self._long_since is None:
                self._long_since = now
            else:
                self._is_standing = now - self._long_since > INTERVAL
        return self._is_standing and expected > share * self._target

    def _expect_wait(self, now: float) -> float:
        """Return the seconds that a new caller would probably wait.

        By the rate at which slots become free, or, while none does, by the age of the queue.
        """
        if not self._waiting:
            return 0.0
        measured = self._average_gap * (len(self._waiting) + 1) if self._gaps >= _MIN_GAPS else 0.0
        if measured and now - self._released_at < _MAX_GAP:
            return measured
        oldest = next((one for one in self._waiting if one.until < math.inf), None)
        return max(measured, now - oldest.since if oldest else 0.0)

    def _measure_gap(self, now: float) -> None:
        if self._gaps:
            gap = min(now - self._released_at, _MAX_GAP)
            weight = max(_WEIGHT, 1 / self._gaps)
            self._average_gap += weight * (gap - self._average_gap)
        self._gaps += 1
        self._released_at = now

    def _note_emptiness(self) -> None:
        if not self._waiting:
            self._is_standing, self._long_since = False, None
            self._gaps, self._average_gap = 0, 0.0

    def _now(self) -> float:
        """Return the time in seconds of a clock that stands still while the loop is stalled.

        It stops once a check is late by _STALL, and goes on with the next one: it never steps back.
        """
        now = time.monotonic()
        if self._is_ticking and (late := now - self._tick_due) > _STALL:
            self._stalled += late - _STALL
            self._tick_due = now - _STALL
        return now - self._stalled

    def _schedule_tick(self) -> None:
        self._is_ticking = True
        self._tick_due = time.monotonic() + _TICK
        asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _tick(self) -> None:
        """Refuse those who have waited long enough."""
        now = self._now()
        self._is_ticking = False
        if any(waiter.until <= now for waiter in self._waiting):
            for waiter in self._waiting:
                if waiter.until <= now and not waiter.granted.done():
                    waiter.granted.set_result(False)
                    self._waits.observe(now - waiter.since)
            self._waiting = deque(waiter for waiter in self._waiting if waiter.until > now)
            self._note_emptiness()
        if self._waiting:
            self._schedule_tick()


def _new_future() -> asyncio.Future[bool]:
    return asyncio.get_running_loop().create_future()
