"""When a call is tried again, and for how long."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The bounds of one call's tries. Waits grow exponentially, with full jitter."""

    max_tries: int = 6
    budget: float = 30.0  # seconds for all tries and waits of a call; none starts after them
    first_wait: float = 0.1  # seconds, doubled with each try
    max_wait: float = 5.0  # seconds, where the server names no time

    def wait(self, tries: int, retry_after: float | None) -> float:
        """Return the seconds to wait after `tries` tries; at least `retry_after`.

        Clients that were refused at the same moment do not return at the same moment.
        """
        spread = min(self.max_wait, self.first_wait * 2.0**tries)
        return (retry_after or 0.0) + random.uniform(0.0, spread)  # noqa: S311  (no secret)


class RetryBudget:
    """A bound on the retries of all calls of a client, so that they add no load to an outage.

    Starts with `capacity` retries. A retry uses one, and a call that succeeds returns `refund`, so
    that in the long run at most that share of requests are retries. Safe for threads.
    """

    def __init__(self, capacity: float = 100.0, refund: float = 0.2) -> None:
        self._capacity = capacity
        self._refund = refund
        self._left = capacity
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one retry; return whether there was one."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def put_back(self) -> None:
        """Return a success's refund."""
        with self._lock:
            self._left = min(self._capacity, self._left + self._refund)
