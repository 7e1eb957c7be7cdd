"""Who is served next where clients send requests without waiting for responses.

Hardly any client pipelines (RFC 9112 section 9.3.2), and one that does may not take the loop from
those that wait for their responses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

MAX_AHEAD = 8  # requests of a connection that are parsed while another one is served
# Seconds between two pipelined requests, of all connections of a server: a small share of the loop.
PAUSE = 0.02


class PipelineTurns:
    """Starts requests that waited in a pipeline, one at a time, in the order of asking.

    Bounded by the number of connections: each asks for one start at a time.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._pausing = False

    def ask(self, start: Callable[[], None]) -> None:
        """Call `start` when it is its turn: now, or after those that asked before."""
        self._waiting.append(start)
        if not self._pausing:
            self._start_next()

    def _start_next(self) -> None:
        self._pausing = bool(self._waiting)
        if self._waiting:
            start = self._waiting.popleft()
            asyncio.get_running_loop().call_later(PAUSE, self._start_next)
            start()
