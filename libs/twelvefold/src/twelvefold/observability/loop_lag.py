"""How late the event loop was during a call: whether a timeout was the other side's fault or ours.

A loop that stands still reads no reply, so that every timeout of that time is over although each
reply may have come at once. Whoever judges a dependency by its timeouts asks here first. Owns that
measure alone; `http.server.lifecycle` exposes the loop's lag as a metric.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

TICK = 0.02  # seconds between two looks, while any call is being watched


class LoopLag:
    """The lag of one loop, summed up. Looks only while somebody watches: an idle loop sleeps."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._total = 0.0
        self._watching = 0
        self._due: float | None = None  # of the next look

    def enter(self) -> None:
        self._watching += 1
        if self._due is None:
            self._look_later()

    def leave(self) -> None:
        self._watching -= 1

    @property
    def total(self) -> float:
        """Seconds, never falling. A look that is overdue counts already."""
        overdue = 0.0 if self._due is None else time.perf_counter() - self._due
        return self._total + max(0.0, overdue)

    def _look_later(self) -> None:
        self._due = time.perf_counter() + TICK
        self._loop.call_later(TICK, self._look)

    def _look(self) -> None:
        self._total, self._due = self.total, None
        if self._watching:
            self._look_later()


_lags: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopLag] = WeakKeyDictionary()


class LagWatch:
    """Around one call. Without a running loop nothing is late."""

    __slots__ = ("_before", "_began", "_lag")

    def __enter__(self) -> Self:
        self._lag = _running()
        self._before = 0.0
        if self._lag is not None:
            self._lag.enter()
            self._before = self._lag.total
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lag is not None:
            self._lag.leave()

    @property
    def seconds(self) -> float:
        """How late the loop was since the call began, all in all."""
        return 0.0 if self._lag is None else self._lag.total - self._before

    def excuses(self, timeout: float | None = None) -> bool:
        """Whether the loop was late for over half of `timeout` seconds, by default of the whole
        call: then that the call failed says nothing about the other side.
        """
        if timeout is None:
            timeout = max(time.perf_counter() - self._began, 2 * TICK)
        return self.seconds > timeout / 2


def _running() -> LoopLag | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    lag = _lags.get(loop)
    if lag is None:
        lag = _lags[loop] = LoopLag(loop)
    return lag
