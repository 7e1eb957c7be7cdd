"""Skips what does not answer for a while, so that it costs one caller a second and not each.

Owns when to ask again. What a call does instead is its own business.
"""

from __future__ import annotations

import time

import structlog

PAUSE = 1.0  # seconds
_log = structlog.get_logger(__name__)


class Breaker:
    """Open for a while after a failure; then one call probes while the others go on skipping.

    Share one among everything that asks the same server: then they find out together.
    """

    def __init__(self, name: str, pause: float = PAUSE) -> None:
        self._name = name
        self._pause = pause
        self._open_until: float | None = None

    def allows(self) -> bool:
        """Whether to ask now. Tell how it went by `failed` or `succeeded`."""
        if self._open_until is None:
            return True
        now = time.monotonic()
        if now < self._open_until:
            return False
        # This call is the probe. Should it be cancelled, the next comes after another pause.
        self._open_until = now + self._pause
        return True

    def failed(self, error: Exception) -> None:
        """Opens it for `pause` seconds from now."""
        if self._open_until is None:
            _log.warning("backing_service_lost", name=self._name, error=type(error).__name__)
        self._open_until = time.monotonic() + self._pause

    def succeeded(self) -> None:
        if self._open_until is not None:
            _log.info("backing_service_regained", name=self._name)
            self._open_until = None
