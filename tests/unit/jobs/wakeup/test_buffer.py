"""What may be lost is handed over without waiting, bounded, and counted."""

import asyncio
from collections import Counter

from twelvefold.jobs.wakeup.buffer import BufferedSender


class OtherSide:
    def __init__(self) -> None:
        self.got: list[int] = []
        self.away = False
        self.tries = 0
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def __call__(self, items):
        self.tries += 1
        await self.let_go.wait()
        if self.away:
            raise OSError("away")
        self.got += items


Fates = Counter[str]


def buffered_sender(side, fates: Fates | None = None, **options):
    counted: Fates = Counter() if fates is None else fates

    def observe(outcome, count):
        counted[outcome] += count

    return BufferedSender(side, name="test", on_outcome=observe, **options)


async def test_what_is_put_arrives_in_order_and_in_batches():
    side, fates = OtherSide(), Fates()
    items = buffered_sender(side, fates, batch=2)
    async with items.running():
        for number in range(5):
            assert items.put(number)
    assert side.got == [0, 1, 2, 3, 4]
    assert (side.tries, fates) == (3, Counter(sent=5))


async def test_a_full_queue_drops_and_says_so():
    side, fates = OtherSide(), Fates()
    items = buffered_sender(side, fates, capacity=3)
    assert [items.put(number) for number in range(5)] == [True, True, True, False, False]
    async with items.running():
        pass
    assert (side.got, fates) == ([0, 1, 2], Counter(sent=3, dropped=2))


async def test_while_the_other_side_is_away_nothing_is_tried_and_all_is_dropped():
    side, fates = OtherSide(), Fates()
    side.away = True
    items = buffered_sender(side, fates, failure_pause=3600.0)
    async with items.running():
        items.put(1)
        while not fates["failed"]:
            await asyncio.sleep(0)
        assert not items.put(2)
        assert not items.put(3)
    assert (side.tries, fates) == (1, Counter(failed=1, dropped=2))


async def test_after_the_pause_it_is_tried_again():
    side = OtherSide()
    side.away = True
    items = buffered_sender(side, failure_pause=0.01)
    async with items.running():
        items.put(1)
        while not side.tries:
            await asyncio.sleep(0)
        side.away = False
        async with asyncio.timeout(5):
            while not items.put(2):
                await asyncio.sleep(0.001)
    assert side.got == [2]


async def test_the_end_waits_for_what_is_left_but_not_for_ever():
    side = OtherSide()
    side.let_go.clear()
    items = buffered_sender(side, flush_timeout=0.05)
    async with asyncio.timeout(5):
        async with items.running():
            items.put(1)
    assert side.got == []
