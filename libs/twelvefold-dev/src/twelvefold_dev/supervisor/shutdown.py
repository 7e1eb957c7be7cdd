"""The wish to end: where it comes from, and how work in hand gives way to it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
_IMPATIENT = 1.0  # seconds between a signal and another one that means it


async def run_unless(requested: asyncio.Event, work: Awaitable[T]) -> T | None:
    """The result of `work`, or None where `requested` came first; `work` is cancelled then."""
    working = asyncio.ensure_future(work)
    asking = asyncio.ensure_future(requested.wait())
    try:
        await asyncio.wait([working, asking], return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, asking):
            task.cancel()
        await asyncio.gather(working, asking, return_exceptions=True)


class ShutdownRequest:
    """Set once, by a signal or by `down`. A signal much later than the first calls `force`."""

    def __init__(self, force: Callable[[], None]) -> None:
        self.asked = asyncio.Event()
        self._requested_at = 0.0
        self._force = force

    def listen(self) -> None:
        """Takes over the signals of this process; from its event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if not self.asked.is_set():
            self._requested_at = time.monotonic()
            self.asked.set()
        # The first may come twice, from the terminal and from make.
        elif time.monotonic() - self._requested_at > _IMPATIENT:
            self._force()
