"""Single flight: concurrent calls for one key in this process share one load."""

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
    """Overlapping calls for one key, and the load that they share once one of them needs it."""

    calls: int = 0
    load: asyncio.Task[T] | None = None


class SingleFlight(Generic[T]):
    """Share a load among all calls that began before it ended.

    Includes calls whose look-up takes longer than another call's look-up and load together: many
    concurrent misses would otherwise load several times.
    """

    def __init__(self) -> None:
        self._groups: dict[str, _Group[T]] = {}  # the group that a new call joins
        # Strong references to every running load, also after `forget` or without waiting callers.
        self._running: set[asyncio.Task[T]] = set()

    async def get_or_load(
        self,
        key: str,
        get: Callable[[], Awaitable[T | None]],
        load: Callable[[], Awaitable[T]],
    ) -> T:
        """Return the result of `get` or, where that is None, of the shared `load`.

        The load runs in its own task, so that a cancelled caller does not affect the others. Raises
        the exception of `get` or `load`, and Unavailable where `aclose` ended the load.
        """
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        group.calls += 1
        try:
            value = await get()
            if value is not None:
                return value
            if group.load is None:
                group.load = asyncio.create_task(self._run(key, group, load))
                self._running.add(group.load)
                group.load.add_done_callback(self._running.discard)
            return await _await_load(group.load)
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
        """Let no new call share a running load, which may have read before a write."""
        self._groups.pop(key, None)

    async def aclose(self) -> None:
        """Cancel the running loads."""
        await cancel_and_wait(self._running)


async def _await_load(load: asyncio.Task[T]) -> T:
    try:
        return await asyncio.shield(load)
    except asyncio.CancelledError:
        caller = asyncio.current_task()
        if load.cancelled() and caller and not caller.cancelling():
            # The load was cancelled, not its caller, so the caller must not see CancelledError.
            raise Unavailable("The server is shutting down. Try again.") from None
        raise
