"""The messages about the start of a stack, which later subscribers receive from the first on.

Each message is an object with a `kind`: starting, up, notice, or the outcome, ready or failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from .control import Message


class StartupEvents:
    """All messages of one start, a few dozen."""

    def __init__(self, notify: Callable[[Message], None]) -> None:
        """Create an empty list. `notify` receives each message in this process."""
        self._notify = notify
        self._messages: list[Message] = []
        self._added = asyncio.Condition()

    async def add(self, message: Message) -> None:
        """Store a message and send it to every subscriber."""
        self._notify(message)
        async with self._added:
            self._messages.append(message)
            self._added.notify_all()

    async def until_outcome(self) -> AsyncIterator[Message]:
        """Yield all messages, from the first to the outcome."""
        seen = 0
        while True:
            async with self._added:
                while seen == len(self._messages):
                    await self._added.wait()
                fresh = self._messages[seen:]
            seen += len(fresh)
            for message in fresh:
                yield message
                if message["kind"] in ("ready", "failed"):
                    return
