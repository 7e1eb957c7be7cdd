"""How often a failed job is retried, and after which pause.

Owns the default and the formula. Each kind chooses its own numbers where it is registered.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

DEFAULT_MAX_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: jobs that failed together are not retried together."""

    base: float = 2.0  # seconds: upper bound after the first failure
    cap: float = 600.0  # seconds: upper bound after any failure

    def delay(self, failures: int, *, at_least: float = 0.0) -> float:
        """Return the seconds until the next run after `failures` (1 or more) failed runs."""
        limit = min(self.cap, self.base * 2.0 ** min(failures - 1, 30))
        return max(at_least, random.uniform(0.0, limit))  # noqa: S311 (spreads load, no secret)
