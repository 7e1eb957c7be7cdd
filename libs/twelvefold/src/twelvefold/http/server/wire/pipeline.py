"""The order in which pipelined requests start (RFC 9112 section 9.3.2).

Few clients pipeline, and one that does must not take the event loop from the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

MAX_AHEAD = 8  # requests of a connection that are parsed while another one is served
START_INTERVAL = 0.02  # seconds between two pipelined requests of all connections of a server


class PipelineTurns:
    """A queue that starts pipelined requests one at a time, in the order of `request`.

    The number of connections bounds it, since each one has at most one start in the queue.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._pausing = False

    def request(self, start: Callable[[], None]) -> None:
        """Call `start` now, or in its turn after the starts that were requested before."""
        self._waiting.append(start)
        if not self._pausing:
            self._start_next()

    def _start_next(self) -> None:
        self._pausing = bool(self._waiting)
        if self._waiting:
            start = self._waiting.popleft()
            asyncio.get_running_loop().call_later(START_INTERVAL, self._start_next)
            start()
