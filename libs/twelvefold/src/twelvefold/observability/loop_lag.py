"""The lag of the event loop during a call: whether a timeout is the fault of this process.

A blocked loop reads no replies, so its timeouts expire although the replies may have arrived in
time. Code that counts a dependency's timeouts as failures checks the lag first.
`http.server.lifecycle` exposes the loop's lag as a metric.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

TICK = 0.02  # seconds between two measurements while a call is watched


class LoopLag:
    """The accumulated lag of one loop. Measures only during watched calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._total = 0.0
        self._watching = 0
        self._due: float | None = None  # time of the next measurement

    def enter(self) -> None:
        self._watching += 1
        if self._due is None:
            self._schedule()

    def leave(self) -> None:
        self._watching -= 1

    @property
    def total(self) -> float:
        """The lag so far in seconds, never falling. Includes a measurement that is overdue."""
        overdue = 0.0 if self._due is None else time.perf_counter() - self._due
        return self._total + max(0.0, overdue)

    def _schedule(self) -> None:
        self._due = time.perf_counter() + TICK
        self._loop.call_later(TICK, self._measure)

    def _measure(self) -> None:
        self._total, self._due = self.total, None
        if self._watching:
            self._schedule()


_lags: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopLag] = WeakKeyDictionary()


class LagWatch:
    """Measure the loop's lag during one call; 0 without a running loop."""

    __slots__ = ("_before", "_began", "_lag")

    def __enter__(self) -> Self:
        self._lag = _current_lag()
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
        """The loop's accumulated lag since the call began."""
        return 0.0 if self._lag is None else self._lag.total - self._before

    def excuses(self, timeout: float | None = None) -> bool:
        """Return whether lag took over half of `timeout` seconds (default: the whole call).

        The call's failure then says nothing about the dependency.
        """
        if timeout is None:
            timeout = max(time.perf_counter() - self._began, 2 * TICK)
        return self.seconds > timeout / 2


def _current_lag() -> LoopLag | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    lag = _lags.get(loop)
    if lag is None:
        lag = _lags[loop] = LoopLag(loop)
    return lag
