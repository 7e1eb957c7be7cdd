"""An event loop whose time passes only while nothing is to be done, so that waiting costs none."""

from __future__ import annotations

import asyncio
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock starts at 0 and jumps to the next timer; `stall` lets it run on in between."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_time = 0.0
        self._really_select = self._selector.select  # type: ignore[attr-defined]  # asyncio's own
        self._selector.select = self._select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._virtual_time

    def stall(self, seconds: float) -> None:
        """Let time pass while the loop does nothing."""
        self._virtual_time += seconds

    def _select(self, timeout: float | None) -> Any:
        events = self._really_select(0)
        if not events:
            assert timeout is not None, "everything waits, and no timer is set"
            self._virtual_time += timeout
        return events
