"""One log line for an outage, however often the call is repeated meanwhile."""

from __future__ import annotations

from typing import Any


class OutageLog:
    """Logs the first of consecutive failures; the next one after a success is logged again.

    `log` is the module's own structlog logger.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._logged = False

    def failed(self, event: str, **fields: Any) -> None:
        """Log `event` as a warning, unless this outage was logged already."""
        if not self._logged:
            self._log.warning(event, **fields)
        self._logged = True

    def succeeded(self) -> None:
        """End the outage, if there was one."""
        self._logged = False
