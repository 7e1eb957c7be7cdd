"""Many callers, few statements: nobody waits for company, nobody gets another's result."""

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


async def test_a_lone_call_goes_at_once():
    sender = Sender()
    assert await Batcher(sender)(1) == 10
    assert sender.batches == [[1]]


async def test_calls_during_a_send_go_together_in_the_next_up_to_the_limit():
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


async def test_an_error_reaches_its_batch_and_no_other():
    sender = Sender()
    sender.error = ValueError("away")
    batcher = Batcher(sender)
    with pytest.raises(ValueError, match="away"):
        await batcher(1)
    sender.error = None
    assert await batcher(2) == 20


async def test_a_caller_that_is_cancelled_takes_nobody_along():
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
