"""Batches of settlements: a single call is sent at once, and each call gets its own result."""

import asyncio

import pytest

from twelvefold.jobs.worker.settlement import Batcher


class Sender:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.error: Exception | None = None

    async def __call__(self, items):
        self.batches.append(list(items))
        await self.let_go.wait()
        if self.error is not None:
            raise self.error
        return [item * 10 for item in items]


async def test_a_single_call_is_sent_at_once():
    sender = Sender()
    assert await Batcher(sender)(1) == 10
    assert sender.batches == [[1]]


async def test_calls_during_a_send_form_the_next_batches_up_to_the_limit():
    sender = Sender()
    sender.let_go.clear()
    batcher = Batcher(sender, limit=3)
    first = asyncio.create_task(batcher(0))
    while not sender.batches:
        await asyncio.sleep(0)
    rest = [asyncio.create_task(batcher(number)) for number in range(1, 6)]
    await asyncio.sleep(0)
    sender.let_go.set()
    assert await asyncio.gather(first, *rest) == [0, 10, 20, 30, 40, 50]
    assert sender.batches == [[0], [1, 2, 3], [4, 5]]


async def test_an_error_affects_only_its_own_batch():
    sender = Sender()
    sender.error = ValueError("unavailable")
    batcher = Batcher(sender)
    with pytest.raises(ValueError, match="unavailable"):
        await batcher(1)
    sender.error = None
    assert await batcher(2) == 20


async def test_a_cancelled_call_does_not_affect_the_others():
    sender = Sender()
    sender.let_go.clear()
    batcher = Batcher(sender)
    callers = [asyncio.create_task(batcher(number)) for number in range(3)]
    while not sender.batches:
        await asyncio.sleep(0)
    callers[0].cancel()
    callers[1].cancel()
    sender.let_go.set()
    assert await callers[2] == 20
    assert await batcher(3) == 30
