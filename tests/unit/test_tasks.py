"""Ending tasks that do not want to."""

import asyncio

from twelvefold.tasks import cancel_and_wait


async def test_a_task_that_loses_its_first_cancellation_ends_all_the_same():
    lost: list[str] = []

    async def stubborn():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append("the first")

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_and_wait([task])
    assert task.cancelled()


async def test_what_has_ended_with_an_error_is_left_alone():
    async def broken():
        raise ValueError

    task = asyncio.create_task(broken())
    await asyncio.wait([task])
    await cancel_and_wait([task])
    assert isinstance(task.exception(), ValueError)
