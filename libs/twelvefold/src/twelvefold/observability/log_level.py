"""The log level of the process, and its temporary override.

Owns the level of structlog's loggers and of the standard library's. An override expires by itself,
so that an operator need not remember to undo it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import structlog

LevelName = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
OVERRIDE_DURATION = timedelta(minutes=15)
# Libraries that log too much below WARNING. The request log replaces uvicorn's access log.
NOISY_LOGGERS = (
    "uvicorn",
    "httpx",
    "httpcore",
    "aiobotocore",
    "botocore",
    "boto3",
    "asyncio",
    "arq",
)
_log = structlog.get_logger(__name__)


class LogLevel:
    """The level in force. The module's `log_level` is the only instance in use."""

    def __init__(self) -> None:
        self.number = logging.INFO  # structlog's loggers read it at each call
        self._configured = logging.INFO
        self._until: datetime | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def configure(self, name: str) -> None:
        """Set the level of the settings and end any override."""
        self._configured = logging.getLevelNamesMapping()[name]
        self._clear_override()
        self._apply(self._configured)

    def override(self, name: LevelName) -> None:
        """Set another level for OVERRIDE_DURATION. Needs a running event loop."""
        self._clear_override()
        self._until = datetime.now(UTC) + OVERRIDE_DURATION
        self._expiry = asyncio.get_running_loop().call_later(
            OVERRIDE_DURATION.total_seconds(), self.restore
        )
        self._apply(logging.getLevelNamesMapping()[name])
        _log.warning("log_level_changed", to=name, until=self._until.isoformat())

    def restore(self) -> None:
        """Return to the level of the settings now."""
        self._clear_override()
        self._apply(self._configured)
        _log.warning("log_level_restored", to=logging.getLevelName(self._configured))

    @property
    def state(self) -> Mapping[str, Any]:
        """The level in force, the level of the settings, and when an override ends (or None)."""
        return {
            "level": logging.getLevelName(self.number),
            "configured": logging.getLevelName(self._configured),
            "until": self._until.isoformat() if self._until else None,
        }

    def _clear_override(self) -> None:
        self._until = None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _apply(self, number: int) -> None:
        self.number = number
        logging.getLogger().setLevel(number)
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(max(number, logging.WARNING))


log_level = LogLevel()
