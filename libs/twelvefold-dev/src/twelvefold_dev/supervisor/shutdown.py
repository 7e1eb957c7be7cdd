"""Requests to shut down, by a signal or a command, and work that such a request cancels."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
_FORCE_AFTER = 1.0  # seconds after the first signal from which another one forces the end


async def run_unless(requested: asyncio.Event, work: Awaitable[T]) -> T | None:
    """Return the result of `work`, or cancel it and return None once `requested` is set."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(requested.wait())
    try:
        await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


class ShutdownRequest:
    """A request to shut down, set once, by a signal or by `down`.

    A signal more than a second after the first calls `force`.
    """

    def __init__(self, force: Callable[[], None]) -> None:
        self.requested = asyncio.Event()
        self._requested_at = 0.0
        self._force = force

    def listen(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP of this process. Requires a running event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if not self.requested.is_set():
            self._requested_at = time.monotonic()
            self.requested.set()
        # The terminal and make may both send the first signal.
        elif time.monotonic() - self._requested_at > _FORCE_AFTER:
            self._force()
