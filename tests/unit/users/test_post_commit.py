"""What follows a commit: begun by it alone, finished whatever becomes of the request."""

import asyncio
from typing import Any

import pytest

from twelvefold.database.database import Transaction
from twelvefold.observability import metrics
from users.service.post_commit import PostCommitTasks


class Work:
    """One piece that waits to be let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = False
        self.done = False

    async def __call__(self) -> None:
        self.begun = True
        await self.gate.wait()
        self.done = True


@pytest.fixture
def transaction():
    never_asked: Any = None  # nothing here runs a statement
    return Transaction(never_asked)


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_without_a_commit_nothing_follows(transaction):
    work, post_commit_tasks = Work(), PostCommitTasks()
    follow_up = post_commit_tasks.after(transaction, work)
    await turn()
    await follow_up.finished()
    assert not work.begun


async def test_a_request_waits_for_what_follows_its_commit(transaction):
    work, post_commit_tasks = Work(), PostCommitTasks()
    follow_up = post_commit_tasks.after(transaction, work)
    transaction.run_after_commit()
    waiting = asyncio.create_task(follow_up.finished())
    await turn()
    assert work.begun
    assert not waiting.done()
    work.gate.set()
    await waiting
    assert work.done


async def test_a_cancelled_request_does_not_take_it_along(transaction):
    work, post_commit_tasks = Work(), PostCommitTasks()
    follow_up = post_commit_tasks.after(transaction, work)
    transaction.run_after_commit()
    waiting = asyncio.create_task(follow_up.finished())
    await turn()
    waiting.cancel()
    await asyncio.wait([waiting])
    work.gate.set()
    await post_commit_tasks.aclose()
    assert work.done


async def test_a_failure_is_no_failure_of_the_request_and_the_rest_follows(transaction):
    async def fails():
        raise RuntimeError("lost")

    work, post_commit_tasks = Work(), PostCommitTasks()
    work.gate.set()
    follow_up = post_commit_tasks.after(transaction, fails, work)
    transaction.run_after_commit()
    await follow_up.finished()
    assert work.done


async def test_closing_waits_a_bounded_time(transaction):
    work, post_commit_tasks = Work(), PostCommitTasks(grace=0.01)
    task = post_commit_tasks.start(work)
    await turn()
    await post_commit_tasks.aclose()
    assert task is not None
    assert task.cancelled()
    assert metrics.REGISTRY.get_sample_value("pool_in_use", {"pool": "post_commit_tasks"}) == 0


async def test_too_much_at_a_time_is_dropped():
    work, post_commit_tasks = Work(), PostCommitTasks(max_tasks=1)
    assert post_commit_tasks.start(work) is not None
    assert post_commit_tasks.start(work) is None
    work.gate.set()
    await post_commit_tasks.aclose()
