"""Hands items over to something that may be slow or away, without anybody waiting for it.

Owns a bounded queue, its background task, and what happens when the other side fails: the items
are dropped and counted, and for a moment nothing is tried. Only for what may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, Literal, TypeVar

import structlog

from twelvefold.tasks import cancel_and_wait

T = TypeVar("T")
DeliveryOutcome = Literal["sent", "dropped", "failed"]
_log = structlog.get_logger(__name__)


class BufferedSender(Generic[T]):
    """`put` never blocks; batches of what was put are passed to `send` one after the other."""

    def __init__(
        self,
        send: Callable[[Sequence[T]], Awaitable[None]],
        *,
        name: str,
        capacity: int = 10_000,
        batch: int = 100,
        failure_pause: float = 1.0,
        flush_timeout: float = 1.0,
        spacing: float = 0.005,
        on_outcome: Callable[[DeliveryOutcome, int], None] = lambda _fate, _count: None,
    ) -> None:
        """`failure_pause`: seconds without a try after a failure. `flush_timeout`: seconds for the rest at the end.

        `spacing`: seconds after a batch in which others gather for the next.
        """
        self._send = send
        self._spacing = spacing
        self._name = name
        self._capacity = capacity
        self._batch = batch
        self._failure_pause = failure_pause
        self._flush_timeout = flush_timeout
        self._on_outcome = on_outcome
        self._items: deque[T] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failing = False
        self._ending = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """False where the item is dropped: the queue is full, or the other side is away."""
        if self._failing or len(self._items) >= self._capacity:
            self._on_outcome("dropped", 1)
            return False
        self._items.append(item)
        self._filled.set()
        self._idle.clear()
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sends while the block runs, and afterwards what is left, for a bounded time."""
        task = asyncio.create_task(self._run(), name=f"buffered-sender-{self._name}")
        try:
            yield
        finally:
            self._ending = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_timeout):
                    await self._idle.wait()
            await cancel_and_wait([task])

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            batch = [self._items.popleft() for _ in range(min(self._batch, len(self._items)))]
            if not await self._sent(batch):
                self._on_outcome("failed", len(batch))
                await self._away()
            elif not self._ending:
                await asyncio.sleep(self._spacing)
            if not self._items:
                self._filled.clear()
                self._idle.set()

    async def _away(self) -> None:
        self._failing = True
        if self._items:
            self._on_outcome("dropped", len(self._items))
            self._items.clear()
        self._idle.set()
        await asyncio.sleep(self._failure_pause)
        self._failing = False

    async def _sent(self, batch: Sequence[T]) -> bool:
        try:
            await self._send(batch)
        except Exception as error:
            _log.warning("buffered_send_failed", name=self._name, error=type(error).__name__)
            return False
        self._on_outcome("sent", len(batch))
        return True
