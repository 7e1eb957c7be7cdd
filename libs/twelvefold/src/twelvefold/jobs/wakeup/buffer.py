"""Send items in the background to a receiver that may be slow or unavailable.

Owns a bounded queue and its task. After a failure, items are dropped and counted, and sending
pauses. Only for items that may be lost.
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
    """Pass items in batches to `send`, one batch at a time. `put` never blocks."""

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
        on_outcome: Callable[[DeliveryOutcome, int], None] = lambda _outcome, _count: None,
    ) -> None:
        """`capacity`: items in the queue. `batch`: items in one call of `send`.

        `failure_pause`: seconds without a try after a failure. `flush_timeout`: seconds for
        sending the remaining items at the end. `spacing`: seconds between two batches, in which
        items gather. `on_outcome` is called with an outcome and a number of items.
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
        self._has_items = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failing = False
        self._stopping = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Queue an item. Return False if it is dropped: the queue is full or sending paused."""
        if self._failing or len(self._items) >= self._capacity:
            self._on_outcome("dropped", 1)
            return False
        self._items.append(item)
        self._has_items.set()
        self._idle.clear()
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the block runs, and then the remaining items within `flush_timeout`."""
        task = asyncio.create_task(self._run(), name=f"buffered-sender-{self._name}")
        try:
            yield
        finally:
            self._stopping = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_timeout):
                    await self._idle.wait()
            await cancel_and_wait([task])

    async def _run(self) -> None:
        while True:
            await self._has_items.wait()
            batch = [self._items.popleft() for _ in range(min(self._batch, len(self._items)))]
            if not await self._try_send(batch):
                self._on_outcome("failed", len(batch))
                await self._drop_and_pause()
            elif not self._stopping:
                await asyncio.sleep(self._spacing)
            if not self._items:
                self._has_items.clear()
                self._idle.set()

    async def _drop_and_pause(self) -> None:
        self._failing = True
        if self._items:
            self._on_outcome("dropped", len(self._items))
            self._items.clear()
        self._idle.set()
        await asyncio.sleep(self._failure_pause)
        self._failing = False

    async def _try_send(self, batch: Sequence[T]) -> bool:
        try:
            await self._send(batch)
        except Exception as error:
            _log.warning("buffered_send_failed", name=self._name, error=type(error).__name__)
            return False
        self._on_outcome("sent", len(batch))
        return True
