"""How much a process logs, and for how long another level than that of its settings is in force.

Owns the level of the whole process, ours and the standard library's. Somebody who looks for a
fault at night forgets to turn it back: so it falls back by itself.
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
# Libraries that tell too much below a warning. uvicorn's access log is replaced by ours.
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
    """The one of this process is `log_level`."""

    def __init__(self) -> None:
        self.number = logging.INFO  # read by every logger of ours at each call
        self._usual = logging.INFO
        self._until: datetime | None = None
        self._falling_back: asyncio.TimerHandle | None = None

    def configure(self, name: str) -> None:
        """The level of the settings."""
        self._usual = logging.getLevelNamesMapping()[name]
        self._forget()
        self._apply(self._usual)

    def override(self, name: LevelName) -> None:
        """Another level for LASTS. To be called on the event loop."""
        self._forget()
        self._until = datetime.now(UTC) + OVERRIDE_DURATION
        self._falling_back = asyncio.get_running_loop().call_later(
            OVERRIDE_DURATION.total_seconds(), self.restore
        )
        self._apply(logging.getLevelNamesMapping()[name])
        _log.warning("log_level_changed", to=name, until=self._until.isoformat())

    def restore(self) -> None:
        """To the level of the settings, now."""
        self._forget()
        self._apply(self._usual)
        _log.warning("log_level_restored", to=logging.getLevelName(self._usual))

    @property
    def state(self) -> Mapping[str, Any]:
        """For people: the level in force, the one of the settings, and when that is back."""
        return {
            "level": logging.getLevelName(self.number),
            "configured": logging.getLevelName(self._usual),
            "until": self._until.isoformat() if self._until else None,
        }

    def _forget(self) -> None:
        self._until = None
        if self._falling_back is not None:
            self._falling_back.cancel()
            self._falling_back = None

    def _apply(self, number: int) -> None:
        self.number = number
        logging.getLogger().setLevel(number)
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(max(number, logging.WARNING))


log_level = LogLevel()
