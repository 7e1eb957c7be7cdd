"""Groups calls that arrive while one is under way into the next: one statement for many jobs.

An idle caller waits for nobody; a busy process saves a round trip and a commit for each job.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """`send` gets up to `limit` items and answers one result each, in their order."""

    def __init__(
        self, send: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, limit: int = 100
    ) -> None:
        self._send = send
        self._limit = limit
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """The item's own result. An error of `send` is the error of the whole batch."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._sending is None:
            # In a context of its own: what is sent for many belongs to the trace of none.
            self._sending = asyncio.create_task(
                self._drain(), name="batcher", context=contextvars.Context()
            )
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._limit]
                del self._waiting[: self._limit]
                await self._resolve(batch)
        finally:
            self._sending = None

    async def _resolve(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._send([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
