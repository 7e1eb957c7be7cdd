"""Buffered sending: `put` never blocks, the queue is bounded, and each outcome is counted."""

import asyncio
from collections import Counter

from twelvefold.jobs.wakeup.buffer import BufferedSender


class Receiver:
    def __init__(self) -> None:
        self.received: list[int] = []
        self.unavailable = False
        self.tries = 0
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def __call__(self, items):
        self.tries += 1
        await self.let_go.wait()
        if self.unavailable:
            raise OSError("unavailable")
        self.received += items


Outcomes = Counter[str]


def buffered_sender(receiver, outcomes: Outcomes | None = None, **options):
    counted: Outcomes = Counter() if outcomes is None else outcomes

    def observe(outcome, count):
        counted[outcome] += count

    return BufferedSender(receiver, name="test", on_outcome=observe, **options)


async def test_items_arrive_in_order_and_in_batches():
    receiver, outcomes = Receiver(), Outcomes()
    items = buffered_sender(receiver, outcomes, batch=2)
    async with items.running():
        for number in range(5):
            assert items.put(number)
    assert receiver.received == [0, 1, 2, 3, 4]
    assert (receiver.tries, outcomes) == (3, Counter(sent=5))


async def test_a_full_queue_drops_items_and_counts_them():
    receiver, outcomes = Receiver(), Outcomes()
    items = buffered_sender(receiver, outcomes, capacity=3)
    assert [items.put(number) for number in range(5)] == [True, True, True, False, False]
    async with items.running():
        pass
    assert (receiver.received, outcomes) == ([0, 1, 2], Counter(sent=3, dropped=2))


async def test_during_the_pause_after_a_failure_items_are_dropped_without_a_try():
    receiver, outcomes = Receiver(), Outcomes()
    receiver.unavailable = True
    items = buffered_sender(receiver, outcomes, failure_pause=3600.0)
    async with items.running():
        items.put(1)
        while not outcomes["failed"]:
            await asyncio.sleep(0)
        assert not items.put(2)
        assert not items.put(3)
    assert (receiver.tries, outcomes) == (1, Counter(failed=1, dropped=2))


async def test_sending_resumes_after_the_pause():
    receiver = Receiver()
    receiver.unavailable = True
    items = buffered_sender(receiver, failure_pause=0.01)
    async with items.running():
        items.put(1)
        while not receiver.tries:
            await asyncio.sleep(0)
        receiver.unavailable = False
        async with asyncio.timeout(5):
            while not items.put(2):
                await asyncio.sleep(0.001)
    assert receiver.received == [2]


async def test_the_flush_at_the_end_is_bounded():
    receiver = Receiver()
    receiver.let_go.clear()
    items = buffered_sender(receiver, flush_timeout=0.05)
    async with asyncio.timeout(5):
        async with items.running():
            items.put(1)
    assert receiver.received == []
