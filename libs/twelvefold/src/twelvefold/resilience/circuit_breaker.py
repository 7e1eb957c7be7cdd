"""Skips what does not answer for a while, so that it costs one caller a second and not each.

Owns when to ask again. What a call does instead is its own business: a cache reads from the
database, a `Guard` refuses.
"""

from __future__ import annotations

import time

import structlog

from twelvefold.observability import metrics

OPEN_SECONDS = 1.0  # seconds
_log = structlog.get_logger(__name__)


class CircuitBreaker:
    """Opens for `open_seconds` seconds after `failures` calls in a row have failed; then one call probes
    while the others go on skipping.

    Share one among everything that asks the same server: then they find out together.
    """

    def __init__(self, name: str, *, failures: int = 1, open_seconds: float = OPEN_SECONDS) -> None:
        self.name = name
        self._open_seconds = open_seconds
        self._failures = failures
        self._failed = 0  # calls in a row
        self._open_until: float | None = None

    def allow_call(self) -> bool:
        """Whether to ask now. Tell how it went by `failed` or `succeeded`."""
        if self._open_until is None:
            return True
        now = time.monotonic()
        if now < self._open_until:
            metrics.dependency_refused.labels(self.name, "unavailable").inc()
            return False
        # This call is the probe. Should it be cancelled, the next comes after another pause.
        self._open_until = now + self._open_seconds
        return True

    def record_failure(self, error: Exception) -> None:
        """Opens it, or keeps it open, for `pause` seconds from now, if that was one too many."""
        self._failed += 1
        if self._open_until is None:
            if self._failed < self._failures:
                return
            _log.warning("circuit_breaker_opened", name=self.name, error=type(error).__name__)
        self._open_until = time.monotonic() + self._open_seconds

    def record_success(self) -> None:
        self._failed = 0
        if self._open_until is not None:
            _log.info("circuit_breaker_closed", name=self.name)
            self._open_until = None
