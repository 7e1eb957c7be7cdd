"""Skips what does not answer for a while, so that it costs one caller a second and not each.

Owns when to ask again. What a call does instead is its own business: a cache reads from the
database, a `Guard` refuses.
"""

from __future__ import annotations

import time

import structlog

from . import metrics

PAUSE = 1.0  # seconds
_log = structlog.get_logger(__name__)


class Breaker:
    """Opens for `pause` seconds after `failures` calls in a row have failed; then one call probes
    while the others go on skipping.

    Share one among everything that asks the same server: then they find out together.
    """

    def __init__(self, name: str, *, failures: int = 1, pause: float = PAUSE) -> None:
        self.name = name
        self._pause = pause
        self._failures = failures
        self._failed = 0  # calls in a row
        self._open_until: float | None = None

    def allows(self) -> bool:
        """Whether to ask now. Tell how it went by `failed` or `succeeded`."""
        if self._open_until is None:
            return True
        now = time.monotonic()
        if now < self._open_until:
            metrics.dependency_refused.labels(self.name, "away").inc()
            return False
        # This call is the probe. Should it be cancelled, the next comes after another pause.
        self._open_until = now + self._pause
        return True

    def failed(self, error: Exception) -> None:
        """Opens it, or keeps it open, for `pause` seconds from now, if that was one too many."""
        self._failed += 1
        if self._open_until is None:
            if self._failed < self._failures:
                return
            _log.warning("backing_service_lost", name=self.name, error=type(error).__name__)
        self._open_until = time.monotonic() + self._pause

    def succeeded(self) -> None:
        self._failed = 0
        if self._open_until is not None:
            _log.info("backing_service_regained", name=self.name)
            self._open_until = None
