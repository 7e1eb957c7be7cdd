"""The slots of a worker, and the short jobs that it claims ahead of free slots.

While a claim is in progress, a worker of short jobs would run dry. It therefore claims as many jobs
ahead as it can expect to start within the time of one claim: none if its jobs take long. A job
waits for a slot for a bounded time, and is then returned for other workers.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable

from twelvefold.jobs.model import Fence

from .execution import JobRun

_WEIGHT = 0.1  # of the newest value in a moving average


class Slots:
    """Which claimed jobs run, and which wait for a slot."""

    def __init__(
        self,
        count: int,
        *,
        max_ahead: int,
        max_wait: float,
        start: Callable[[JobRun], None],
        give_back: Callable[[JobRun], None],
    ) -> None:
        """`start` is called with a job once a slot is free for it.

        `give_back` gets the jobs that waited for longer than `max_wait` seconds, or at the end.
        """
        self.count = count
        self._max_ahead = max_ahead
        self._max_wait = max_wait
        self._start = start
        self._give_back = give_back
        self._taken: dict[Fence, tuple[str, float]] = {}  # kind, and time of the start
        self._waiting: deque[tuple[JobRun, float]] = deque()  # with the time of the claim
        self._timer: asyncio.TimerHandle | None = None
        self._mean_run = float("inf")  # seconds
        self._mean_claim = 0.0  # seconds

    @property
    def taken(self) -> int:
        """Return the number of running jobs."""
        return len(self._taken)

    @property
    def free(self) -> int:
        """Return the number of jobs that would start at once."""
        return self.count - len(self._taken) - len(self._waiting)

    @property
    def claimable(self) -> int:
        """Return how many jobs a claim may take. Negative where too many wait."""
        return self.free + self.ahead

    @property
    def ahead(self) -> int:
        """Return how many jobs may wait for a slot."""
        return min(self._max_ahead, int(self.count * self._mean_claim / self._mean_run))

    def count_kinds(self) -> Counter[str]:
        """Return the numbers of claimed jobs by kind."""
        kinds = Counter(kind for kind, _ in self._taken.values())
        kinds.update(run.claim.kind for run, _ in self._waiting)
        return kinds

    def note_claim(self, seconds: float) -> None:
        """Take the duration of a claim into account."""
        self._mean_claim += _WEIGHT * (seconds - self._mean_claim)

    def add(self, run: JobRun) -> None:
        """Start the job, or let it wait for a slot."""
        if len(self._taken) < self.count:
            self._take(run)
        else:
            self._waiting.append((run, time.monotonic()))
            if self._timer is None:
                self._set_timer(self._max_wait)

    def release(self, run: JobRun) -> bool:
        """Free the slot of a job that has ended and start the next. False if it was free before."""
        taken = self._taken.pop(run.claim.fence, None)
        if taken is None:
            return False
        seconds = time.monotonic() - taken[1]
        if self._mean_run == float("inf"):
            self._mean_run = seconds
        self._mean_run = max(1e-6, self._mean_run + _WEIGHT * (seconds - self._mean_run))
        if self._waiting and len(self._taken) < self.count:
            self._take(self._waiting.popleft()[0])
        return True

    def give_back_waiting(self) -> None:
        """Return the jobs that wait for a slot."""
        while self._waiting:
            self._give_back(self._waiting.popleft()[0])

    def _take(self, run: JobRun) -> None:
        self._taken[run.claim.fence] = run.claim.kind, time.monotonic()
        self._start(run)

    def _set_timer(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._give_back_late)

    def _give_back_late(self) -> None:
        self._timer = None
        late = time.monotonic() - self._max_wait
        if self._waiting and self._waiting[0][1] <= late:
            self._mean_run = float("inf")  # the running jobs are not short
        while self._waiting and self._waiting[0][1] <= late:
            self._give_back(self._waiting.popleft()[0])
        if self._waiting:
            self._set_timer(self._waiting[0][1] - late)
