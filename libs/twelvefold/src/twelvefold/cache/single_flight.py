"""One load of a key at a time in this process, whose result all share who asked meanwhile.

Owns who may share which load. Not what is loaded, nor where it is looked for first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from twelvefold.errors import Unavailable
from twelvefold.tasks import cancel_and_wait

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Group(Generic[T]):
    """Calls for one key that overlap, and the load that they share once one of them needs it."""

    calls: int = 0
    load: asyncio.Task[T] | None = None


class SingleFlight(Generic[T]):
    """Shares a load among all calls that began before it ended.

    Also among those whose look-up takes longer than somebody else's look-up and load together:
    else concurrent misses would load several times.
    """

    def __init__(self) -> None:
        self._groups: dict[str, _Group[T]] = {}  # what a new call joins
        # Strong references, also to loads that nobody may join or waits for any more.
        self._running: set[asyncio.Task[T]] = set()

    async def get_or_load(
        self,
        key: str,
        get: Callable[[], Awaitable[T | None]],
        load: Callable[[], Awaitable[T]],
    ) -> T:
        """What `get` returns, or where that is None, `load`.

        The load runs in a task of its own, so that a cancelled caller takes nothing from the
        others. Raises what it raises, and Unavailable where `aclose` ended it.
        """
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        group.calls += 1
        try:
            found = await get()
            if found is not None:
                return found
            if group.load is None:
                group.load = asyncio.create_task(self._run(key, group, load))
                self._running.add(group.load)
                group.load.add_done_callback(self._running.discard)
            return await _result(group.load)
        finally:
            group.calls -= 1
            if not group.calls and group.load is None:
                self._leave(key, group)

    async def _run(self, key: str, group: _Group[T], load: Callable[[], Awaitable[T]]) -> T:
        try:
            return await load()
        finally:
            self._leave(key, group)

    def _leave(self, key: str, group: _Group[T]) -> None:
        if self._groups.get(key) is group:
            del self._groups[key]

    def forget(self, key: str) -> None:
        """Lets no new call share a running load: it may have read before a write just done."""
        self._groups.pop(key, None)

    async def aclose(self) -> None:
        """Ends the loads that still run."""
        await cancel_and_wait(self._running)


async def _result(load: asyncio.Task[T]) -> T:
    try:
        return await asyncio.shield(load)
    except asyncio.CancelledError:
        caller = asyncio.current_task()
        if load.cancelled() and caller and not caller.cancelling():
            # The load was cancelled, not its caller: it must not look as if it were.
            raise Unavailable("this process is stopping") from None
        raise
